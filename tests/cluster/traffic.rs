//! `pgbaton traffic` beside a failover: a client like any other, by a connection string with several hosts.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::node::POSTGRESQL_PORT;
use crate::support::sql::{self, SUPERUSER_PASSWORD};
use crate::support::wait::wait_until;

/// A connection string that names every node.
pub fn hosts(cluster: &Cluster, more: &str) -> String {
    let ips: Vec<String> = cluster.nodes.iter().map(|node| node.ip.to_string()).collect();
    format!("host={} port={POSTGRESQL_PORT} user=postgres {more}", ips.join(","))
}

fn start(cluster: &Cluster, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
    let write = hosts(cluster, "target_session_attrs=read-write");
    command.args(["traffic", "--json", "--write", &write, "--read"]);
    command.arg(hosts(cluster, "load_balance_hosts=random")).args(arguments);
    command.env("PGPASSWORD", SUPERUSER_PASSWORD).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn rows(cluster: &Cluster) -> u64 {
    let Some(leader) = cluster.leader() else { return 0 };
    let count = "SELECT count(*) FROM pgbaton_traffic";
    let count = sql::value(cluster.nodes[leader].postgresql(), count);
    count.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Stops a run and reads its report and exit code.
fn stop(traffic: Child) -> (Value, Option<i32>) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(traffic.id()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    let output = traffic.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|error| panic!("{error}: {said}")), output.status.code())
}

#[test]
fn in_synchronous_mode_traffic_misses_nothing_after_a_failover() {
    let plan = Plan { dcs: json!({ "synchronous_mode": true }), ..Plan::default() };
    let mut cluster = Cluster::start(plan);
    let leader = cluster.wait_until_whole(START_BOUND);
    let document = |cluster: &Cluster, leader: usize| cluster.nodes[leader].get("/cluster");
    wait_until("a standby is synchronous", BOUND, || {
        document(&cluster, leader).is_some_and(|answer| answer.body.contains("sync_standby"))
    });
    let traffic = start(&cluster, &["--rate", "100"]);
    wait_until("writes are acknowledged", BOUND, || rows(&cluster) > 50);
    cluster.nodes[leader].kill_host();
    let now = cluster.wait_for_another_leader(leader, BOUND);
    let before = rows(&cluster);
    wait_until("writes are acknowledged again", BOUND, || rows(&cluster) > before + 50);
    let (report, code) = stop(traffic);
    let ledger = &report["ledger"];
    assert_eq!((code, &ledger["missing"], &ledger["verified"]), (Some(0), &json!(0), &json!(true)));
    let acknowledged = ledger["acknowledged"].as_u64().expect("a number");
    assert!(acknowledged > 100, "{ledger}");
    let address = |index: usize| format!("{}:{POSTGRESQL_PORT}", cluster.nodes[index].ip);
    let writers: Vec<&str> = report["writers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|span| span["node"].as_str())
        .collect();
    assert_eq!(writers, [address(leader), address(now)], "who wrote, one after the other");
    let kinds: Vec<&str> = report["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|news| news["lane"] == "writes")
        .filter_map(|news| news["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"lost") && kinds.contains(&"back"), "{kinds:?}");
    let gap = report["longest_without_write"]["seconds"].as_f64().expect("a number");
    println!(
        "traffic through a failover: {acknowledged} acknowledged, none missing; {gap} s without"
    );
    assert!(gap > 0.5 && gap < 15.0, "{gap}");
    cluster.nodes[leader].start();
    cluster.wait_until_whole(BOUND);
}

#[test]
fn what_is_deleted_beside_traffic_is_missing() {
    let cluster = Cluster::start(Plan { nodes: 2, ..Plan::default() });
    let leader = cluster.wait_until_whole(START_BOUND);
    let traffic = start(&cluster, &["--rate", "100"]);
    wait_until("writes are acknowledged", BOUND, || rows(&cluster) > 50);
    sql::run(cluster.nodes[leader].postgresql(), "DELETE FROM pgbaton_traffic WHERE id = 11");
    let (report, code) = stop(traffic);
    assert_eq!((code, &report["ledger"]["missing"]), (Some(1), &json!(1)), "{report:#}");
    assert_eq!(report["ledger"]["missing_listed"][0]["what"], "row 11");
}
