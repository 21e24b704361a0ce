//! Real servers behind `LocalServer`, without agents: each with a node file as people write it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgbaton::config::{self, Dynamic, EffectivePostgresql, NodeConfig, effective_postgresql};
use pgbaton::postgres::{LocalServer, Look, Server, StartAs, State, StopMode, Upstream};
use tempfile::TempDir;
use tokio_postgres::Client;

use super::machine::{OwnAddress, Postgres};
use super::sql::{self, REPLICATION_PASSWORD, REWIND_PASSWORD, SUPERUSER_PASSWORD};

/// For everything that a healthy server does.
pub const BOUND: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Where the servers of one test live.
pub struct Site {
    folder: TempDir,
    address: OwnAddress,
    version: Postgres,
}

/// One server with its node's configuration.
pub struct TestServer {
    pub server: LocalServer,
    pub node: NodeConfig,
    pub address: SocketAddr,
}

impl Site {
    pub fn new(version: Postgres) -> Site {
        let folder = tempfile::Builder::new().prefix("pgbaton-server-").tempdir().unwrap();
        // The servers' user has to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Site { folder, address: OwnAddress::take(), version }
    }

    /// A server that has no data yet. Its number gives its port.
    pub fn server(&self, name: &str, number: u16) -> TestServer {
        self.server_with(name, number, "")
    }

    /// The same, with further lines for the `postgresql` section.
    pub fn server_with(&self, name: &str, number: u16, lines: &str) -> TestServer {
        let address = SocketAddr::new(self.address.ip, 20_000 + number);
        let node = self.node(name, address, lines);
        let server = LocalServer::new(&node, settings(&node)).unwrap();
        TestServer { server, node, address }
    }

    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn node(&self, name: &str, address: SocketAddr, lines: &str) -> NodeConfig {
        let folder = self.folder_of(name);
        fs::create_dir_all(&folder).unwrap();
        super::machine::give_away(&folder);
        let file = folder.join("node.yml");
        fs::write(&file, self.yaml(name, &folder.display().to_string(), address, lines)).unwrap();
        let loaded = config::load(Some(&file), &BTreeMap::new());
        loaded.config.unwrap_or_else(|| panic!("the node file is wrong: {:?}", loaded.findings))
    }

    fn yaml(&self, name: &str, folder: &str, address: SocketAddr, lines: &str) -> String {
        let bin_dir = self.version.bin_dir();
        let superuser = SUPERUSER_PASSWORD.replace('\'', "''");
        format!(
            "scope: test
name: {name}
restapi: {{listen: '127.0.0.1:8008', connect_address: '127.0.0.1:8008'}}
etcd3: {{host: '127.0.0.1:2379'}}
bootstrap:
  dcs: {{ttl: 5}}
  initdb: [data-checksums, {{encoding: UTF8}}, {{locale: C}}, {{auth: scram-sha-256}}]
  pg_hba:
  - host all all {ip}/32 scram-sha-256
  - host replication replicator {ip}/32 scram-sha-256
postgresql:
  listen: {address}
  connect_address: {address}
  data_dir: {folder}/data
  bin_dir: {bin_dir}
  pgpass: {folder}/pgpass
  authentication:
    superuser: {{username: postgres, password: '{superuser}'}}
    replication: {{username: replicator, password: {REPLICATION_PASSWORD}}}
    rewind: {{username: rewinder, password: {REWIND_PASSWORD}}}
  use_pg_rewind: true
  parameters:
    unix_socket_directories: {folder}
    shared_buffers: 16MB
    fsync: off
{lines}
",
            ip = address.ip(),
            bin_dir = bin_dir.display(),
        )
    }
}

/// What the node's file means.
pub fn settings(node: &NodeConfig) -> EffectivePostgresql {
    effective_postgresql(node, &Dynamic::default())
}

impl TestServer {
    /// Makes it the first server of its cluster.
    pub async fn bootstrap(&self) {
        self.server.initialize().await.unwrap();
        self.server.start(&StartAs::Primary, BOUND).await.unwrap();
        self.server.create_accounts().await.unwrap();
    }

    /// Makes it a standby of another, with a copy of its data.
    pub async fn join(&self, other: &TestServer) {
        let upstream = other.upstream_of(self).await;
        self.server.copy_from(&upstream, |_| ()).await.unwrap();
        self.server.start(&StartAs::Standby(Some(upstream)), BOUND).await.unwrap();
        self.streams().await;
    }

    /// This server as the upstream of `other`, whose slot it makes.
    pub async fn upstream_of(&self, other: &TestServer) -> Upstream {
        let slot = other.node.name.slot_name();
        self.server.arrange_slots(std::slice::from_ref(&slot), &[]).await.unwrap();
        Upstream {
            name: self.node.name.clone(),
            host: self.address.ip().to_string(),
            port: self.address.port(),
            slot: Some(slot),
        }
    }

    pub async fn look(&self) -> Look {
        self.server.look(Duration::from_secs(5)).await
    }

    /// Looks until `wanted` finds what it wants in the state.
    pub async fn until<T>(&self, what: &str, mut wanted: impl FnMut(&State) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let look = self.look().await;
            if let Some(found) = wanted(&look.state) {
                return found;
            }
            assert!(started.elapsed() < BOUND, "waited in vain: {what}; it is {:?}", look.state);
            tokio::time::sleep(STEP).await;
        }
    }

    /// Waits until it streams.
    pub async fn streams(&self) {
        let streaming = |state: &State| match state {
            State::Standby(standby) => standby.is_streaming().then_some(()),
            _ => None,
        };
        self.until("a standby that streams", streaming).await;
    }

    /// Waits until it has replayed what `primary` has written by now.
    pub async fn catches_up_with(&self, primary: &TestServer) {
        let State::Primary(facts) = primary.look().await.state else { panic!("no primary") };
        let there = |state: &State| match state {
            State::Standby(standby) => (standby.replayed >= facts.position.lsn).then_some(()),
            _ => None,
        };
        self.until("a standby that has caught up", there).await;
    }

    pub async fn client(&self) -> Client {
        sql::connect(&sql::superuser(self.address, Duration::from_secs(5))).await.unwrap()
    }

    pub async fn run(&self, statement: &str) {
        self.client().await.batch_execute(statement).await.unwrap();
    }

    /// How many rows `t` holds.
    pub async fn rows(&self) -> i64 {
        self.client().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
    }

    pub async fn stop(&self) {
        self.server.stop(StopMode::Fast, BOUND).await.unwrap();
    }

    /// The process ids of its server that are there.
    pub fn processes(&self) -> Vec<i32> {
        self.server.fence_target().living().iter().map(|process| process.pid).collect()
    }

    pub fn postmaster(&self) -> i32 {
        let file = fs::read_to_string(self.node.postgresql.data_dir.join("postmaster.pid"));
        file.unwrap().lines().next().unwrap().parse().unwrap()
    }
}
