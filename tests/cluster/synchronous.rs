//! Synchronous replication: what was acknowledged is there after the primary's death, with and without
//! anybody left to acknowledge it, and while the mode itself is changed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fault_table::primary_watch::PrimaryWatch;
use crate::faults::{BOUND, under_load};
use crate::store::get;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::node::Node;
use crate::support::wait::wait_until;
use crate::support::{processes, sql};

fn plan(dcs: Value) -> Plan {
    Plan { dcs, ..Plan::default() }
}

/// How long a health check of HAProxy waits (haproxy.cfg).
const CHECK: Duration = Duration::from_secs(1);

/// Until so many nodes answer this probe with 200.
#[track_caller]
pub fn wait_for_probe(cluster: &Cluster, path: &str, count: usize) {
    wait_until(&format!("{count} nodes answer {path}"), BOUND, || {
        cluster.nodes.iter().filter(|node| node.answers(path, 200)).count() == count
    });
}

/// The standby that commits wait for, and the other one.
pub fn standbys(cluster: &Cluster, leader: usize) -> (usize, usize) {
    wait_for_probe(cluster, "/sync", 1);
    let others = cluster.others(leader);
    let [one, other] = others[..] else { panic!("two standbys: {others:?}") };
    if cluster.nodes[one].answers("/sync", 200) { (one, other) } else { (other, one) }
}

/// Until a commit waits for a standby.
pub fn wait_until_a_write_waits(server: SocketAddr) {
    wait_until("the write waits", BOUND, || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        sql::value(server, waiting).as_deref() == Ok("1")
    });
}

/// Whom commits wait for, as the server has it.
pub fn names(cluster: &Cluster, node: usize) -> String {
    let server = cluster.nodes[node].postgresql();
    sql::value(server, "SHOW synchronous_standby_names").unwrap_or_default()
}

#[test]
fn in_quorum_mode_the_primarys_death_loses_nothing() {
    let scenario = under_load(plan(json!({ "synchronous_mode": "quorum" })), |cluster, leader| {
        wait_for_probe(cluster, "/quorum", 2);
        assert!(names(cluster, leader).starts_with("ANY 1 ("), "{}", names(cluster, leader));
        cluster.nodes[leader].kill_host();
    });
    scenario.report.print("quorum mode, host killed", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_one_writer();
    let now = scenario.leader_now();
    assert_ne!(now, scenario.leader, "another node leads");
    let mut cluster = scenario.cluster;
    cluster.nodes[scenario.leader].start();
    cluster.wait_until_whole(BOUND);
    wait_for_probe(&cluster, "/quorum", 2);
    let shown = cluster.nodes[now].ctl(&["list"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.matches("Quorum Standby").count(), 2, "{shown}");
}

#[test]
fn a_health_check_does_not_notice_an_upgrade() {
    let cluster = Cluster::start(plan(json!({ "synchronous_mode": "quorum" })));
    let leader = cluster.wait_until_whole(BOUND);
    wait_for_probe(&cluster, "/quorum", 2);
    let node = &cluster.nodes[leader];
    wait_until("its admission is written down", BOUND, || {
        let journal = std::fs::read_to_string(node.dir.join("data.pgbaton/journal.json"));
        node.is_primary() && journal.is_ok_and(|text| text.contains("admitted"))
    });
    let began = Instant::now();
    let watch = PrimaryWatch::open(vec![node.rest()], CHECK);
    node.signal(Signal::SIGUSR2);
    node.wait_for_log("decided decision=take up the lease", BOUND);
    let taken_up = Instant::now();
    wait_until("it has led for a while", BOUND, || taken_up.elapsed() > Duration::from_secs(2));
    let reigns = watch.close();
    // A refusal, or no answer in time, would have ended the first of them.
    let [reign] = reigns[..] else { panic!("one time in which all answers were 200: {reigns:?}") };
    assert!(reign.from - began < CHECK && reign.until > taken_up, "{reign:?}");
}

#[test]
fn in_synchronous_mode_only_the_synchronous_standby_takes_over() {
    let mut standby = None;
    let scenario = under_load(plan(json!({ "synchronous_mode": true })), |cluster, leader| {
        wait_for_probe(cluster, "/async", 1);
        standby = Some(standbys(cluster, leader).0);
        cluster.nodes[leader].kill_host();
    });
    scenario.report.print("synchronous mode, host killed", scenario.since);
    scenario.report.assert_nothing_lost();
    assert_eq!(Some(scenario.leader_now()), standby);
}

#[test]
fn with_remote_apply_what_was_acknowledged_can_be_read_at_the_standby() {
    let parameters = json!({ "synchronous_commit": "remote_apply" });
    let dcs = json!({ "synchronous_mode": true, "postgresql": { "parameters": parameters } });
    let scenario = under_load(plan(dcs), |cluster, leader| {
        let standby = cluster.nodes[standbys(cluster, leader).0].postgresql();
        sql::run(cluster.nodes[leader].postgresql(), "CREATE TABLE seen (n int)");
        for n in 1..=50 {
            let write = format!("INSERT INTO seen VALUES ({n})");
            sql::run(cluster.nodes[leader].postgresql(), &write);
            let read = sql::value(standby, "SELECT max(n) FROM seen");
            assert_eq!(read.as_deref(), Ok(n.to_string().as_str()), "right after the commit");
        }
        cluster.nodes[leader].kill_host();
    });
    scenario.report.print("remote_apply, host killed", scenario.since);
    scenario.report.assert_nothing_lost();
}

#[test]
fn without_any_standby_writes_go_on_and_only_the_leader_may_lead() {
    let mut cluster = Cluster::start(plan(json!({ "synchronous_mode": true })));
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 20, BOUND);
    for other in cluster.others(leader) {
        cluster.nodes[other].kill_host();
    }
    wait_until("commits wait for nobody", BOUND, || names(&cluster, leader).is_empty());
    ledger.wait_for_writes(leader, 20, BOUND);
    // The one who knows all that was acknowledged dies; those who do not stay where they are.
    cluster.nodes[leader].kill_host();
    let others = cluster.others(leader);
    for other in &others {
        cluster.nodes[*other].start();
    }
    wait_until("the others say why they do not lead", BOUND, || {
        others.iter().all(|node| {
            let said = cluster.nodes[*node].get("/patroni").map(|answer| answer.body);
            said.is_some_and(|said| said.contains("only the last leader"))
        })
    });
    assert!(others.iter().all(|node| !cluster.nodes[*node].is_primary()));
    cluster.nodes[leader].start();
    let now = cluster.wait_for_leader(BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.assert_nothing_lost();
}

/// A person asks for a failover to the node itself; whether it was done, and what was said.
pub fn ask_to_lead(node: &Node, flag: &[&str]) -> (bool, String) {
    let output = node.ctl(&[&["failover", "--candidate", &node.name, "--force"], flag].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn where_nobody_has_everything_a_person_may_let_the_last_one_lead() {
    let mut cluster = Cluster::start(plan(json!({ "synchronous_mode": true })));
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 20, BOUND);
    let (standby, last) = standbys(&cluster, leader);
    for gone in [leader, standby] {
        cluster.nodes[gone].kill_host();
    }
    let says = |what: &str| {
        wait_until(what, BOUND, || {
            let said = cluster.nodes[last].get("/patroni").map(|answer| answer.body);
            said.is_some_and(|said| said.contains(what))
        });
    };
    // Whether the others carry the leader is one question, whether they have more is another.
    says("the silent leader may be carried by other members");
    wait_until("the leader key is gone", BOUND, || get(&cluster, "leader").is_none());
    let (done, said) = ask_to_lead(&cluster.nodes[last], &[]);
    assert!(!done && said.contains("nobody leads, and this node says: stand by"), "{said}");
    let (done, said) = ask_to_lead(&cluster.nodes[last], &["--accept-loss"]);
    assert!(done && said.contains("Successfully failed over"), "{said}");
    assert_eq!(cluster.wait_for_leader(BOUND), last);
    let log = cluster.nodes[last].log();
    assert!(log.contains("take the lead: somebody accepted what may be lost"), "{log}");
    ledger.wait_for_writes(last, 20, BOUND);
    for gone in [leader, standby] {
        cluster.nodes[gone].start();
    }
    assert_eq!(cluster.wait_until_whole(BOUND), last);
    let other = cluster.nodes[leader].name.clone();
    let words = ["failover", "--candidate", &other, "--accept-loss", "--force"];
    let refused = cluster.nodes[last].ctl(&words);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("so nothing need be lost"), "{said}");
    let report = ledger.close(cluster.nodes[last].postgresql());
    report.assert_one_writer();
    report.print("leader and synchronous standby gone, the loss accepted", Instant::now());
}

#[test]
fn in_strict_mode_writes_wait_for_a_standby() {
    let dcs = json!({ "synchronous_mode": true, "synchronous_mode_strict": true });
    let mut cluster = Cluster::start(plan(dcs));
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "CREATE TABLE strict (id int)");
    let others = cluster.others(leader);
    for other in &others {
        cluster.nodes[*other].kill_host();
    }
    wait_until("nobody streams", BOUND, || {
        sql::value(server, "SELECT count(*) FROM pg_stat_replication").as_deref() == Ok("0")
    });
    let write = std::thread::spawn(move || sql::query(server, "INSERT INTO strict VALUES (1)"));
    wait_until_a_write_waits(server);
    assert!(!names(&cluster, leader).is_empty());
    cluster.nodes[others[0]].start();
    write.join().expect("the writer's thread").expect("the write is done once a standby is there");
    assert_eq!(sql::value(server, "SELECT count(*) FROM strict").as_deref(), Ok("1"));
}

#[test]
fn the_mode_changes_under_load() {
    let cluster = Cluster::start(Plan::default());
    let leader = cluster.wait_until_whole(START_BOUND);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 20, BOUND);
    let node = &cluster.nodes[leader];
    for (mode, probe, count, beginning) in [
        (json!(true), "/sync", 1, "1 ("),
        (json!("quorum"), "/quorum", 2, "ANY 1 ("),
        (json!(true), "/sync", 1, "1 ("),
        (json!(false), "/async", 2, ""),
    ] {
        let body = json!({ "synchronous_mode": mode }).to_string();
        assert_eq!(node.send("PATCH", "/config", &body).status, 200);
        wait_for_probe(&cluster, probe, count);
        wait_until("the server waits for whom it should", BOUND, || {
            let names = names(&cluster, leader);
            names.starts_with(beginning) && names.is_empty() == beginning.is_empty()
        });
        ledger.wait_for_writes(leader, 20, BOUND);
    }
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.assert_nothing_lost();
    report.assert_one_writer();
}

/// A walsender that does not read its settings releases by the lower number it knows, whoever leads the change
/// of it: the record must not promise more.
#[test]
fn a_second_standby_counts_once_every_process_waits_for_it() {
    let mut cluster = Cluster::start(plan(json!({ "synchronous_mode": true })));
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let server = cluster.nodes[leader].postgresql();
    let stuck = "SELECT pid FROM pg_stat_replication WHERE sync_state = 'sync'";
    let stuck = sql::value(server, stuck).expect("an answer").parse().expect("a pid");
    let stuck = cluster.nodes[leader].server_process(stuck).expect("a process of this server");
    processes::signal(stuck, Signal::SIGSTOP);
    let two = json!({ "synchronous_node_count": 2 }).to_string();
    assert_eq!(cluster.nodes[leader].send("PATCH", "/config", &two).status, 200);
    let says = |cluster: &Cluster, what: &str, times: usize| {
        wait_until(what, BOUND, || cluster.nodes[leader].log().matches(what).count() == times);
    };
    // The agent that raises it, and one that finds it raised.
    for agent in 1..=2 {
        says(&cluster, "failed step=\"set the synchronous standbys\"", agent);
        let record: Value = get(&cluster, "sync").expect("a record").parse().expect("JSON");
        assert_eq!(record["sync_standby"], Value::Null, "agent {agent}");
        cluster.nodes[leader].kill_agent();
        cluster.nodes[leader].start();
        says(&cluster, "decided decision=take up the lease", agent);
    }
    processes::signal(stuck, Signal::SIGCONT);
    wait_for_probe(&cluster, "/sync", 2);
}

#[test]
fn a_node_tagged_nosync_is_never_waited_for() {
    let mut cluster = Cluster::prepare(plan(json!({ "synchronous_mode": "quorum" })));
    cluster.nodes[2].set("/tags", json!({ "nosync": true }));
    for node in &mut cluster.nodes {
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    let count = if leader == 2 { 2 } else { 1 };
    wait_for_probe(&cluster, "/quorum", count);
    if leader != 2 {
        assert!(!names(&cluster, leader).contains(&cluster.nodes[2].name));
        assert!(cluster.nodes[2].answers("/async", 200));
    }
}

/// The primary waits for one standby, which may not lead; the other one gets what it lacks from there.
#[test]
fn what_only_a_standby_has_that_may_not_lead_is_fetched_by_another() {
    let plan = plan(json!({ "synchronous_mode": true }));
    let mut cluster = Cluster::prepare(Plan { in_namespaces: true, ..plan });
    let (leader, voter, other) = (0, 1, 2);
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_for_log("decided decision=lead", START_BOUND);
    cluster.nodes[voter].set("/tags", json!({ "nofailover": true }));
    cluster.nodes[other].set("/tags", json!({ "nosync": true }));
    cluster.nodes[voter].start();
    cluster.nodes[other].start();
    assert_eq!(cluster.wait_until_whole(START_BOUND), leader);
    wait_until("the voter is waited for", BOUND, || cluster.nodes[voter].answers("/sync", 200));
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 50, BOUND);
    // From here on it gets nothing from the primary: what is acknowledged only the voter has.
    let network = cluster.network.as_ref().expect("a network");
    network.cut(network.address(leader), other);
    ledger.wait_for_writes(leader, 50, BOUND);
    let since = Instant::now();
    cluster.nodes[leader].kill_host();
    ledger.wait_for_writes(other, 50, BOUND);
    let report = ledger.close(cluster.nodes[other].postgresql());
    report.print("only a standby that may not lead had all, host killed", since);
    report.assert_nothing_lost();
    let fetched = "fetch the acknowledged commits that no candidate has";
    assert!(cluster.nodes[other].log().contains(fetched), "{}", cluster.nodes[other].log());
}

#[test]
fn names_that_somebody_set_by_hand_leave_the_lead_to_the_leader() {
    let cluster = Cluster::start(plan(json!({ "synchronous_mode": true })));
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "ALTER SYSTEM SET synchronous_standby_names = ''");
    sql::run(server, "SELECT pg_reload_conf()");
    wait_for_probe(&cluster, "/sync", 0);
    cluster.nodes[leader].wait_for_log("ALTER SYSTEM RESET", BOUND);
    sql::run(server, "ALTER SYSTEM RESET synchronous_standby_names");
    sql::run(server, "SELECT pg_reload_conf()");
    wait_for_probe(&cluster, "/sync", 1);
}
