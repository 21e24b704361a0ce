//! What every command needs: the configuration, the names of the clusters, and the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::dcs_url;
use super::terminal::End;
use crate::cluster::Cluster;
use crate::config::{self, Credentials, EtcdConfig, ToolConfig};
use crate::dcs::{EtcdOptions, EtcdStore, Store, StoreError, Txn, TxnReply, decode};

/// How long one try at one etcd member may take.
const ONE_TRY: Duration = Duration::from_secs(3);
/// How long to wait before all members are tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The options that stand before the command.
#[derive(Debug, Default)]
pub(super) struct SessionOptions {
    pub(super) config_file: Option<PathBuf>,
    pub(super) dcs_url: Option<String>,
    pub(super) insecure: bool,
}

/// The configuration in force for one command.
pub(super) struct Session {
    config: ToolConfig,
}

impl Session {
    pub(super) fn open(options: &SessionOptions) -> anyhow::Result<Self> {
        if options.insecure {
            eprintln!("Warning: --insecure has no effect: members are called over http only");
        }
        let url =
            options.dcs_url.as_deref().map(dcs_url::parse).transpose().context("--dcs-url")?;
        let mut env = config::environment();
        if let Some(url) = &url {
            env.insert("PATRONI_ETCD3_HOST".to_owned(), url.address.to_string());
        }
        let file = config_file(options, &env)?;
        let loaded = config::load_tool(file.as_deref(), &env);
        let Some(mut config) = loaded.config else {
            for finding in loaded.findings.iter().filter(|one| one.is_error()) {
                eprintln!("{finding}");
            }
            if file.is_none() {
                eprintln!("Error: name a configuration (-c NODE.yml) or an etcd (-d HOST:PORT)");
            }
            return Err(End::Refused.into());
        };
        if let Some(url) = url {
            let is_https = config.etcd.endpoints.iter().any(|one| one.starts_with("https://"));
            let protocol = url.protocol.unwrap_or(if is_https { "https" } else { "http" });
            config.etcd.endpoints = vec![format!("{protocol}://{}", url.address)];
            config.namespace = url.namespace.unwrap_or(config.namespace);
        }
        Ok(Self { config })
    }

    /// What to authenticate with at the members' REST addresses.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.config.ctl.authentication.as_ref()
    }

    /// The cluster that a command works on.
    pub(super) fn scope(&self, given: Option<&str>) -> anyhow::Result<String> {
        match given.map(str::to_owned).or_else(|| self.config.scope.clone()) {
            Some(scope) if !scope.is_empty() => Ok(scope),
            _ => bail!("name a cluster: neither the command nor the configuration (scope) does"),
        }
    }

    /// The clusters that a command shows.
    pub(super) fn scopes(&self, given: &[String]) -> anyhow::Result<Vec<String>> {
        match (given, &self.config.scope) {
            ([], Some(scope)) => Ok(vec![scope.clone()]),
            ([], None) => {
                eprintln!("Warning: no cluster is named, nor does the configuration (scope)");
                Ok(Vec::new())
            }
            (given, _) => Ok(given.to_vec()),
        }
    }

    /// The store of one cluster.
    pub(super) fn store(&self, scope: &str) -> anyhow::Result<ClusterStore> {
        let etcd = &self.config.etcd;
        let options = etcd_options(etcd, config::key_prefix(&self.config.namespace, scope));
        let store = EtcdStore::new(options).context("etcd3")?;
        Ok(ClusterStore { store, endpoints: etcd.endpoints.clone() })
    }
}

/// The store that a configuration means.
pub(crate) fn etcd_options(etcd: &EtcdConfig, prefix: String) -> EtcdOptions {
    let credentials = etcd.credentials.clone();
    EtcdOptions {
        endpoints: etcd.endpoints.clone(),
        credentials: credentials.map(|one| (one.username, one.password)),
        cacert: etcd.cacert.clone(),
        cert: etcd.cert.clone(),
        key: etcd.key.clone(),
        prefix,
    }
}

/// The file that was named, or patronictl's own where it is there.
fn config_file(
    options: &SessionOptions,
    env: &BTreeMap<String, String>,
) -> anyhow::Result<Option<PathBuf>> {
    if let Some(file) = &options.config_file {
        if !file.exists() {
            bail!("{} does not exist: expected a YAML file or a directory", file.display());
        }
        return Ok(Some(file.clone()));
    }
    let base = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.or_else(|| env.get("HOME").map(|home| PathBuf::from(home).join(".config")));
    Ok(base.map(|base| base.join("patroni/patronictl.yaml")).filter(|file| file.exists()))
}

/// One cluster in the store.
pub(super) struct ClusterStore {
    store: EtcdStore,
    endpoints: Vec<String>,
}

impl ClusterStore {
    /// Reads the cluster; while no member of etcd answers, says so and tries again.
    pub(super) async fn read(&self) -> anyhow::Result<Cluster> {
        loop {
            match self.try_all_members().await {
                Ok(cluster) => return Ok(cluster),
                Err(error @ StoreError::Denied(_)) => return Err(error.into()),
                Err(error) => {
                    let endpoints = self.endpoints.join(", ");
                    let seconds = PAUSE.as_secs();
                    eprintln!("Warning: etcd at {endpoints}: {error}; next try in {seconds} s");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One try at each member.
    async fn try_all_members(&self) -> Result<Cluster, StoreError> {
        let mut tries = self.endpoints.len();
        loop {
            tries = tries.saturating_sub(1);
            match self.store.read_all(ONE_TRY).await {
                Ok(snapshot) => {
                    let (cluster, warnings) = decode(&snapshot);
                    warnings.iter().for_each(|warning| eprintln!("Warning: {warning}"));
                    return Ok(cluster);
                }
                Err(error @ StoreError::Denied(_)) => return Err(error),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Writes under a condition, once: what became of a write without an answer is not known.
    pub(super) async fn commit(&self, txn: Txn) -> anyhow::Result<TxnReply> {
        self.store.commit(txn, ONE_TRY).await.map_err(|error| {
            let is_ambiguous = error.is_ambiguous();
            let error = anyhow::Error::from(error);
            if is_ambiguous {
                error.context("the write may have been applied or not: look before you try again")
            } else {
                error
            }
        })
    }
}
