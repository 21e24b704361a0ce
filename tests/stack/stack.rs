//! The running stack: brought up once, told to stop and start parts of itself, and gone without a trace.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

use super::compose::{Project, docker, try_docker};
use super::support::http::Request;
use super::support::ledger::{CONNECT_BOUND, Ledger};
use super::support::sql::{self, SUPERUSER_PASSWORD};
use super::support::wait::{wait_for, wait_until};

/// The members, in the order of their ports.
pub const NODES: [&str; 3] = ["pg-a", "pg-b", "pg-c"];
const EVERYTHING: [&str; 9] =
    ["etcd-1", "etcd-2", "etcd-3", "pg-a", "pg-b", "pg-c", "haproxy", "haproxy2", "prometheus"];
/// What the bounds of the drills are made of: the `ttl` of docker/node.yml.
pub const TTL: Duration = Duration::from_secs(5);
/// Until all is well again after a drill.
const SETTLE_BOUND: Duration = Duration::from_secs(60);

const PORTS: [&str; 14] = [
    "REST_A",
    "REST_B",
    "REST_C",
    "PG_A",
    "PG_B",
    "PG_C",
    "WRITE",
    "READ",
    "STATS",
    "WRITE2",
    "READ2",
    "STATS2",
    "PROMETHEUS",
    "GRAFANA",
];

/// The stack.
pub struct Stack {
    pub project: Project,
    ports: BTreeMap<&'static str, u16>,
    /// Since when it has been healthy.
    pub healthy_since: Instant,
}

impl Stack {
    /// Starts everything, and waits until it is healthy.
    pub fn up() -> Stack {
        let ports = free_ports();
        let numbered =
            |(name, port): (&&str, &u16)| (format!("PGBATON_{name}_PORT"), port.to_string());
        let mut project = project();
        project.variables.extend(ports.iter().map(numbered));
        let started = Instant::now();
        let mut stack = Stack { project, ports, healthy_since: started };
        stack.project.compose(&["up", "--detach", "--no-build"]);
        stack.settle();
        stack.healthy_since = Instant::now();
        println!("the stack is healthy after {:.1} s", started.elapsed().as_secs_f64());
        stack
    }

    fn local(&self, port: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[port]).into()
    }

    pub fn writes(&self) -> SocketAddr {
        self.local("WRITE")
    }

    pub fn reads(&self) -> SocketAddr {
        self.local("READ")
    }

    pub fn prometheus(&self) -> SocketAddr {
        self.local("PROMETHEUS")
    }

    fn rest(&self, node: &str) -> SocketAddr {
        self.local(PORTS[position(node)])
    }

    /// One way for clients: any of these that takes writes.
    pub fn either_of(&self, ports: &[&str]) -> Config {
        let mut config = Config::new();
        for port in ports {
            config.host(Ipv4Addr::LOCALHOST.to_string()).port(self.ports[*port]);
        }
        config.dbname("postgres").user("postgres").password(SUPERUSER_PASSWORD);
        config.connect_timeout(CONNECT_BOUND).target_session_attrs(TargetSessionAttrs::ReadWrite);
        config
    }

    /// Clients through HAProxy.
    pub fn ledger(&self) -> Ledger {
        let ledger = Ledger::open(self.writes(), &[self.writes()]);
        ledger.wait_for_writes(0, 50, Duration::from_secs(10));
        ledger
    }

    /// What a node says under a path, if it says anything.
    pub fn ask(&self, node: &str, path: &str) -> Option<Value> {
        let answer = Request::get(path).send(self.rest(node)).ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    fn code(&self, node: &str, path: &str) -> Option<u16> {
        Request::get(path).send(self.rest(node)).ok().map(|answer| answer.status)
    }

    /// Who answers as the primary: one or none.
    pub fn leader(&self) -> Option<&'static str> {
        let mut leading = NODES.into_iter().filter(|node| self.code(node, "/primary") == Some(200));
        let first = leading.next();
        let second = leading.next();
        assert!(second.is_none(), "{first:?} and {second:?} both answer as the primary");
        first
    }

    /// The primary, which has to come.
    #[track_caller]
    pub fn primary(&self) -> &'static str {
        wait_for("a primary", SETTLE_BOUND, || self.leader())
    }

    /// Those that are not the primary.
    #[track_caller]
    pub fn replicas(&self) -> [&'static str; 2] {
        let primary = self.primary();
        let others: Vec<_> = NODES.into_iter().filter(|node| *node != primary).collect();
        [others[0], others[1]]
    }

    /// Whether a node streams from its primary.
    pub fn streams(&self, node: &str) -> bool {
        let state = self.ask(node, "/patroni").map(|status| status["replication_state"].clone());
        self.code(node, "/replica") == Some(200) && state == Some("streaming".into())
    }

    /// Until there is a primary with two replicas that stream, and HAProxy has found them.
    #[track_caller]
    pub fn settle(&self) {
        wait_until("a primary and two replicas that stream", SETTLE_BOUND, || {
            let Some(primary) = self.leader() else { return false };
            NODES.iter().filter(|node| **node != primary).all(|node| self.streams(node))
        });
        wait_until("HAProxy has a way to both", SETTLE_BOUND, || {
            let recovers = |port| sql::value(port, "SELECT pg_is_in_recovery()");
            recovers(self.writes()).as_deref() == Ok("f")
                && recovers(self.reads()).as_deref() == Ok("t")
        });
    }

    /// Starts whatever a drill that failed has left stopped or paused.
    pub fn put_back(&self) {
        for service in EVERYTHING {
            let _ = try_docker(&["unpause", &self.project.container(service)]);
        }
        self.tell(&["start"], &EVERYTHING);
    }

    /// A command of docker for the containers of these services.
    #[track_caller]
    pub fn tell(&self, command: &[&str], services: &[&str]) {
        let containers: Vec<String> =
            services.iter().map(|service| self.project.container(service)).collect();
        let mut arguments = command.to_vec();
        arguments.extend(containers.iter().map(String::as_str));
        docker(&arguments);
    }

    /// Runs a program in the container of a service; what it printed.
    #[track_caller]
    pub fn exec(&self, service: &str, program: &[&str]) -> String {
        let container = self.project.container(service);
        let mut arguments = vec!["exec", container.as_str()];
        arguments.extend(program);
        docker(&arguments)
    }

    /// Changes settings of the cluster.
    #[track_caller]
    pub fn configure(&self, setting: &str) {
        self.exec(self.primary(), &["pgbaton", "ctl", "edit-config", "--force", "-s", setting]);
    }

    /// Makes this node the primary.
    #[track_caller]
    pub fn hand_over_to(&self, node: &str) {
        if self.primary() != node {
            self.exec(node, &["pgbaton", "ctl", "switchover", "--candidate", node, "--force"]);
            wait_until("it leads", SETTLE_BOUND, || self.leader() == Some(node));
            self.settle();
        }
    }

    /// Keeps the containers' logs of a drill that failed.
    pub fn tell_logs(&self, drill: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stack/logs").join(drill);
        fs::create_dir_all(&folder).expect("a folder below target");
        for service in NODES.iter().chain(&["haproxy", "prometheus", "etcd-1"]) {
            let container = self.project.container(service);
            let mut command = Command::new("docker");
            let output = command.args(["logs", &container]).output().expect("docker runs");
            let text = [output.stdout, output.stderr].concat();
            fs::write(folder.join(service), text).expect("a log can be written");
        }
        println!("the logs are in {}", folder.display());
    }

    /// Stops all of it, which has to be clean, and takes it away, which has to be complete.
    pub fn down(&self) {
        self.tell(&["stop"], &NODES);
        for node in NODES {
            let code = self.project.inspect(node, "{{.State.ExitCode}}");
            assert_eq!(code, "0", "{node} did not stop cleanly");
        }
        self.take_away();
        let left = self.project.remains();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    fn take_away(&self) {
        self.project.compose(&["down", "--volumes", "--remove-orphans", "--timeout", "10"]);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if try_docker(&["version"]).is_ok() && !self.project.remains().is_empty() {
            self.take_away();
        }
    }
}

/// Builds the images around the binary under test.
pub fn build_images() {
    let began = Instant::now();
    project().compose(&["build"]);
    println!("images built in {:.1} s", began.elapsed().as_secs_f64());
}

/// The project of this test, without its ports.
fn project() -> Project {
    let variables = [
        ("COMPOSE_PROFILES", "haproxy2"),
        ("PGBATON_NODE_TARGET", "prebuilt"),
        ("PGBATON_BINARY", "target/stack/pgbaton"),
        ("PGBATON_IMAGE_PREFIX", "pgbaton-test"),
        ("PGBATON_SUPERUSER_PASSWORD", SUPERUSER_PASSWORD),
    ];
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let name = format!("pgbaton-test-{}", std::process::id());
    Project { name, variables: variables.into_iter().map(own).collect() }
}

fn position(node: &str) -> usize {
    NODES.iter().position(|one| *one == node).expect("a node of the stack")
}

/// A port for each, all taken at once so that none comes twice.
pub fn free_ports() -> BTreeMap<&'static str, u16> {
    let bound = PORTS.map(|name| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        (name, listener)
    });
    let number = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    bound.iter().map(|(name, listener)| (*name, number(listener))).collect()
}

/// Puts the binary under test where the Dockerfile may take it from, without what only a debugger needs.
pub fn lay_binary_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stack");
    fs::create_dir_all(&folder).expect("a folder below target");
    let mut command = Command::new("strip");
    command.arg("-o").arg(folder.join("pgbaton")).arg(env!("CARGO_BIN_EXE_pgbaton"));
    assert!(command.status().expect("strip is there (binutils)").success(), "strip failed");
}
