//! What this node was told locally, validated: plain data. How it is read from files and environment
//! is `load`'s business; the `postgresql` section has a file of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{HostPort, PostgresqlConfig, Tags, WatchdogConfig};
use crate::values::{FenceChoice, MemberName};

/// The validated local configuration of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Name of the cluster.
    pub scope: String,
    /// First part of every key in the store; slashes around it do not matter.
    pub namespace: String,
    /// Name of this member, unique in the cluster.
    pub name: MemberName,
    /// Where this agent answers over HTTP, and for whom.
    pub restapi: RestApi,
    /// How to reach etcd.
    pub etcd: EtcdConfig,
    /// How to make a new cluster; a node without it only ever joins.
    pub bootstrap: Option<Bootstrap>,
    /// The PostgreSQL server beside this agent.
    pub postgresql: PostgresqlConfig,
    /// What this member may be used for.
    pub tags: Tags,
    /// How this agent logs.
    pub log: LogConfig,
    /// How the command line tool calls the members.
    pub ctl: CtlConfig,
    /// The watchdog device.
    pub watchdog: WatchdogConfig,
    /// The `pgbaton` section: what Patroni's file has no word for.
    pub pgbaton: OwnConfig,
    /// Where all this was read from.
    pub source: Source,
}

impl NodeConfig {
    /// The prefix of the cluster's keys: `/service/scope/`, slashes collapsed, with one at the end.
    pub fn key_prefix(&self) -> String {
        key_prefix(&self.namespace, &self.scope)
    }

    /// Where the agent keeps its own small files: beside the data directory unless it was told.
    pub fn state_dir(&self) -> PathBuf {
        self.pgbaton.state_dir.clone().unwrap_or_else(|| {
            let mut beside = self.postgresql.data_dir.clone().into_os_string();
            beside.push(".pgbaton");
            PathBuf::from(beside)
        })
    }
}

/// The prefix of a cluster's keys: `/namespace/scope/` with slashes collapsed.
pub fn key_prefix(namespace: &str, scope: &str) -> String {
    let parts = namespace.split('/').chain(scope.split('/')).filter(|part| !part.is_empty());
    let mut prefix = String::from("/");
    for part in parts {
        prefix.push_str(part);
        prefix.push('/');
    }
    prefix
}

/// A user and a password. Its `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The `restapi` section.
#[derive(Clone, Debug, PartialEq)]
pub struct RestApi {
    /// Address to bind; host `*` means all.
    pub listen: HostPort,
    /// Address the other members and the command line tool use.
    pub connect_address: HostPort,
    /// Asked for on the endpoints that change something.
    pub authentication: Option<Credentials>,
    /// Further headers of every answer.
    pub http_extra_headers: Vec<(String, String)>,
}

impl RestApi {
    /// The URL that the member's record in the store carries.
    pub fn api_url(&self) -> String {
        format!("http://{}/patroni", self.connect_address)
    }
}

/// The `etcd3` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// Full URLs, such as `https://etcd1:2379`; at least one.
    pub endpoints: Vec<String>,
    /// For an etcd with users.
    pub credentials: Option<Credentials>,
    /// Certificates to trust instead of the system's.
    pub cacert: Option<PathBuf>,
    /// Client certificate.
    pub cert: Option<PathBuf>,
    /// Its key; `None` when the certificate's file holds it too.
    pub key: Option<PathBuf>,
}

/// The `bootstrap` section: used once, by the node that makes a new cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The first dynamic configuration, as it will be written to the store.
    pub dcs: Map<String, Value>,
    /// Options for `initdb`, ready to pass: `--data-checksums`, `--encoding=UTF8`.
    pub initdb: Vec<String>,
    /// Lines appended to the new `pg_hba.conf` unless `postgresql.pg_hba` is set.
    pub pg_hba: Vec<String>,
    /// Program and arguments to run once the new server is up; a connection string is appended.
    pub post_bootstrap: Option<Vec<String>>,
}

/// The `log` section.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// What is logged.
    pub level: LogLevel,
    /// Constant fields of each JSON line.
    pub static_fields: Map<String, Value>,
    /// Directory of the log file; standard error when absent.
    pub dir: Option<PathBuf>,
    /// How many rotated files are kept.
    pub file_num: u32,
    /// Size at which a file is rotated, in bytes.
    pub file_size_bytes: u64,
    /// Permissions of the log files.
    pub mode: Option<u32>,
    /// Levels for single modules, by the beginning of their names: `pgbaton.act`, `postgres`.
    pub loggers: BTreeMap<String, LogLevel>,
    /// How many lines may wait to be written; what comes beyond that is dropped and counted.
    pub max_queue_size: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            json: false,
            level: LogLevel::Info,
            static_fields: Map::new(),
            dir: None,
            file_num: 4,
            file_size_bytes: 25_000_000,
            mode: None,
            loggers: BTreeMap::new(),
            max_queue_size: 1000,
        }
    }
}

/// The least severe message that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything that helps to find a fault.
    Debug,
    /// Changes of decision, and steps.
    #[default]
    Info,
    /// What someone should look at.
    Warning,
    /// What failed.
    Error,
}

impl LogLevel {
    /// Reads Patroni's (Python's) name of a level, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "DEBUG" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARN" | "WARNING" => Some(Self::Warning),
            "ERROR" | "FATAL" | "CRITICAL" => Some(Self::Error),
            _ => None,
        }
    }

    /// The word that `tracing` uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
        }
    }
}

/// The `ctl` section: how members are called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CtlConfig {
    /// What to authenticate with: `ctl.authentication`, else `restapi.authentication`.
    pub authentication: Option<Credentials>,
}

/// The `pgbaton` section.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnConfig {
    /// Where the agent's own small files live; see [`NodeConfig::state_dir`] for the default.
    pub state_dir: Option<PathBuf>,
    /// What makes sure that no process of the server outlives its deadline.
    pub fence: FenceChoice,
    /// What becomes of data that went another way and cannot be rewound.
    pub diverged_data: DivergedData,
    /// How many old data directories are kept aside; `None` means [`KEEP_ASIDE_DEFAULT`].
    pub keep_aside: Option<u32>,
    /// How often the server is asked for its statistics; zero for never.
    pub statistics_interval: Duration,
}

impl Default for OwnConfig {
    fn default() -> Self {
        Self {
            state_dir: None,
            fence: FenceChoice::default(),
            diverged_data: DivergedData::default(),
            keep_aside: None,
            statistics_interval: STATISTICS_INTERVAL_DEFAULT,
        }
    }
}

/// How often the server is asked for its statistics where nothing is said.
pub const STATISTICS_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// How many old data directories are kept aside where nothing is said.
pub const KEEP_ASIDE_DEFAULT: u32 = 1;

/// What becomes of data that went another way and cannot be rewound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DivergedData {
    /// It is kept aside under a dated name, and the leader's data copied.
    #[default]
    Keep,
    /// It is removed, and the leader's data copied.
    Remove,
    /// It stays where it is, and the server stays down.
    StayDown,
}

impl DivergedData {
    /// The words of the setting.
    pub const WORDS: [&'static str; 3] = ["keep", "remove", "stay_down"];

    /// What a word of the setting means.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "keep" => Some(DivergedData::Keep),
            "remove" => Some(DivergedData::Remove),
            "stay_down" => Some(DivergedData::StayDown),
            _ => None,
        }
    }
}

/// Where a configuration was read from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The file or directory that was named, to be read again on a reload.
    pub path: Option<PathBuf>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
}

/// A node as the tests of this folder need one.
#[cfg(test)]
pub(super) fn example_node() -> NodeConfig {
    use super::{Account, Authentication, SharedSettings};
    let address = |port| HostPort { host: "10.0.0.1".to_owned(), port };
    let account = |name: &str| Account { username: name.to_owned(), ..Account::default() };
    NodeConfig {
        scope: "shop".to_owned(),
        namespace: "service".to_owned(),
        name: "a".into(),
        restapi: RestApi {
            listen: address(8008),
            connect_address: address(8008),
            authentication: None,
            http_extra_headers: Vec::new(),
        },
        etcd: EtcdConfig {
            endpoints: vec!["http://10.0.0.9:2379".to_owned()],
            credentials: None,
            cacert: None,
            cert: None,
            key: None,
        },
        bootstrap: None,
        postgresql: PostgresqlConfig {
            listen_addresses: "10.0.0.1".to_owned(),
            port: 5432,
            connect_address: address(5432),
            data_dir: PathBuf::from("/data"),
            config_dir: PathBuf::from("/data"),
            pgpass: PathBuf::from("/home/pgpass"),
            authentication: Authentication {
                superuser: account("postgres"),
                replication: account("replicator"),
                rewind: None,
            },
            local: SharedSettings::default(),
        },
        tags: Tags::default(),
        log: LogConfig::default(),
        ctl: CtlConfig::default(),
        watchdog: WatchdogConfig::default(),
        pgbaton: OwnConfig::default(),
        source: Source::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_in_the_prefix_collapse() {
        for namespace in ["service", "/service", "/service/", "//service//"] {
            assert_eq!(key_prefix(namespace, "shop"), "/service/shop/");
        }
        assert_eq!(key_prefix("/a/b", "shop"), "/a/b/shop/");
    }

    #[test]
    fn a_password_is_not_shown() {
        let one = Credentials { username: "a".into(), password: "hunter2".into() };
        assert!(!format!("{one:?}").contains("hunter2"));
    }
}
