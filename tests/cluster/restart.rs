//! Everything goes down; whatever comes back in whatever order, the one who has most leads.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::faults::{BOUND, kill_postmaster};
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::node::Node;
use crate::support::sql;
use crate::support::wait::wait_until;

#[test]
fn a_cluster_that_was_killed_comes_back_in_any_order() {
    let mut cluster = Cluster::start(Plan::default());
    let leader = cluster.wait_for_leader(START_BOUND);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 100, BOUND);
    let since = Instant::now();
    // The standbys first: the primary alone has the last writes.
    for index in cluster.others(leader) {
        cluster.nodes[index].kill_host();
    }
    ledger.wait_for_writes(leader, 100, BOUND);
    cluster.nodes[leader].kill_host();
    // The former primary comes last, but before the lease is over: it leads again, or somebody who got
    // from it what it alone had.
    for index in cluster.others(leader) {
        cluster.nodes[index].start();
    }
    cluster.nodes[leader].start();
    let now = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(now, 50, BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.print("everything killed and started again", since);
    report.assert_nothing_lost();
}

#[test]
fn a_cluster_that_was_stopped_comes_back_with_everything() {
    let mut cluster = Cluster::start(Plan::default());
    let ledger = cluster.open_ledger();
    let since = Instant::now();
    for node in &cluster.nodes {
        node.signal(Signal::SIGTERM);
    }
    for node in &mut cluster.nodes {
        let status = node.wait_for_exit(BOUND);
        assert!(status.success(), "{} ended with {status}\n{}", node.name, node.log_end());
    }
    cluster.nodes.iter_mut().rev().for_each(Node::start);
    let leader = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(leader, 50, BOUND);
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("everything stopped and started again", since);
    report.assert_nothing_lost();
}

#[test]
fn etcd_and_all_nodes_at_once() {
    let mut cluster = Cluster::start(Plan { etcd_members: 3, ..Plan::default() });
    let ledger = cluster.open_ledger();
    let since = Instant::now();
    for member in 0..3 {
        cluster.etcd.kill(member);
    }
    cluster.nodes.iter_mut().for_each(Node::kill_host);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.etcd.restart_all();
    let leader = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(leader, 50, BOUND);
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("a power cut for everything", since);
    report.assert_lost_at_most(Duration::from_secs(1), since);
}

/// As a standby PostgreSQL lets nobody in before it has a list of what was under way when the primary crashed, and
/// with so many subtransactions open the list in the log is not whole.
#[test]
fn a_power_cut_in_the_middle_of_a_large_transaction() {
    let mut cluster = Cluster::prepare(Plan::default());
    for node in &mut cluster.nodes {
        node.set("/postgresql/pg_ctl_timeout", 5);
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "CREATE TABLE large (n int)");
    let many = "DO $$ BEGIN FOR n IN 1..200 LOOP \
                BEGIN INSERT INTO large VALUES (n); EXCEPTION WHEN division_by_zero THEN NULL; END; \
                END LOOP; PERFORM pg_sleep(3600); END $$";
    let under_way = std::thread::spawn(move || sql::query(server, many));
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("it is under way", BOUND, || sql::value(server, sleeps).as_deref() == Ok("1"));
    sql::run(server, "CHECKPOINT");
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 50, BOUND);
    let since = Instant::now();
    cluster.nodes.iter_mut().for_each(Node::kill_host);
    under_way.join().expect("the writer's thread").expect_err("its server is gone");
    cluster.nodes.iter_mut().for_each(Node::start);
    let now = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(now, 50, BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.print("a power cut in the middle of a large transaction", since);
    report.assert_lost_at_most(Duration::from_secs(1), since);
    let alone = "recover the crashed server alone: as a standby it lets nobody in";
    assert!(cluster.nodes.iter().any(|node| node.log().contains(alone)));
}

/// A primary that is started again with a larger `max_connections` writes so into the log, and standbys that have
/// less pause there (PostgreSQL 14 and later) or end.
#[test]
fn standbys_follow_a_primary_that_has_come_back_with_larger_settings() {
    let mut cluster = Cluster::start(Plan::default());
    let leader = cluster.wait_until_whole(START_BOUND);
    let larger = json!({ "postgresql": { "parameters": { "max_connections": 150 } } });
    let answer = cluster.nodes[leader].send("PATCH", "/config", &larger.to_string());
    assert_eq!(answer.status, 200);
    wait_until("all wait for a restart", BOUND, || {
        let said = |node: &Node| node.get("/patroni").map(|answer| answer.body);
        let waits =
            |node| said(node).is_some_and(|said| said.contains("\"pending_restart\": true"));
        cluster.nodes.iter().all(waits)
    });
    kill_postmaster(&cluster, leader);
    wait_until("all have what the log asks for", BOUND, || {
        let shown = |node: &Node| sql::value(node.postgresql(), "SHOW max_connections");
        cluster.nodes.iter().all(|node| shown(node).as_deref() == Ok("150"))
    });
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 50, BOUND);
    cluster.nodes[leader].kill_host();
    let now = cluster.wait_for_another_leader(leader, BOUND);
    ledger.wait_for_writes(now, 50, BOUND);
}
