//! A whole cluster of real processes: etcd, agents, servers, each on an address of its own. Nothing of it is
//! left when the value is dropped, also after a panic.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::etcd::{Etcd, EtcdSettings};
use super::ledger::Ledger;
use super::machine::{OwnAddress, Postgres, Turn, give_away, make_dir};
use super::network::Network;
use super::node::{Agent, Node, POSTGRESQL_PORT, REST_PORT};
use super::processes;
use super::sql::{REPLICATION_PASSWORD, REWIND_PASSWORD, SUPERUSER_PASSWORD};
use super::wait::{STEP, wait_for, wait_until};

/// How long a cluster may take to come up, on a busy machine.
pub const START_BOUND: Duration = Duration::from_secs(60);

/// How a cluster is to be.
pub struct Plan {
    pub agent: Agent,
    pub nodes: usize,
    pub etcd_members: usize,
    /// Seconds.
    pub ttl: u64,
    pub postgres: Postgres,
    /// Each node in a network namespace of its own, so that lines can be cut.
    pub in_namespaces: bool,
    pub etcd: EtcdSettings,
    /// Whether `initdb` is told to make data checksums.
    pub checksums: bool,
    /// Further keys of `bootstrap.dcs`.
    pub dcs: Value,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            agent: Agent::Pgbaton,
            nodes: 3,
            etcd_members: 1,
            ttl: 3,
            postgres: Postgres::Installed,
            in_namespaces: false,
            // A ttl of three seconds is below what etcd's default of one second allows.
            etcd: EtcdSettings { timing_millis: Some((25, 250)), ..EtcdSettings::default() },
            checksums: true,
            dcs: json!({}),
        }
    }
}

/// The cluster.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub etcd: Etcd,
    pub network: Option<Network>,
    pub plan: Plan,
    dir: TempDir,
    addresses: Vec<OwnAddress>,
    _turn: Turn,
}

impl Cluster {
    /// Starts etcd and lays everything out; no agent runs yet.
    pub fn prepare(plan: Plan) -> Cluster {
        let turn = Turn::wait();
        let dir = tempfile::Builder::new().prefix("pgbaton-cluster-").tempdir();
        let dir = dir.expect("a directory");
        give_away(dir.path());
        let network = plan.in_namespaces.then(|| Network::make(plan.nodes));
        let mut settings = plan.etcd.clone();
        settings.address = network.as_ref().map(Network::address_of_tests);
        let etcd = Etcd::start_with(plan.etcd_members, settings);
        let nodes = plan.nodes;
        let mut cluster = Cluster {
            nodes: Vec::new(),
            etcd,
            network,
            plan,
            dir,
            addresses: Vec::new(),
            _turn: turn,
        };
        (0..nodes).for_each(|_| cluster.add_node());
        cluster
    }

    /// Starts all nodes, and waits until one leads and the others stream.
    #[track_caller]
    pub fn start(plan: Plan) -> Cluster {
        let mut cluster = Cluster::prepare(plan);
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.wait_until_whole(START_BOUND);
        cluster
    }

    /// Lays out one more node, which does not run yet.
    pub fn add_node(&mut self) {
        let index = self.nodes.len();
        let name = format!("node-{}", index + 1);
        let ip: IpAddr = match &self.network {
            Some(network) => network.address(index),
            None => {
                let address = OwnAddress::take();
                let ip = address.ip;
                self.addresses.push(address);
                ip
            }
        };
        let namespace = self.network.as_ref().map(|network| network.namespace(index));
        let dir = self.dir.path().join(&name);
        make_dir(&dir);
        let config = self.node_config(&name, ip, &dir.display().to_string());
        let agent = self.plan.agent;
        let environment = Vec::new();
        self.nodes.push(Node {
            agent,
            name,
            ip,
            config,
            dir,
            namespace,
            cgroup: None,
            environment,
            child: None,
        });
    }

    fn node_config(&self, name: &str, ip: IpAddr, dir: &str) -> Value {
        let ttl = self.plan.ttl;
        let retry_timeout = (ttl.saturating_sub(1) / 2).clamp(1, 10);
        let loop_wait = ttl.saturating_sub(2 * retry_timeout).clamp(1, 10);
        let mut dcs = json!({
            "ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout,
            "maximum_lag_on_failover": 1_048_576,
            "postgresql": {
                "use_pg_rewind": true, "use_slots": true,
                "parameters": { "max_connections": 100, "wal_log_hints": "on" },
            },
        });
        merge(&mut dcs, &self.plan.dcs);
        let (rest, postgresql) = (format!("{ip}:{REST_PORT}"), format!("{ip}:{POSTGRESQL_PORT}"));
        let mut initdb = vec![
            json!({ "encoding": "UTF8" }),
            json!({ "locale": "C" }),
            json!({ "auth": "scram-sha-256" }),
        ];
        if self.plan.checksums {
            initdb.push(json!("data-checksums"));
        }
        json!({
            "scope": "test", "name": name,
            "etcd3": { "hosts": self.etcd_hosts(), "protocol": self.etcd_protocol() },
            "restapi": { "listen": rest, "connect_address": rest },
            "bootstrap": {
                "dcs": dcs,
                "initdb": initdb,
            },
            "postgresql": {
                "listen": postgresql, "connect_address": postgresql,
                "data_dir": format!("{dir}/data"), "pgpass": format!("{dir}/pgpass"),
                "bin_dir": self.plan.postgres.bin_dir(),
                "authentication": {
                    "superuser": { "username": "postgres", "password": SUPERUSER_PASSWORD },
                    "replication": { "username": "replicator", "password": REPLICATION_PASSWORD },
                    "rewind": { "username": "rewinder", "password": REWIND_PASSWORD },
                },
                "pg_hba": ["local all all scram-sha-256", "host all all all scram-sha-256",
                    "host replication replicator all scram-sha-256"],
                // Beside the data directory, so that no directory of the system is needed.
                "parameters": { "unix_socket_directories": "..", "password_encryption": "scram-sha-256" },
            },
            "tags": {},
        })
    }

    /// etcd's members as `host:port`.
    pub fn etcd_hosts(&self) -> Vec<String> {
        let host = |url: String| url.split_once("://").map_or(url.clone(), |(_, it)| it.to_owned());
        self.etcd.endpoints().into_iter().map(host).collect()
    }

    fn etcd_protocol(&self) -> &'static str {
        if self.etcd.tls.is_some() { "https" } else { "http" }
    }

    /// The places of all nodes' servers.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::postgresql).collect()
    }

    /// A directory for what belongs to no node.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Who says that it takes writes; the test fails if two do.
    #[track_caller]
    pub fn leader(&self) -> Option<usize> {
        let says_so = |index: &usize| self.nodes[*index].is_primary();
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(says_so).collect();
        // One may have stepped down between the two answers; two that still say so have not.
        if leaders.len() > 1 {
            let still: Vec<&usize> = leaders.iter().filter(|index| says_so(index)).collect();
            assert!(still.len() < 2, "two nodes say that they take writes: {still:?}");
        }
        leaders.last().copied()
    }

    /// Until somebody leads.
    #[track_caller]
    pub fn wait_for_leader(&self, bound: Duration) -> usize {
        wait_for("somebody leads", bound, || self.leader())
    }

    /// Until somebody other than `former` leads.
    #[track_caller]
    pub fn wait_for_another_leader(&self, former: usize, bound: Duration) -> usize {
        let another = || self.leader().filter(|leader| *leader != former);
        wait_for("another node leads", bound, another)
    }

    /// Until one leads and every other node streams on its timeline.
    #[track_caller]
    pub fn wait_until_whole(&self, bound: Duration) -> usize {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.wait_until_these_are_whole(&all, bound)
    }

    /// The same, of some nodes.
    #[track_caller]
    pub fn wait_until_these_are_whole(&self, nodes: &[usize], bound: Duration) -> usize {
        let started = Instant::now();
        loop {
            let why = match self.whole(nodes) {
                Ok(leader) => return leader,
                Err(why) => why,
            };
            assert!(started.elapsed() < bound, "not whole within {bound:?}: {why}");
            std::thread::sleep(STEP);
        }
    }

    /// The leader, or what is missing.
    fn whole(&self, nodes: &[usize]) -> Result<usize, String> {
        let leader = self.leader().ok_or("nobody leads")?;
        let answer = self.nodes[leader].get("/cluster").ok_or("the leader does not answer")?;
        if answer.status != 200 {
            // After an outage the store has to be read first.
            return Err(answer.body);
        }
        let document = answer.json();
        let members = document["members"].as_array().ok_or("no members")?;
        let member = |index: usize| {
            let name = self.nodes[index].name.as_str();
            members.iter().find(|member| member["name"] == name).ok_or(format!("no {name}"))
        };
        let timeline = &member(leader)?["timeline"];
        for index in nodes {
            let found = member(*index)?;
            let wanted = if *index == leader { "running" } else { "streaming" };
            if found["state"] != wanted || &found["timeline"] != timeline {
                return Err(format!("wanted {wanted} on {timeline}: {found}"));
            }
        }
        Ok(leader)
    }

    /// Until the store lists all members: only then do they stand in for it.
    #[track_caller]
    pub fn wait_until_listed(&self, leader: usize) {
        self.wait_until_so_many_are_listed(leader, self.nodes.len());
    }

    /// Until the store lists so many members.
    #[track_caller]
    pub fn wait_until_so_many_are_listed(&self, leader: usize, count: usize) {
        wait_until("the failsafe key lists the members", START_BOUND, || {
            let answer = self.nodes[leader].get("/failsafe");
            let listed = answer.filter(|answer| answer.status == 200).map(|answer| answer.json());
            listed.and_then(|it| it.as_object().map(|it| it.len())) == Some(count)
        });
    }

    /// Clients that write to every node.
    #[track_caller]
    pub fn open_ledger(&self) -> Ledger {
        let leader = self.wait_for_leader(START_BOUND);
        let ledger = Ledger::open(self.nodes[leader].postgresql(), &self.servers());
        ledger.wait_for_writes(leader, 20, Duration::from_secs(20));
        ledger
    }

    /// Every node but one.
    pub fn others(&self, than: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| *index != than).collect()
    }

    /// A member as the leader's `/cluster` shows it.
    pub fn member(&self, index: usize) -> Option<Value> {
        let leader = self.leader()?;
        let answer = self.nodes[leader].get("/cluster").filter(|answer| answer.status == 200);
        let document = answer?.json();
        let members = document["members"].as_array()?;
        members.iter().find(|member| member["name"] == self.nodes[index].name.as_str()).cloned()
    }

    /// Until a member is in that state, as the leader shows it.
    #[track_caller]
    pub fn wait_for_state(&self, index: usize, state: &str, bound: Duration) {
        let what = format!("{} is {state}", self.nodes[index].name);
        wait_until(&what, bound, || self.member(index).is_some_and(|it| it["state"] == state));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("{}", node.log_end());
            }
            if std::env::var_os("PGBATON_TEST_KEEP").is_some() {
                self.dir.disable_cleanup(true);
                eprintln!("kept: {}", self.dir.path().display());
            }
        }
        let gone = processes::kill_all(self.dir.path());
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if !gone {
            eprintln!("some processes in {} cannot be killed", self.dir.path().display());
        }
    }
}

/// Puts `more` over `base`, object by object; `null` removes.
pub fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, more) => *base = more.clone(),
    }
}
