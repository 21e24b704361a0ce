//! Everything goes down; whatever comes back in whatever order, the one who has most leads.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::node::Node;

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
