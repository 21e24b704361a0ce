//! What stops and what is killed, and what clients see of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::rules::wait_for_alert;
use super::stack::{Stack, TTL};
use super::support::ledger::Ledger;
use super::support::sql;
use super::support::wait::wait_until;

/// Where nothing is taken from writers: a late answer on a busy machine.
const NO_GAP: Duration = Duration::from_secs(1);
/// A handover on request, HAProxy's second included.
const HANDOVER_GAP: Duration = Duration::from_secs(4);
/// A primary that is gone without a word: its lease, the race, and HAProxy's second.
const TAKEOVER_GAP: Duration = Duration::from_secs(TTL.as_secs() + 3);
/// Until what was started again is at work.
const BACK_BOUND: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(60);

/// Where a read through HAProxy ends.
fn read_by(stack: &Stack) -> Result<String, String> {
    sql::value(stack.reads(), "SELECT host(inet_server_addr())")
}

fn address_of(stack: &Stack, node: &str) -> String {
    stack.project.inspect(node, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

/// Closes a ledger of clients that must not have noticed anything.
fn assert_unnoticed(stack: &Stack, ledger: Ledger, since: Instant, drill: &str) {
    let report = ledger.close(stack.writes());
    report.print(drill, since);
    report.assert_nothing_lost();
    assert!(report.indeterminate.is_empty(), "without an answer: {:?}", report.indeterminate);
    report.assert_gap(since, NO_GAP);
}

pub fn a_stopped_replica_is_missed_by_nobody(stack: &Stack) {
    let [stopped, other] = stack.replicas();
    let (gone, there) = (address_of(stack, stopped), address_of(stack, other));
    let both = BTreeSet::from([gone, there.clone()]);
    let mut seen = BTreeSet::new();
    wait_until("reads go to both replicas", BACK_BOUND, || {
        seen.insert(read_by(stack).expect("a read"));
        seen == both
    });
    let ledger = stack.ledger();
    let began = Instant::now();
    stack.tell(&["stop"], &[stopped]);
    for _ in 0..50 {
        assert_eq!(read_by(stack).as_ref(), Ok(&there), "a read while {stopped} is stopped");
    }
    // As long as it takes Prometheus to miss it.
    wait_for_alert(stack, "PgbatonReplicaMissing", true);
    ledger.wait_for_writes(0, 50, BACK_BOUND);
    stack.tell(&["start"], &[stopped]);
    let started = Instant::now();
    wait_until("it is back and streams", BACK_BOUND, || stack.streams(stopped));
    println!("{stopped} streams {:.1} s after its start", started.elapsed().as_secs_f64());
    wait_for_alert(stack, "PgbatonReplicaMissing", false);
    assert_unnoticed(stack, ledger, began, "replica stopped");
}

pub fn a_stopped_primary_hands_over(stack: &Stack) {
    let former = stack.primary();
    let ledger = stack.ledger();
    let began = Instant::now();
    stack.tell(&["stop"], &[former]);
    assert_eq!(stack.project.inspect(former, "{{.State.ExitCode}}"), "0", "a clean end");
    ledger.wait_for_writes(0, 100, LONG);
    assert_ne!(stack.primary(), former);
    stack.tell(&["start"], &[former]);
    let started = Instant::now();
    wait_until("it is a replica again", BACK_BOUND, || stack.streams(former));
    println!("{former} streams {:.1} s after its start", started.elapsed().as_secs_f64());
    let report = ledger.close(stack.writes());
    report.print("primary stopped", began);
    report.assert_nothing_lost();
    report.assert_gap(began, HANDOVER_GAP);
}

pub fn a_killed_primary_loses_nothing(stack: &Stack) {
    stack.configure("synchronous_mode=true");
    let synchronous = |stack: &Stack| {
        let replicas = stack.replicas();
        replicas.iter().any(|node| {
            let status = stack.ask(node, "/patroni").unwrap_or_default();
            status["sync_standby"] == true
        })
    };
    wait_until("a synchronous standby", LONG, || synchronous(stack));
    let former = stack.primary();
    let ledger = stack.ledger();
    let began = Instant::now();
    stack.tell(&["kill", "--signal", "KILL"], &[former]);
    ledger.wait_for_writes(0, 100, LONG);
    assert_ne!(stack.primary(), former);
    stack.tell(&["start"], &[former]);
    let started = Instant::now();
    wait_until("it is a replica again", LONG, || stack.streams(former));
    println!("{former} streams {:.1} s after its start", started.elapsed().as_secs_f64());
    let report = ledger.close(stack.writes());
    report.print("primary killed, synchronous mode", began);
    report.assert_nothing_lost();
    report.assert_gap(began, TAKEOVER_GAP);
    stack.configure("synchronous_mode=false");
    wait_for_alert(stack, "PgbatonFailoverHappened", true);
}

pub fn one_etcd_member_is_not_missed(stack: &Stack) {
    without_etcd(stack, &["etcd-1"], "one etcd member stopped");
}

pub fn writes_go_on_without_an_etcd_majority(stack: &Stack) {
    without_etcd(stack, &["etcd-2", "etcd-3"], "two etcd members stopped");
}

/// Writes go on for longer than a lease lasts, and the primary stays.
fn without_etcd(stack: &Stack, members: &[&str], drill: &str) {
    let primary = stack.primary();
    let ledger = stack.ledger();
    let began = Instant::now();
    stack.tell(&["stop"], members);
    let stopped = Instant::now();
    wait_until("twice a lease is over", LONG, || stopped.elapsed() > TTL * 2);
    ledger.wait_for_writes(0, 50, BACK_BOUND);
    stack.tell(&["start"], members);
    stack.settle();
    assert_eq!(stack.primary(), primary, "the primary stays");
    assert_unnoticed(stack, ledger, began, drill);
}

pub fn direct_clients_need_no_haproxy(stack: &Stack) {
    let direct = stack.either_of(&["PG_A", "PG_B", "PG_C"]);
    let ledger = Ledger::open_by(stack.writes(), vec![direct]);
    ledger.wait_for_writes(0, 50, BACK_BOUND);
    let began = Instant::now();
    stack.tell(&["stop"], &["haproxy"]);
    ledger.wait_for_writes(0, 100, BACK_BOUND);
    assert!(read_by(stack).is_err(), "HAProxy is stopped");
    // And without it they find the next primary themselves.
    let [next, _] = stack.replicas();
    stack.exec(next, &["pgbaton", "ctl", "switchover", "--candidate", next, "--force"]);
    wait_until("it leads", LONG, || stack.leader() == Some(next));
    ledger.wait_for_writes(0, 100, LONG);
    stack.tell(&["start"], &["haproxy"]);
    stack.settle();
    let report = ledger.close(stack.writes());
    report.print("HAProxy stopped, switchover under direct clients", began);
    report.assert_nothing_lost();
    report.assert_gap(began, HANDOVER_GAP);
}

pub fn clients_change_to_the_other_haproxy(stack: &Stack) {
    let both = stack.either_of(&["WRITE", "WRITE2"]);
    let ledger = Ledger::open_by(stack.writes(), vec![both]);
    ledger.wait_for_writes(0, 50, BACK_BOUND);
    let began = Instant::now();
    stack.tell(&["kill", "--signal", "KILL"], &["haproxy"]);
    ledger.wait_for_writes(0, 100, BACK_BOUND);
    stack.tell(&["start"], &["haproxy"]);
    stack.settle();
    let report = ledger.close(stack.writes());
    report.print("one of two HAProxy killed", began);
    report.assert_nothing_lost();
    report.assert_gap(began, NO_GAP);
}
