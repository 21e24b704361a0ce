//! The store is away for longer than the lease, and writes go on: the members carry it. What is asserted
//! is the longest time without an acknowledged write, against what the same cluster shows at rest.

use std::time::{Duration, Instant};

use crate::faults::{BOUND, Scenario, under_load};
use crate::support::cluster::{Cluster, Plan};
use crate::support::wait::wait_until;

/// "0 s" means no more than this, on top of what a cluster at rest shows here.
pub const NO_GAP: Duration = Duration::from_millis(100);
/// What a write takes here at most when nothing is wrong: these are loaded machines with debug builds.
pub const AT_REST: Duration = Duration::from_millis(400);

fn three_and_three() -> Plan {
    Plan { etcd_members: 3, ..Plan::default() }
}

/// For three times the lease nothing happens: the leader goes on and says so.
#[track_caller]
pub fn watch_it_lead(cluster: &Cluster, leader: usize) {
    let until = Instant::now() + Duration::from_secs(cluster.plan.ttl) * 3;
    while Instant::now() < until {
        assert!(cluster.nodes[leader].is_primary(), "{}", cluster.nodes[leader].log_end());
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = cluster.nodes[leader].get("/patroni").expect("it answers").json();
    assert_eq!(shown["failsafe_mode_is_active"], true, "{shown}");
}

#[track_caller]
pub fn assert_that_nothing_happened(scenario: &Scenario) {
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, AT_REST + NO_GAP);
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
    assert_eq!(scenario.leader_now(), scenario.leader);
    let node = &scenario.cluster.nodes[scenario.leader];
    node.wait_for_log("failsafe begins", BOUND);
    node.wait_for_log("failsafe ends", BOUND);
}

#[test]
fn with_all_of_etcd_dead_writes_go_on() {
    let mut scenario = under_load(three_and_three(), |cluster, leader| {
        cluster.wait_until_listed(leader);
        cluster.etcd.kill_all();
        watch_it_lead(cluster, leader);
        cluster.etcd.restart_all();
        cluster.wait_until_whole(BOUND);
    });
    scenario.report.print("all of etcd dead for three ttl, failsafe", scenario.since);
    assert_that_nothing_happened(&scenario);
    scenario.cluster.nodes[scenario.leader].stop();
    scenario.cluster.wait_for_another_leader(scenario.leader, BOUND);
}

#[test]
fn with_all_of_etcd_and_a_standby_dead_writes_go_on() {
    let mut scenario = under_load(three_and_three(), |cluster, leader| {
        cluster.wait_until_listed(leader);
        let dead = cluster.others(leader)[0];
        cluster.nodes[dead].kill_host();
        cluster.etcd.kill_all();
        watch_it_lead(cluster, leader);
        cluster.etcd.restart_all();
    });
    scenario.report.print("all of etcd and a standby dead for three ttl, failsafe", scenario.since);
    assert_that_nothing_happened(&scenario);
    let dead = scenario.cluster.others(scenario.leader)[0];
    scenario.cluster.nodes[dead].start();
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn with_all_of_etcd_and_both_standbys_dead_writes_stop_in_time() {
    let scenario = under_load(three_and_three(), |cluster, leader| {
        cluster.wait_until_listed(leader);
        for dead in cluster.others(leader) {
            cluster.nodes[dead].kill_host();
        }
        cluster.etcd.kill_all();
        let bound = Duration::from_secs(cluster.plan.ttl + 1);
        wait_until("the primary steps down", bound, || !cluster.nodes[leader].is_primary());
        cluster.etcd.restart_all();
        for dead in cluster.others(leader) {
            cluster.nodes[dead].start();
        }
    });
    scenario.report.print("all of etcd and both standbys dead, failsafe", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.cluster.nodes[scenario.leader].wait_for_log("too few members carry the lease", BOUND);
    scenario.cluster.wait_until_whole(BOUND);
}

/// A standby whose agent is gone accepts nobody, and never says that it carries nobody, while its server streams on.
#[test]
fn a_standby_without_its_agent_stops_neither_writes_nor_a_takeover() {
    let mut scenario = under_load(three_and_three(), |cluster, leader| {
        cluster.wait_until_listed(leader);
        let gone = cluster.others(leader)[0];
        cluster.nodes[gone].kill_agent();
        cluster.wait_until_so_many_are_listed(leader, 2);
        assert!(cluster.nodes[gone].server_processes().len() > 1, "its server streams on");
        cluster.etcd.kill_all();
        watch_it_lead(cluster, leader);
        cluster.etcd.restart_all();
        cluster.nodes[leader].wait_for_log("failsafe ends", BOUND);
    });
    scenario.report.print("a standby's agent dead, then all of etcd", scenario.since);
    assert_that_nothing_happened(&scenario);
    let [_, other] = scenario.cluster.others(scenario.leader)[..] else { panic!("three nodes") };
    scenario.cluster.nodes[scenario.leader].kill_host();
    assert_eq!(scenario.cluster.wait_for_another_leader(scenario.leader, BOUND), other);
}

#[test]
fn a_primary_that_etcd_alone_does_not_reach_goes_on() {
    let plan = Plan { in_namespaces: true, ..Plan::default() };
    let scenario = under_load(plan, |cluster, leader| {
        cluster.wait_until_listed(leader);
        cluster.network.as_ref().expect("a network").cut_replies_of_etcd(leader);
        watch_it_lead(cluster, leader);
        for other in cluster.others(leader) {
            let standby = &cluster.nodes[other];
            assert!(!standby.is_primary(), "{}", standby.log_end());
        }
        cluster.network.as_ref().expect("a network").mend_replies_of_etcd(leader);
        cluster.wait_until_whole(BOUND);
    });
    scenario.report.print("primary cut off from etcd only, failsafe", scenario.since);
    assert_that_nothing_happened(&scenario);
}

#[test]
fn one_etcd_member_that_answers_nothing_is_no_outage() {
    let scenario = under_load(three_and_three(), |cluster, leader| {
        let sick = cluster.etcd.leader();
        cluster.etcd.freeze(sick);
        let until = Instant::now() + Duration::from_secs(cluster.plan.ttl) * 3;
        while Instant::now() < until {
            assert!(cluster.nodes[leader].is_primary(), "{}", cluster.nodes[leader].log_end());
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster.etcd.thaw(sick);
    });
    scenario.report.print("etcd's leader frozen for three ttl", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, AT_REST + NO_GAP);
    assert_eq!(scenario.leader_now(), scenario.leader);
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
}
