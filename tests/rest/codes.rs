//! Which health check passes when. A path that is not named in a row answers 503.

use std::time::Duration;

use pgbaton::cluster::{Cluster, MemberState, Role, State, SyncState, Versioned};
use pgbaton::config::SynchronousMode;
use pgbaton::decide::JobKind;
use pgbaton::publish::Status;
use pgbaton::values::{Lsn, Revision};
use serde_json::json;

use crate::support::rest::{
    Api, NOW, TTL, other, primary, standby, standby_facts, standby_with, with_cluster,
    with_dynamic, with_ended_lease, with_tags, without_lease,
};

/// Every path of the reference, and some that only look like one.
const PATHS: &[&str] = &[
    "/",
    "/primary",
    "/master",
    "/read-write",
    "/leader",
    "/standby-leader",
    "/standby_leader",
    "/replica",
    "/read-only",
    "/health",
    "/sync",
    "/synchronous",
    "/async",
    "/asynchronous",
    "/quorum",
    "/read-only-sync",
    "/read-only-synchronous",
    "/read-only-quorum",
    "/foo/replicaX",
    "/sync/",
    "/async?x=1",
    "/nothing",
    "/PRIMARY",
];

const FOR_WRITES: &[&str] = &["/", "/primary", "/master", "/read-write", "/leader"];
const FOR_BOTH: &[&str] = &["/read-only", "/health"];
const FOR_LISTED: &[&str] = &["/read-only-sync", "/read-only-synchronous", "/read-only-quorum"];
const FOR_READS: &[&str] = &["/replica", "/foo/replicaX", "/async", "/asynchronous", "/async?x=1"];

async fn check(what: &str, status: Status, passing: &[&[&str]]) {
    let api = Api::of(status).await;
    for path in PATHS {
        let expected = if passing.iter().any(|row| row.contains(path)) { 200 } else { 503 };
        for method in ["GET", "HEAD", "OPTIONS"] {
            let answer = api.ask(method, path, None).await;
            assert_eq!(answer.code, expected, "{what}: {method} {path}");
            let is_document = answer.body.starts_with("{\"state\": ");
            assert_eq!(is_document, method == "GET", "{what}: {method} {path}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn writes_go_to_a_primary_whose_deadline_lies_ahead() {
    check("primary", primary(), &[FOR_WRITES, FOR_BOTH, FOR_LISTED]).await;
    check("no lease", without_lease(primary()), &[&["/health"]]).await;
    check("ended lease", with_ended_lease(primary()), &[&["/health"]]).await;
    let stopping = Status { stopping: true, ..primary() };
    check("stopping", stopping, &[&["/health"]]).await;
    let being_made = Status { job: Some((JobKind::Bootstrap, NOW)), ..primary() };
    check("data that may be undone", being_made, &[&["/health"]]).await;
    let promoting = Status { lease: primary().lease, ..standby() };
    check("leads, not promoted yet", promoting, &[FOR_READS, FOR_BOTH]).await;
}

#[tokio::test]
async fn a_claim_runs_out_by_the_clock() {
    let api = Api::of(primary()).await;
    assert_eq!(api.code("/primary").await, 200);
    // The deadline is 155 ms before the ttl: 100 to fence, 50 for scheduling, 5 for the clocks.
    api.clock.turn_to(TTL - Duration::from_millis(156));
    assert_eq!(api.code("/primary").await, 200);
    api.clock.turn_to(TTL - Duration::from_millis(155));
    assert_eq!(api.code("/primary").await, 503);

    let api = Api::of(standby()).await;
    assert_eq!(api.code("/replica").await, 200);
    api.clock.turn_to(TTL - Duration::from_millis(1));
    assert_eq!(api.code("/replica").await, 200);
    api.clock.turn_to(TTL);
    assert_eq!(api.code("/replica").await, 503);
    assert_eq!(api.code("/health").await, 503);
}

#[tokio::test]
async fn reads_go_to_a_replica_that_runs_and_takes_them() {
    check("standby", standby(), &[FOR_READS, FOR_BOTH]).await;
    let not_balanced = with_tags(standby(), &json!({"noloadbalance": true}));
    check("noloadbalance", not_balanced, &[&["/health"]]).await;
    let starting = other(State::Starting, MemberState::Starting);
    check("starting", starting, &[]).await;
    check("silent", other(State::Silent, MemberState::Running), &[]).await;
    check("stopping", Status { stopping: true, ..standby() }, &[&["/health"]]).await;
}

#[tokio::test]
async fn without_the_store_only_what_needs_it_fails() {
    let no_store = Status { cluster: None, ..standby() };
    let passing: &[&str] = &["/replica", "/foo/replicaX"];
    check("standby, nothing read yet", no_store, &[passing, FOR_BOTH]).await;
    let empty = with_cluster(standby(), |cluster| *cluster = Cluster::default());
    check("standby, empty store", empty, &[passing, FOR_BOTH]).await;
    let no_store = Status { cluster: None, ..primary() };
    check("primary under a lease", no_store, &[FOR_WRITES, FOR_BOTH]).await;
}

#[tokio::test]
async fn the_sync_family_follows_the_sync_key_in_its_mode() {
    let listed = |leader: Option<&str>| {
        with_cluster(standby(), |cluster| {
            let value = SyncState {
                leader: leader.map(Into::into),
                standbys: vec!["c".into(), "A".into()],
                quorum: 0,
            };
            cluster.sync = Some(Versioned { value, revision: Revision(9) });
        })
    };
    let in_mode = |status, mode| with_dynamic(status, |dynamic| dynamic.synchronous_mode = mode);
    // A key that is left over says nothing while there is no synchronous mode.
    check("mode off", listed(Some("b")), &[FOR_READS, FOR_BOTH]).await;
    let reads: &[&str] = &["/replica", "/foo/replicaX"];
    let sync = in_mode(listed(Some("b")), SynchronousMode::On);
    let passing: &[&str] = &["/sync", "/synchronous", "/read-only-sync", "/read-only-synchronous"];
    check("sync", sync, &[reads, FOR_BOTH, passing]).await;
    let quorum = in_mode(listed(Some("b")), SynchronousMode::Quorum);
    check("quorum", quorum, &[reads, FOR_BOTH, &["/quorum", "/read-only-quorum"]]).await;
    let inactive = in_mode(listed(None), SynchronousMode::On);
    check("not active", inactive, &[FOR_READS, FOR_BOTH]).await;
}

#[tokio::test]
async fn a_standby_cluster_has_a_standby_leader() {
    let standby_cluster = |status| {
        with_dynamic(status, |dynamic| {
            dynamic.standby_cluster = json!({"host": "10.9.0.1"}).as_object().cloned();
        })
    };
    let lease = primary().lease;
    let leader = Status { lease, role: Role::StandbyLeader, ..standby() };
    let leads: &[&str] = &["/leader", "/standby-leader", "/standby_leader"];
    check("standby leader", standby_cluster(leader), &[leads, FOR_BOTH, FOR_LISTED]).await;
    check("its replica", standby_cluster(standby()), &[FOR_READS, FOR_BOTH]).await;
    check("a stray primary", standby_cluster(primary()), &[&["/health"]]).await;
}

#[tokio::test]
async fn lag_and_tags_filter_what_is_for_reads() {
    let tagged = with_tags(standby(), &json!({"dc": "east", "clonefrom": true}));
    let api = Api::of(tagged.clone()).await;
    for (path, code) in [
        // 1000 is the leader's, 900 is replayed.
        ("/replica?lag=99", 503),
        ("/replica?lag=100", 200),
        ("/replica?lag=1kB", 200),
        ("/replica?lag=1KB", 200),
        ("/replica?lag=", 200),
        ("/replica?lag=99&lag=1GB", 503),
        ("/async?lag=99", 503),
        ("/read-only?lag=99", 503),
        ("/health?lag=99", 200),
        ("/replica?tag_dc=east", 200),
        ("/replica?tag_dc=west", 503),
        ("/replica?tag_clonefrom=true&tag_dc=east", 200),
        ("/replica?tag_none=x", 503),
        ("/health?tag_dc=west", 503),
        ("/read-only?tag_dc=west", 503),
    ] {
        assert_eq!(api.code(path).await, code, "{path}");
    }
    let without_store = Status { cluster: None, ..tagged };
    let api = Api::of(without_store).await;
    // Then the WAL receiver says how far the leader is: 990.
    assert_eq!(api.code("/replica?lag=89").await, 503);
    assert_eq!(api.code("/replica?lag=90").await, 200);
    let api = Api::of(with_tags(primary(), &json!({"dc": "east"}))).await;
    assert_eq!(api.code("/primary?lag=0&tag_dc=west").await, 200);
    assert_eq!(api.code("/leader?tag_dc=west").await, 200);
    assert_eq!(api.code("/read-only?tag_dc=west").await, 503);
}

#[tokio::test]
async fn liveness_is_the_loop_s_last_turn() {
    for (what, status, limit) in [
        ("primary", primary(), TTL),
        ("standby", standby(), TTL * 2),
        ("its server is down", other(State::Silent, MemberState::Running), TTL * 2),
    ] {
        let api = Api::of(status).await;
        api.clock.turn_to(limit - Duration::from_millis(1));
        assert_eq!(api.code("/liveness").await, 200, "{what}");
        api.clock.turn_to(limit);
        assert_eq!(api.code("/liveness").await, 503, "{what}");
        let answer = api.ask("GET", "/liveness", None).await;
        assert_eq!((answer.body.as_str(), answer.header("content-type")), ("", None));
        // Only GET is the probe; these are health checks of an unknown path.
        api.clock.turn_to(Duration::ZERO);
        assert_eq!(api.ask("HEAD", "/liveness", None).await.code, 503, "{what}");
        assert_eq!(api.ask("OPTIONS", "/readiness", None).await.code, 503, "{what}");
    }
    let paused = with_dynamic(primary(), |dynamic| dynamic.pause = true);
    let api = Api::of(paused).await;
    api.clock.turn_to(TTL * 10);
    assert_eq!(api.code("/liveness").await, 200);
}

#[tokio::test]
async fn readiness_is_leading_or_streaming_closely() {
    let mut facts = standby_facts();
    facts.receiver = None;
    let not_streaming = standby_with(facts);
    let mut facts = standby_facts();
    facts.receiver.as_mut().expect("it has one").latest_end = None;
    let sees_nothing = Status { cluster: None, ..standby_with(facts) };
    let ahead = |lsn| with_cluster(standby(), |cluster| cluster.optime = Some(Lsn(lsn)));
    let strict = with_dynamic(standby(), |dynamic| dynamic.maximum_lag_on_failover = 99);
    for (what, status, path, code) in [
        ("primary", primary(), "/readiness", 200),
        (
            "leads, server down",
            Status { lease: primary().lease, ..not_streaming.clone() },
            "/readiness",
            200,
        ),
        ("ended lease", with_ended_lease(primary()), "/readiness", 503),
        ("standby", standby(), "/readiness", 200),
        ("not streaming", not_streaming, "/readiness", 503),
        ("silent", other(State::Silent, MemberState::Running), "/readiness", 503),
        ("no store, receiver knows", Status { cluster: None, ..standby() }, "/readiness", 200),
        ("no store, nothing known", sees_nothing, "/readiness", 503),
        ("far behind", ahead(901 + (1 << 20)), "/readiness", 503),
        ("just close enough", ahead(900 + (1 << 20)), "/readiness", 200),
        ("own limit", standby(), "/readiness?lag=99", 503),
        ("received counts", standby(), "/readiness?lag=40&mode=write", 200),
        ("replayed counts", standby(), "/readiness?lag=40&mode=apply", 503),
        ("junk is the default limit", standby(), "/readiness?lag=1KB", 200),
        ("the default limit", strict, "/readiness?lag=1KB", 503),
    ] {
        assert_eq!(Api::of(status).await.code(path).await, code, "{what}");
    }
    let api = Api::of(standby()).await;
    api.clock.turn_to(TTL);
    assert_eq!(api.code("/readiness").await, 503, "a stuck loop");
}

#[tokio::test]
async fn a_new_status_is_answered_from_at_once() {
    let api = Api::of(standby()).await;
    let document = api.ask("GET", "/primary", None).await;
    assert!(document.body.contains("\"role\": \"replica\""), "{}", document.body);
    api.published.set(primary());
    let document = api.ask("GET", "/primary", None).await;
    assert_eq!(document.code, 200);
    assert!(document.body.contains("\"role\": \"primary\""), "{}", document.body);
}
