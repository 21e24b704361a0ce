//! What others see of a cluster: HAProxy, Prometheus, and people who change its settings.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bootstrap::pair;
use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::OwnAddress;
use crate::support::node::{POSTGRESQL_PORT, REST_PORT};
use crate::support::sql;
use crate::support::wait::wait_until;

/// HAProxy with the repository's own file, on this cluster's addresses.
struct Proxy {
    child: Child,
    address: OwnAddress,
}

impl Proxy {
    fn start(cluster: &Cluster) -> Proxy {
        let address = OwnAddress::take();
        let file = cluster.dir().join("haproxy.cfg");
        std::fs::write(&file, configuration(cluster, address.ip)).expect("a file");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("HAProxy: install it (Debian: haproxy)");
        Proxy { child, address }
    }

    fn writes(&self) -> SocketAddr {
        (self.address.ip, 15_000).into()
    }

    fn reads(&self) -> SocketAddr {
        (self.address.ip, 15_001).into()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped file: its ports and servers replaced, everything else as it is.
fn configuration(cluster: &Cluster, ip: IpAddr) -> String {
    let sample = include_str!("../../haproxy.cfg");
    let mut text = String::new();
    let mut listed = false;
    for line in sample.lines() {
        match line.trim_start().split_once(' ') {
            Some(("bind", place)) => {
                let port = place.rsplit_once(':').map_or("", |(_, port)| port);
                text.push_str(&format!("    bind {ip}:1{port}\n"));
            }
            Some(("server", _)) => {
                for node in cluster.nodes.iter().filter(|_| !listed) {
                    let (name, ip) = (&node.name, node.ip);
                    text.push_str(&format!(
                        "    server {name} {ip}:{POSTGRESQL_PORT} check port {REST_PORT}\n"
                    ));
                }
                listed = true;
            }
            _ => {
                listed = false;
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    text
}

#[test]
fn haproxy_follows_the_leader_and_cuts_sessions_to_a_deposed_one() {
    let cluster = Cluster::start(Plan::default());
    let leader = cluster.wait_for_leader(START_BOUND);
    let proxy = Proxy::start(&cluster);
    let address = "SELECT host(inet_server_addr())";
    let is_at = |place, index: usize| {
        let ip = cluster.nodes[index].ip.to_string();
        sql::value(place, address).is_ok_and(|found| found == ip)
    };
    wait_until("writes go to the leader", BOUND, || is_at(proxy.writes(), leader));
    let in_recovery = "SELECT pg_is_in_recovery()";
    wait_until("reads go to a standby", BOUND, || {
        sql::value(proxy.reads(), in_recovery).as_deref() == Ok("t")
    });

    let runtime = sql::runtime();
    let session = sql::superuser(proxy.writes(), Duration::from_secs(5));
    let session = runtime.block_on(sql::connect(&session)).expect("a session");
    runtime.block_on(session.simple_query("SELECT 1")).expect("it works");
    let body = json!({ "leader": cluster.nodes[leader].name }).to_string();
    let answer = cluster.nodes[leader].send("POST", "/switchover", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let new = cluster.wait_for_another_leader(leader, BOUND);
    let since = Instant::now();
    wait_until("writes go to the new leader", BOUND, || is_at(proxy.writes(), new));
    let routed = since.elapsed();
    println!("haproxy: routed to the new leader {routed:?} after it answered");
    assert!(routed < Duration::from_secs(2), "routing took {routed:?}");
    let old = runtime.block_on(session.simple_query("SELECT 1"));
    assert!(old.is_err(), "the session to the deposed primary goes on");
}

#[test]
fn prometheus_understands_the_metrics() {
    let cluster = Cluster::start(pair());
    for node in &cluster.nodes {
        let answer = node.get("/metrics").expect("an answer");
        assert_eq!(answer.status, 200);
        for name in ["patroni_primary", "patroni_postgres_running", "pgbaton_term"] {
            assert!(answer.body.contains(name), "no {name}:\n{}", answer.body);
        }
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("promtool: install it (Debian: prometheus)");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(answer.body.as_bytes()).expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        // Habits are Patroni's to keep in its own names; what cannot be parsed is an error.
        assert!(!said.contains("error while linting"), "{said}");
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("pgbaton_")).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}

#[test]
fn a_changed_setting_of_the_cluster_reaches_every_server() {
    let cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    let body = json!({ "postgresql": { "parameters": { "work_mem": "7MB" } } }).to_string();
    let answer = cluster.nodes[leader].send("PATCH", "/config", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["postgresql"]["parameters"]["work_mem"], "7MB");
    for node in &cluster.nodes {
        wait_until("the server has the setting", BOUND, || {
            sql::value(node.postgresql(), "SHOW work_mem").as_deref() == Ok("7MB")
        });
    }
    let output = cluster.nodes[leader].ctl(&["edit-config", "--force", "-p", "work_mem=9MB"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for node in &cluster.nodes {
        wait_until("the server has the setting", BOUND, || {
            sql::value(node.postgresql(), "SHOW work_mem").as_deref() == Ok("9MB")
        });
    }
    let output = cluster.nodes[leader].ctl(&["show-config"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("work_mem: 9MB"));
}

#[test]
fn a_shorter_ttl_counts_without_a_restart() {
    let mut cluster = Cluster::start(Plan { ttl: 20, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    let body = json!({ "ttl": 3, "loop_wait": 1, "retry_timeout": 1 }).to_string();
    let answer = cluster.nodes[leader].send("PATCH", "/config", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Each node says that its renewals and its patience are the new ones.
    cluster.wait_until_whole(BOUND);
    let margin = || {
        let text = cluster.nodes[leader].get("/metrics").map(|answer| answer.body);
        let line = |text: &String| {
            let found = text.lines().find(|line| line.starts_with("pgbaton_lease_left_seconds"));
            found.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        text.as_ref().and_then(line)
    };
    wait_until("the lease is short", BOUND, || margin().is_some_and(|left| left < 3.0));
    let ledger = cluster.open_ledger();
    let since = Instant::now();
    cluster.nodes[leader].kill_host();
    cluster.wait_for_another_leader(leader, Duration::from_secs(12));
    let now = ledger.wait_for_writes_anywhere(50, BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.print("host lost after ttl was made shorter", since);
    report.assert_lost_at_most(Duration::from_secs(1), since);
}

#[test]
fn sighup_reads_the_file_again_and_a_broken_file_changes_nothing() {
    let mut cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    let standby = cluster.others(leader)[0];
    cluster.nodes[standby].set("/tags/nofailover", true);
    // Counts from the next start on only: said, and not half done.
    cluster.nodes[standby].set("/name", "somebody-else");
    cluster.nodes[standby].write_config();
    cluster.nodes[standby].signal(Signal::SIGHUP);
    let has_tag = || cluster.member(standby).is_some_and(|it| it["tags"]["nofailover"] == true);
    wait_until("the tag is published", BOUND, has_tag);
    let waiting = "in force only after a restart of the agent keys=\"name\"";
    cluster.nodes[standby].wait_for_log(waiting, BOUND);

    std::fs::write(cluster.nodes[standby].file(), "scope: [").expect("a file");
    cluster.nodes[standby].signal(Signal::SIGHUP);
    cluster.nodes[standby].wait_for_log("node.yml", BOUND);
    cluster.wait_until_whole(BOUND);
    assert!(has_tag(), "the settings from before stay");
    let body = json!({ "leader": cluster.nodes[leader].name }).to_string();
    let answer = cluster.nodes[leader].send("POST", "/switchover", &body);
    assert_eq!(answer.status, 412, "nobody is left to lead: {}", answer.body);
}

#[test]
fn a_restart_brings_settings_into_force_that_wait_for_it() {
    let mut cluster = Cluster::prepare(pair());
    let told = cluster.dir().join("told");
    let command = format!("sh -c 'echo \"$@\" >> {}' callback", told.display());
    for node in &mut cluster.nodes {
        node.set("/postgresql/callbacks/on_restart", command.as_str());
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    let server = cluster.nodes[leader].postgresql();
    let limits = json!({"primary_start_timeout": 0,
                        "postgresql": {"parameters": {"max_connections": 133}}});
    let answer = cluster.nodes[leader].send("PATCH", "/config", &limits.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let scope = "test";
    for name in ["node-1", "node-2"] {
        wait_until("the change waits for a restart", BOUND, || {
            let index = cluster.nodes.iter().position(|node| node.name == name).expect("a node");
            cluster.member(index).is_some_and(|member| member["pending_restart"] == true)
        });
    }
    let unmet = cluster.nodes[leader].send("POST", "/restart", r#"{"role": "replica"}"#);
    assert_eq!(unmet.status, 503, "{}", unmet.body);
    let before = cluster.nodes[leader].log();
    let done = cluster.nodes[leader].ctl(&["restart", scope, "--pending", "--force"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    for name in ["node-1", "node-2"] {
        assert!(said.contains(&format!("Success: restart on member {name}")), "{said}");
    }
    assert_eq!(sql::value(server, "SHOW max_connections").as_deref(), Ok("133"));
    let log = cluster.nodes[leader].log();
    assert!(log.contains("restart: somebody asked for it"), "{log}");
    assert!(!log[before.len()..].contains("hand over"), "the lease goes on: {log}");
    assert_eq!(cluster.leader(), Some(leader));
    wait_until("the callbacks were told of restarts", BOUND, || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.lines().filter(|line| line.starts_with("on_restart ")).count() == 2
    });
    wait_until("nothing waits any more", BOUND, || {
        (0..2).all(|node| {
            cluster.member(node).is_some_and(|member| member.get("pending_restart").is_none())
        })
    });
    let again = cluster.nodes[leader].ctl(&["restart", scope, "--pending", "--force"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"));
}

#[test]
fn list_shows_every_member() {
    let cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    for (index, node) in cluster.nodes.iter().enumerate() {
        let output = node.ctl(&["list", "-f", "json"]);
        let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
        let row = &rows[index];
        assert_eq!(row["Member"], node.name.as_str());
        let role = if index == leader { "Leader" } else { "Replica" };
        assert_eq!(row["Role"], role, "{rows}");
    }
    let output = cluster.nodes[0].ctl(&["list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("+ Cluster: test ("));
}
