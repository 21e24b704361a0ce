//! How a former primary comes back: as it is, rewound, or not at all, with the reason.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::sql;
use crate::support::wait::wait_until;

/// A cluster whose first leader has written what nobody else has, and is down; another leads. Returns the
/// former leader.
pub fn diverged(plan: Plan) -> (Cluster, usize) {
    let mut cluster = Cluster::start(plan);
    let former = cluster.wait_for_leader(START_BOUND);
    let server = cluster.nodes[former].postgresql();
    sql::run(server, "CREATE TABLE kept AS SELECT 1 AS n");
    for standby in cluster.others(former) {
        wait_until("the standbys have the first table", BOUND, || {
            sql::value(cluster.nodes[standby].postgresql(), "SELECT n FROM kept").is_ok()
        });
    }
    // Nobody hears of what comes next: the standbys' connections to the primary are stopped.
    let stopped: Vec<nix::unistd::Pid> = cluster
        .others(former)
        .into_iter()
        .map(|standby| cluster.nodes[standby].receiver())
        .collect();
    for receiver in &stopped {
        nix::sys::signal::kill(*receiver, nix::sys::signal::Signal::SIGSTOP).expect("ours");
    }
    sql::run(server, "CREATE TABLE lost AS SELECT generate_series(1, 1000) AS n");
    cluster.nodes[former].kill_host();
    for receiver in &stopped {
        // What is in its socket is of a connection that is gone; most of it never arrives.
        nix::sys::signal::kill(*receiver, nix::sys::signal::Signal::SIGKILL).expect("ours");
    }
    let now = cluster.wait_for_another_leader(former, BOUND);
    wait_until("the new leader takes writes", BOUND, || {
        let write = "CREATE TABLE IF NOT EXISTS after AS SELECT 1 AS n";
        sql::query(cluster.nodes[now].postgresql(), write).is_ok()
    });
    (cluster, former)
}

#[test]
fn a_diverged_primary_is_rewound_and_follows() {
    let (mut cluster, former) = diverged(Plan::default());
    let since = Instant::now();
    let server = cluster.nodes[former].postgresql();
    cluster.nodes[former].start();
    cluster.wait_until_whole(BOUND);
    let log = cluster.nodes[former].log();
    assert!(log.contains("rewind"), "{log}");
    assert_eq!(sql::value(server, "SELECT n FROM kept").as_deref(), Ok("1"));
    let lost = sql::value(server, "SELECT count(*) FROM lost").unwrap_err();
    assert!(lost.contains("does not exist"), "{lost}");
    let bound = Duration::from_secs(10);
    wait_until("it has what the new leader wrote", bound, || {
        sql::value(server, "SELECT n FROM after").as_deref() == Ok("1")
    });
    println!("a diverged primary is rewound: whole after {:?}", since.elapsed());
}

#[test]
fn a_diverged_primary_that_may_not_be_rewound_stays_down_untouched() {
    let dcs = json!({ "postgresql": { "use_pg_rewind": false } });
    let (mut cluster, former) = diverged(Plan { dcs, ..Plan::default() });
    cluster.nodes[former].config["pgbaton"] = json!({ "diverged_data": "stay_down" });
    let control = cluster.nodes[former].data_dir().join("global/pg_control");
    cluster.nodes[former].start();
    cluster.nodes[former].wait_for_log("stay down", BOUND);
    let reason = "use_pg_rewind";
    cluster.nodes[former].wait_for_log(reason, BOUND);
    let before = std::fs::read(&control).expect("a control file");
    let ttl = Duration::from_secs(cluster.plan.ttl);
    let until = Instant::now() + ttl * 2;
    while Instant::now() < until {
        assert!(!cluster.nodes[former].answers("/replica", 200), "it takes reads");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(std::fs::read(&control).expect("a control file"), before, "the data was touched");
    let document = cluster.nodes[former].get("/patroni").expect("it answers").json();
    assert_ne!(document["state"], "running", "{document}");
    let output = cluster.nodes[former].ctl(&["list", "-f", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = cluster.nodes[former].name.as_str();
    let rows = rows.as_array().expect("rows");
    let row = rows.iter().find(|row| row["Member"] == name).expect("it is listed");
    assert_ne!(row["State"], "running", "{row}");
    assert_ne!(row["State"], "streaming", "{row}");
}
