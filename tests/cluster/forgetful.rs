//! A store that forgot: emptied, put back to an earlier state, or full.

use std::process::Command;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, DeleteOptions};
use serde_json::json;

use crate::faults::{BOUND, under_load};
use crate::outage::{AT_REST, NO_GAP, assert_that_nothing_happened, watch_it_lead};
use crate::store::get;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::etcd::EtcdSettings;
use crate::support::sql;
use crate::support::wait::wait_until;

/// The baton's term in the store.
fn term(cluster: &Cluster) -> Option<u64> {
    let baton: serde_json::Value = serde_json::from_str(&get(cluster, "baton")?).ok()?;
    baton["term"].as_u64()
}

/// Waits until every node has written down the term it was shown.
#[track_caller]
fn wait_until_seen(cluster: &Cluster) -> u64 {
    let term = term(cluster).expect("a baton");
    wait_until("the members remember the term", BOUND, || {
        cluster.nodes.iter().all(|node| {
            let shown = node.get("/patroni").map(|answer| answer.json());
            shown.is_some_and(|shown| shown["pgbaton"]["seen_term"] == term)
        })
    });
    term
}

#[test]
fn a_running_primary_writes_an_emptied_store_back() {
    let mut before = 0;
    let scenario = under_load(Plan::default(), |cluster, leader| {
        cluster.wait_until_listed(leader);
        before = wait_until_seen(cluster);
        sql::runtime().block_on(async {
            let client = Client::connect(cluster.etcd.endpoints(), None).await;
            let mut client = client.expect("etcd answers");
            let all = Some(DeleteOptions::new().with_prefix());
            client.delete("/service/test/", all).await.expect("etcd deletes");
        });
        let back = ["baton", "leader", "initialize", "config", "lineage", "failsafe"];
        wait_until("everything is written back", BOUND, || {
            back.iter().all(|key| get(cluster, key).is_some())
        });
        cluster.wait_until_whole(BOUND);
    });
    scenario.report.print("store emptied under the running primary", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, AT_REST + NO_GAP);
    assert_eq!(scenario.leader_now(), scenario.leader);
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
    assert_eq!(term(&scenario.cluster), Some(before + 1), "it goes on in a later term");
    let config: serde_json::Value =
        serde_json::from_str(&get(&scenario.cluster, "config").expect("a config")).expect("JSON");
    assert_eq!(config["ttl"], scenario.cluster.plan.ttl, "the settings are the cluster's own");
}

#[test]
fn nothing_is_built_on_an_older_store_until_a_person_says_so() {
    let mut cluster = Cluster::start(Plan::default());
    let ledger = cluster.open_ledger();
    let copy = cluster.dir().join("etcd-copy");
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(status.expect("cp runs").success());
    };
    cluster.etcd.kill(0);
    copied(&cluster.etcd.data_of(0), &copy);
    cluster.etcd.restart(0);
    let leader = cluster.wait_until_whole(BOUND);
    let body = json!({ "leader": cluster.nodes[leader].name }).to_string();
    let answer = cluster.nodes[leader].send("POST", "/switchover", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    cluster.wait_until_whole(BOUND);
    let seen = wait_until_seen(&cluster);

    cluster.etcd.kill(0);
    copied(&copy, &cluster.etcd.data_of(0));
    cluster.etcd.restart(0);
    for node in &cluster.nodes {
        node.wait_for_log("the store is older than this node", START_BOUND);
    }
    assert_eq!(cluster.leader(), None, "somebody leads by a store that forgot");
    // The former primary had the time of a lease for its stop; what it could not send any more, it shows.
    wait_until("every server is up, where a person sees how far it is", BOUND, || {
        cluster.nodes.iter().all(|node| {
            let shown = node.get("/patroni").map(|answer| answer.json());
            shown.is_some_and(|shown| shown["state"] == "running")
        })
    });

    let wrong = cluster.nodes[0].ctl(&["recover", "--accept-term", "99", "--force"]);
    assert!(!wrong.status.success(), "{}", String::from_utf8_lossy(&wrong.stdout));
    let accepted = seen.to_string();
    let output = cluster.nodes[0].ctl(&["recover", "--accept-term", &accepted, "--force"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let leader = cluster.wait_until_whole(BOUND);
    assert!(term(&cluster) > Some(seen), "terms go on");
    ledger.wait_for_writes(leader, 50, BOUND);
    ledger.close(cluster.nodes[leader].postgresql()).assert_nothing_lost();
}

#[test]
fn a_store_without_space_is_an_outage_and_not_a_lost_lease() {
    let etcd = EtcdSettings { quota_bytes: Some(4 << 20), ..Plan::default().etcd };
    let scenario = under_load(Plan { etcd, ..Plan::default() }, |cluster, leader| {
        cluster.wait_until_listed(leader);
        let client = sql::runtime();
        client.block_on(async {
            let client = Client::connect(cluster.etcd.endpoints(), None).await;
            let mut client = client.expect("etcd answers");
            let block = vec![0_u8; 512 << 10];
            let mut refused = false;
            for _ in 0..100 {
                refused = client.put("/filler", block.clone(), None).await.is_err();
                if refused {
                    break;
                }
            }
            assert!(refused, "etcd takes more than its quota");
        });
        watch_it_lead(cluster, leader);
        sql::runtime().block_on(async {
            let client = Client::connect(cluster.etcd.endpoints(), None).await;
            let mut client = client.expect("etcd answers");
            let deleted = client.delete("/filler", None).await.expect("etcd deletes");
            let revision = deleted.header().expect("a header").revision();
            let physical = Some(CompactionOptions::new().with_physical());
            client.compact(revision, physical).await.expect("etcd compacts");
            client.defragment().await.expect("etcd gives the space back");
            // It has to be taken back of the member that raised it, by name.
            let raised = client.alarm(AlarmAction::Get, AlarmType::Nospace, None).await;
            for one in raised.expect("the alarm").alarms() {
                let mut of = AlarmOptions::new();
                of.with_member(one.member_id());
                let alarm =
                    client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(of)).await;
                alarm.expect("the alarm is taken back");
            }
        });
        let left = Duration::from_secs(cluster.plan.ttl * 3);
        cluster.nodes[leader].wait_for_log("failsafe ends", left);
        cluster.wait_until_whole(BOUND);
    });
    scenario.report.print("store without space for three ttl, failsafe", scenario.since);
    assert_that_nothing_happened(&scenario);
}
