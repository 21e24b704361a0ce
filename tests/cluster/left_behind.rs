//! Members that the recorded history has left behind, and who went on with it is gone for good.

use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::rejoin::diverged;
use crate::store::{get, put};
use crate::support::cluster::{Cluster, Plan};
use crate::support::machine::write_file;
use crate::support::sql;
use crate::support::wait::wait_until;
use crate::synchronous::ask_to_lead;

fn document(cluster: &Cluster, key: &str) -> Value {
    let text = get(cluster, key).unwrap_or_else(|| panic!("{key} is in the store"));
    serde_json::from_str(&text).expect("JSON")
}

fn timeline(cluster: &Cluster, node: usize) -> Option<i64> {
    cluster.member(node)?["timeline"].as_i64()
}

/// The promotion to this timeline, the last one, was never recorded; after it this node was about to be promoted,
/// and died for good.
fn forget_the_promotion(cluster: &Cluster, next: usize, branch: i64) {
    let name = cluster.nodes[next].name.clone();
    let (mut baton, mut lineage) = (document(cluster, "baton"), document(cluster, "lineage"));
    let term = baton["term"].as_u64().expect("a term") + 1;
    let promotions = lineage["promotions"].as_array_mut().expect("promotions");
    let unrecorded = promotions.last_mut().expect("a promotion");
    assert_eq!((&unrecorded["timeline"], &unrecorded["state"]), (&branch.into(), &"done".into()));
    unrecorded["state"] = "intended".into();
    let mut intended = unrecorded.clone();
    intended["term"] = term.into();
    intended["timeline"] = (branch + 1).into();
    intended["node"] = name.as_str().into();
    promotions.push(intended);
    baton["term"] = term.into();
    baton["incarnation"] = "00000000000000aa".into();
    baton["holder"] = name.into();
    let guard = json!({ "term": term, "incarnation": baton["incarnation"] });
    for (key, value) in [("lineage", lineage), ("baton", baton), ("baton_guard", guard)] {
        put(cluster, key, &value.to_string());
    }
}

/// Leaders that die one after the other before they can record their promotion are seldom: the store is put
/// into the state that they leave.
#[test]
fn a_promotion_that_nobody_recorded_is_taken_up_where_it_is_all_that_is_left() {
    // What is written on the branch must not reach the bound on the lag, however slow the machine is.
    let dcs = json!({ "maximum_lag_on_failover": 64 << 20 });
    let mut cluster = Cluster::start(Plan { ttl: 4, dcs, ..Plan::default() });
    let last = cluster.wait_until_whole(BOUND);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(last, 20, BOUND);
    cluster.nodes[last].kill_host();
    let first = cluster.wait_for_another_leader(last, BOUND);
    let both = cluster.others(last);
    cluster.wait_until_these_are_whole(&both, BOUND);
    ledger.wait_for_writes(first, 20, BOUND);
    let branch = timeline(&cluster, first).expect("a timeline");
    // The other one is to have less: its connection to the leader is stopped.
    let other = both.iter().copied().find(|node| *node != first).expect("two are left");
    let receiver = cluster.nodes[other].receiver();
    nix::sys::signal::kill(receiver, nix::sys::signal::Signal::SIGSTOP).expect("ours");
    let server = cluster.nodes[first].postgresql();
    sql::run(server, "CREATE TABLE further AS SELECT generate_series(1, 1000) AS n");
    for node in &both {
        cluster.nodes[*node].kill_host();
    }

    forget_the_promotion(&cluster, last, branch);
    for node in &both {
        cluster.nodes[*node].start();
    }
    let now = cluster.wait_until_these_are_whole(&both, BOUND);
    assert_eq!(now, first, "who has more of the branch goes first");
    assert_eq!(sql::value(server, "SELECT count(*) FROM further").as_deref(), Ok("1000"));
    assert_eq!(
        timeline(&cluster, now),
        Some(branch + 2),
        "the ids that were intended are not used"
    );
    let recorded = document(&cluster, "lineage");
    let states: Vec<(i64, &str)> = recorded["promotions"]
        .as_array()
        .expect("promotions")
        .iter()
        .map(|one| (one["timeline"].as_i64().unwrap_or(0), one["state"].as_str().unwrap_or("")))
        .collect();
    for known in [(branch, "done"), (branch + 1, "intended"), (branch + 2, "done")] {
        assert!(states.contains(&known), "{known:?} is not among {states:?}");
    }
    ledger.wait_for_writes(now, 20, BOUND);
    cluster.nodes[last].start();
    let now = cluster.wait_until_whole(BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.assert_one_writer();
}

#[test]
fn a_person_may_let_a_member_lead_that_the_history_left_behind() {
    // Else two who do not answer may be carrying the leader, which is another question.
    let dcs = json!({ "failsafe_mode": false });
    let (mut cluster, former) = diverged(Plan { dcs, ..Plan::default() });
    let (server, gone) = (cluster.nodes[former].postgresql(), cluster.others(former));
    for node in &gone {
        cluster.nodes[*node].kill_host();
    }
    cluster.nodes[former].start();
    wait_until("the leader key is gone", BOUND, || get(&cluster, "leader").is_none());
    cluster.nodes[former].wait_for_log("no candidate is fit", BOUND);
    let (done, said) = ask_to_lead(&cluster.nodes[former], &[]);
    assert!(!done && said.contains("its log goes past the fork"), "{said}");
    assert!(!cluster.nodes[former].is_primary(), "nobody has said that what others had may go");
    let (done, said) = ask_to_lead(&cluster.nodes[former], &["--accept-loss"]);
    assert!(done && said.contains("Successfully failed over"), "{said}");
    assert_eq!(cluster.wait_for_leader(BOUND), former);
    let log = cluster.nodes[former].log();
    let accepted = "take the lead: somebody accepted what may be lost: its log goes past the fork";
    assert!(log.contains(accepted), "{log}");
    assert_eq!(sql::value(server, "SELECT count(*) FROM lost").as_deref(), Ok("1000"));
    let after = sql::value(server, "SELECT n FROM after").unwrap_err();
    assert!(after.contains("does not exist"), "{after}");
    for node in &gone {
        cluster.nodes[*node].start();
    }
    assert_eq!(cluster.wait_until_whole(BOUND), former);
    for node in gone {
        let server = cluster.nodes[node].postgresql();
        wait_until("the others have come back to its history", BOUND, || {
            sql::value(server, "SELECT count(*) FROM lost").as_deref() == Ok("1000")
        });
    }
}

/// It has heard of a timeline, and got nothing of it, when it dies.
#[test]
fn a_standby_does_not_wait_for_a_timeline_that_the_cluster_has_left() {
    let dcs = json!({ "failsafe_mode": false, "maximum_lag_on_failover": 64 << 20 });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let former = cluster.wait_until_whole(BOUND);
    let [next, standby] = cluster.others(former)[..] else { panic!("two others") };
    cluster.nodes[standby].kill_host();
    cluster.nodes[former].stop();
    assert_eq!(cluster.wait_for_another_leader(former, BOUND), next);
    let history = |cluster: &Cluster, node: usize| {
        cluster.nodes[node].data_dir().join("pg_wal/00000002.history")
    };
    wait_until("its promotion is recorded", BOUND, || {
        let recorded = get(&cluster, "lineage").unwrap_or_default();
        history(&cluster, next).exists() && recorded.matches("done").count() == 2
    });
    cluster.nodes[next].kill_host();
    let told = std::fs::read_to_string(history(&cluster, next)).expect("a history");
    write_file(&history(&cluster, standby), &told);
    // It has all but what was written on that timeline, and goes on without it.
    cluster.nodes[former].start();
    assert_eq!(cluster.wait_for_another_leader(next, BOUND), former);
    cluster.nodes[standby].start();
    cluster.wait_until_these_are_whole(&[former, standby], BOUND);
    let log = cluster.nodes[standby].log();
    assert!(log.contains("removing the histories of timelines that the cluster has left"), "{log}");
}
