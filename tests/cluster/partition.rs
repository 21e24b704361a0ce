//! Lines are cut, also for one direction: at no time do two nodes take writes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::faults::{BOUND, under_load};
use crate::support::cluster::Plan;
use crate::support::wait::wait_until;

fn in_namespaces() -> Plan {
    Plan { in_namespaces: true, ..Plan::default() }
}

#[test]
fn a_primary_that_etcd_does_not_reach_steps_down_before_another_leads() {
    let mut writes_past_the_end = None;
    let plan = Plan { dcs: json!({ "failsafe_mode": false }), ..in_namespaces() };
    let scenario = under_load(plan, |cluster, leader| {
        let network = cluster.network.as_ref().expect("a network");
        // What etcd answers does not arrive; what the agent sends does, and so do the clients' writes
        // and the other members' questions.
        network.cut_replies_of_etcd(leader);
        cluster.wait_for_another_leader(leader, BOUND);
        let answer = crate::support::sql::value(
            cluster.nodes[leader].postgresql(),
            "INSERT INTO ledger VALUES (-1, -1) RETURNING seq",
        );
        writes_past_the_end = answer.ok();
        cluster.network.as_ref().expect("a network").mend_replies_of_etcd(leader);
    });
    scenario.report.print("primary without etcd's answers", scenario.since);
    assert_eq!(writes_past_the_end, None, "the deposed primary took a write");
    // Clients still reach it until it stops: the last moments before its deadline may be lost.
    let ttl = Duration::from_secs(scenario.cluster.plan.ttl);
    scenario.report.assert_one_writer();
    scenario.report.assert_gap(scenario.since, ttl + Duration::from_secs(4));
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn a_standby_that_is_cut_off_comes_back() {
    let mut cut = 0;
    let scenario = under_load(in_namespaces(), |cluster, leader| {
        cut = cluster.others(leader)[0];
        cluster.network.as_ref().expect("a network").unplug(cut);
        let until = Instant::now() + Duration::from_secs(cluster.plan.ttl);
        while Instant::now() < until {
            assert!(cluster.nodes[leader].is_primary(), "the primary stepped down");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster.network.as_ref().expect("a network").plug_in(cut);
    });
    scenario.report.print("standby cut off", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, Duration::from_secs(1));
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn agents_that_do_not_see_each_other_but_etcd_keep_their_leader() {
    let scenario = under_load(in_namespaces(), |cluster, leader| {
        let network = cluster.network.as_ref().expect("a network");
        let others = cluster.others(leader);
        for (from, to) in [(others[0], others[1]), (others[1], others[0])] {
            network.cut(network.address(from), to);
        }
        let ttl = Duration::from_secs(cluster.plan.ttl);
        let until = Instant::now() + ttl * 2;
        while Instant::now() < until {
            assert!(cluster.nodes[leader].is_primary(), "the primary stepped down");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    scenario.report.print("standbys that do not see each other", scenario.since);
    scenario.report.assert_nothing_lost();
    let leader = scenario.leader;
    let standbys = scenario.cluster.others(leader);
    wait_until("both stream", BOUND, || {
        standbys.iter().all(|index| {
            scenario.cluster.member(*index).is_some_and(|it| it["state"] == "streaming")
        })
    });
}
