//! etcd restarts, is away, speaks TLS, wants a password, holds nonsense.

use std::time::{Duration, Instant};

use pgbaton::dcs::Store;
use serde_json::json;

use crate::bootstrap::pair;
use crate::faults::{BOUND, under_load};
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::etcd::EtcdSettings;
use crate::support::sql;
use crate::support::wait::wait_until;

/// Puts a key below the cluster's prefix, as somebody else would.
pub fn put(cluster: &Cluster, key: &str, value: &str) {
    let txn = crate::support::store::put(key, value);
    sql::runtime().block_on(async {
        let store = crate::support::store::store_at(cluster.etcd.endpoints(), PREFIX);
        store.commit(txn, Duration::from_secs(5)).await.expect("etcd takes it");
    });
}

/// The value of a key below the cluster's prefix.
pub fn get(cluster: &Cluster, key: &str) -> Option<String> {
    sql::runtime().block_on(async {
        let client = etcd_client::Client::connect(cluster.etcd.endpoints(), None).await;
        let mut client = client.expect("etcd answers");
        let answer = client.get(format!("{PREFIX}{key}"), None).await.expect("etcd answers");
        let found = answer.kvs().first()?;
        Some(found.value_str().expect("text").to_owned())
    })
}

const PREFIX: &str = "/service/test/";

#[test]
fn a_short_restart_of_etcd_costs_no_write() {
    let plan = Plan { etcd_members: 3, ..Plan::default() };
    let scenario = under_load(plan, |cluster, _| {
        for member in 0..3 {
            cluster.etcd.kill(member);
            cluster.etcd.restart(member);
        }
    });
    scenario.report.print("etcd's members restarted one by one", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, Duration::from_secs(1));
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
    assert_eq!(scenario.leader_now(), scenario.leader);
}

#[test]
fn writes_stop_when_etcd_is_away_for_longer_than_the_lease_and_come_back() {
    let plan = Plan { dcs: json!({ "failsafe_mode": false }), ..Plan::default() };
    let mut cluster = Cluster::start(plan);
    let leader = cluster.wait_for_leader(START_BOUND);
    let ledger = cluster.open_ledger();
    let since = Instant::now();
    cluster.etcd.kill(0);
    let ttl = Duration::from_secs(cluster.plan.ttl);
    wait_until("the primary steps down", ttl + Duration::from_secs(1), || {
        cluster.nodes.iter().all(|node| !node.is_primary())
    });
    let before = ledger.acknowledged_by(leader);
    let until = Instant::now() + ttl;
    while Instant::now() < until {
        assert_eq!(cluster.leader(), None, "somebody leads without etcd");
        std::thread::sleep(Duration::from_millis(50));
    }
    let meanwhile = ledger.acknowledged_by(leader) - before;
    assert!(meanwhile <= 1, "{meanwhile} writes were acknowledged past the deadline");
    cluster.etcd.restart(0);
    let leader = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(leader, 50, BOUND);
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("etcd away for longer than the lease", since);
    report.assert_nothing_lost();
}

#[test]
fn a_member_record_that_is_no_json_is_ignored_and_said() {
    let cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    put(&cluster, "members/stranger", "{ this is not JSON");
    cluster.nodes[leader].wait_for_log("stranger", BOUND);
    cluster.wait_until_whole(BOUND);
    wait_until("the standby has said how far it is", BOUND, || {
        let sql = "SELECT count(flush_lsn) FROM pg_stat_replication";
        sql::value(cluster.nodes[leader].postgresql(), sql).as_deref() == Ok("1")
    });
    let body = format!("{{\"leader\": \"{}\"}}", cluster.nodes[leader].name);
    let answer = cluster.nodes[leader].send("POST", "/switchover", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    cluster.wait_until_whole(BOUND);
}

#[test]
fn an_agent_waits_for_an_etcd_that_is_not_there_yet_and_says_so() {
    let mut cluster = Cluster::prepare(pair());
    cluster.etcd.kill(0);
    cluster.nodes.iter_mut().for_each(crate::support::node::Node::start);
    let endpoint = cluster.etcd_hosts()[0].clone();
    for node in &cluster.nodes {
        node.wait_for_log("etcd", START_BOUND);
        node.wait_for_log(&endpoint, START_BOUND);
    }
    cluster.etcd.restart(0);
    cluster.wait_until_whole(START_BOUND);
}

#[test]
fn etcd_over_tls_with_client_certificates() {
    let etcd = EtcdSettings { tls: true, ..Plan::default().etcd };
    let mut cluster = Cluster::prepare(Plan { etcd, ..pair() });
    let tls = cluster.etcd.tls.as_ref().expect("TLS was asked for");
    let files = [
        ("/etcd3/cacert", tls.authority.clone()),
        ("/etcd3/cert", tls.client_cert.clone()),
        ("/etcd3/key", tls.client_key.clone()),
    ];
    // The servers' user has to read them.
    let dir = cluster.dir();
    for (key, file) in files {
        let copy = dir.join(file.file_name().expect("a file"));
        let text = std::fs::read_to_string(&file).expect("a PEM file");
        crate::support::machine::write_file(&copy, &text);
        for node in &mut cluster.nodes {
            node.set(key, copy.display().to_string());
        }
    }
    cluster.nodes.iter_mut().for_each(crate::support::node::Node::start);
    let leader = cluster.wait_until_whole(START_BOUND);
    let output = cluster.nodes[leader].ctl(&["list"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Gives etcd a root user and an account for the agents.
fn guard_with_a_password(cluster: &Cluster) {
    sql::runtime().block_on(async {
        let client = etcd_client::Client::connect(cluster.etcd.endpoints(), None).await;
        let mut client = client.expect("etcd answers");
        for (user, password) in [("root", "root's"), ("agents", "the agents' password")] {
            client.user_add(user, password, None).await.expect("a user");
        }
        client.role_add("root").await.expect("a role");
        for user in ["root", "agents"] {
            client.user_grant_role(user, "root").await.expect("a grant");
        }
        client.auth_enable().await.expect("passwords are asked for");
    });
}

#[test]
fn etcd_with_user_and_password() {
    let mut cluster = Cluster::prepare(pair());
    guard_with_a_password(&cluster);
    for node in &mut cluster.nodes {
        node.set("/etcd3/username", "agents");
        node.set("/etcd3/password", "the agents' password");
    }
    cluster.nodes.iter_mut().for_each(crate::support::node::Node::start);
    cluster.wait_until_whole(START_BOUND);
}

#[test]
fn an_etcd_that_refuses_the_credentials_ends_the_agent_with_the_reason() {
    let mut cluster = Cluster::prepare(Plan { nodes: 1, ..Plan::default() });
    guard_with_a_password(&cluster);
    cluster.nodes[0].set("/etcd3/username", "agents");
    cluster.nodes[0].set("/etcd3/password", "wrong");
    cluster.nodes[0].start();
    let status = cluster.nodes[0].wait_for_exit(START_BOUND);
    assert_eq!(status.code(), Some(1), "{}", cluster.nodes[0].log_end());
    let log = cluster.nodes[0].log().to_lowercase();
    assert!(log.contains("etcd") && (log.contains("password") || log.contains("auth")), "{log}");
    assert!(!log.contains("wrong\""), "the password is in the log: {log}");
}
