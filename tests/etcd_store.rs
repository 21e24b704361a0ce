//! The store over a real etcd: every operation, and every way in which a member fails.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use pgbaton::dcs::{
    Change, Changes, Compare, EtcdStore, Finding, LeaseId, Op, Store, StoreError, Txn,
    election_timeout_max,
};
use pgbaton::values::Revision;
use support::etcd::{Etcd, EtcdSettings};
use support::store::{TRY, bounded, changes, commit, put, raw_client, store};

/// One try at a member that will not answer.
const SHORT_TRY: Duration = Duration::from_millis(300);
fn put_with(key: &str, lease: LeaseId) -> Txn {
    Txn { compares: Vec::new(), ops: vec![Op::Put(key.to_owned(), "x".into(), Some(lease))] }
}

fn put_if(compare: Compare, key: &str, value: &str) -> Txn {
    Txn { compares: vec![compare], ..put(key, value) }
}

fn revision_is(key: &str, revision: Revision) -> Compare {
    Compare::ModRevision(key.to_owned(), revision)
}

fn value_is(key: &str, value: &str) -> Compare {
    Compare::Value(key.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
}

/// Tries until there is a result, as whoever calls does.
async fn until_answered(store: &EtcdStore, one_try: Duration) {
    bounded(async { while store.read_all(one_try).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_read_is_the_prefix_and_nothing_else() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    assert!(store.read_all(TRY).await.expect("an answer").keys.is_empty());

    let lease = store.grant_lease(Duration::from_secs(60), TRY).await.expect("a lease");
    let first = commit(&store, put("leader", "pg-a")).await;
    let second = commit(&store, put_with("members/pg-a", lease)).await;
    let mut others = raw_client(&etcd).await;
    for foreign in ["/service/demo", "/service/demo0", "/service/demo2/leader", "/service/dem"] {
        others.put(foreign, "no", None).await.expect("a put");
    }

    let snapshot = store.read_all(TRY).await.expect("an answer");
    assert_eq!(snapshot.keys.keys().collect::<Vec<_>>(), ["leader", "members/pg-a"]);
    assert_eq!(snapshot.revision, Revision(second.revision.0 + 4));
    let leader = &snapshot.keys["leader"];
    assert_eq!((&leader.value[..], leader.lease), (&b"pg-a"[..], None));
    assert_eq!(leader.mod_revision, first.revision);
    assert_eq!(snapshot.keys["members/pg-a"].lease, Some(lease));
}

#[tokio::test]
async fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    let absent = || revision_is("baton", Revision::ABSENT);
    let created = commit(&store, put_if(absent(), "baton", "1")).await;
    assert!(created.succeeded);
    assert!(!commit(&store, put_if(absent(), "baton", "2")).await.succeeded);

    let stale = Revision(created.revision.0 - 1);
    for refused in [
        revision_is("baton", stale),
        value_is("baton", "2"),
        value_is("nothing", ""),
        revision_is("nothing", stale),
    ] {
        let mut txn = put_if(refused.clone(), "baton", "3");
        txn.compares.push(value_is("baton", "1"));
        txn.ops.push(Op::Delete("leader".to_owned()));
        assert!(!commit(&store, txn).await.succeeded, "{refused:?}");
    }

    let mut txn = put_if(revision_is("baton", created.revision), "baton", "4");
    txn.compares.push(value_is("baton", "1"));
    txn.ops.extend(put("leader", "pg-a").ops);
    let renewed = commit(&store, txn).await;
    assert!(renewed.succeeded);
    let keys = store.read_all(TRY).await.expect("an answer").keys;
    assert_eq!(keys["baton"].mod_revision, renewed.revision);
    assert_eq!(keys["leader"].mod_revision, renewed.revision);

    let delete = Txn {
        compares: vec![value_is("leader", "pg-a")],
        ops: vec![Op::Delete("leader".to_owned()), Op::Delete("nothing".to_owned())],
    };
    assert!(commit(&store, delete).await.succeeded);
    assert!(!store.read_all(TRY).await.expect("an answer").keys.contains_key("leader"));
}

#[tokio::test]
async fn a_watch_tells_every_change_after_its_revision_in_order() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    let first = commit(&store, put("leader", "pg-a")).await;
    commit(&store, put("leader", "pg-b")).await;
    let mut watch = store.watch(first.revision, TRY).await.expect("a watch");
    let delete = Txn { compares: Vec::new(), ops: vec![Op::Delete("leader".to_owned())] };
    let deleted = commit(&store, delete).await;
    raw_client(&etcd).await.put("/service/demo2/leader", "no", None).await.expect("a put");
    commit(&store, put("config", "{}")).await;

    let seen = changes(&mut watch, 3).await;
    let text = |change: &Change| {
        let value = change.value.as_ref();
        (change.key.clone(), value.map(|raw| String::from_utf8_lossy(&raw.value).into_owned()))
    };
    let expected = [("leader", Some("pg-b")), ("leader", None), ("config", Some("{}"))];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
    assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), expected);
    assert_eq!(seen[1].revision, deleted.revision);
    assert_eq!(seen[2].revision, seen[2].value.as_ref().expect("a value").mod_revision);
}

#[tokio::test]
async fn a_watch_before_the_compacted_revision_asks_for_a_read() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    let first = commit(&store, put("leader", "pg-a")).await;
    let mut last = first;
    for _ in 0..5 {
        last = commit(&store, put("leader", "pg-a")).await;
    }
    raw_client(&etcd).await.compact(last.revision.0, None).await.expect("a compaction");

    let error = match store.watch(first.revision, TRY).await {
        Ok(mut watch) => bounded(watch.next()).await.expect_err("no changes"),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Compacted(at) if at == last.revision), "{error:?}");
    let mut watch = store.watch(last.revision, TRY).await.expect("a watch");
    let next = commit(&store, put("leader", "pg-b")).await;
    assert_eq!(changes(&mut watch, 1).await[0].revision, next.revision);
}

#[tokio::test]
async fn a_lease_takes_its_keys_along_and_is_then_unknown() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    let lease = store.grant_lease(Duration::from_millis(500), TRY).await.expect("a lease");
    let written = commit(&store, put_with("members/pg-a", lease)).await;
    store.keep_lease(lease, TRY).await.expect("alive");

    let mut watch = store.watch(written.revision, TRY).await.expect("a watch");
    let expired = &changes(&mut watch, 1).await[0];
    assert_eq!((expired.key.as_str(), &expired.value), ("members/pg-a", &None));
    let gone = store.keep_lease(lease, TRY).await;
    assert!(matches!(gone, Err(StoreError::NoSuchLease)), "{gone:?}");
    let refused = store.commit(put_with("members/pg-a", lease), TRY).await;
    assert!(matches!(refused, Err(StoreError::NoSuchLease)), "{refused:?}");
}

#[tokio::test]
async fn a_try_without_a_result_sends_the_next_one_to_the_next_member() {
    let etcd = Etcd::start(1);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    // The kernel accepts for it; nothing is ever answered.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = silent.local_addr().expect("a port");
    let mut endpoints = vec![format!("http://{closed}"), format!("http://{silent_at}")];
    endpoints.extend(etcd.endpoints());
    let store = store(endpoints);

    let refused = bounded(store.read_all(TRY)).await;
    assert!(
        matches!(&refused, Err(StoreError::Failed(text))
        if text.contains(&closed.to_string()) && text.contains("refused")),
        "{refused:?}"
    );
    let silence = bounded(store.commit(put("leader", "pg-a"), SHORT_TRY)).await;
    assert!(matches!(silence, Err(StoreError::NoAnswer(SHORT_TRY))), "{silence:?}");
    assert!(commit(&store, put("leader", "pg-a")).await.succeeded);

    // Its own connections, and yet it need not find the good member again.
    assert!(store.separate().read_all(TRY).await.is_ok());
    // Watches turn away from bad members in the same way.
    let store =
        support::store::store([vec![format!("http://{silent_at}")], etcd.endpoints()].concat());
    let silence = store.watch(Revision(0), SHORT_TRY).await.err();
    assert!(matches!(silence, Some(StoreError::NoAnswer(_))), "{silence:?}");
    let mut watch = store.watch(Revision(0), TRY).await.expect("a watch");
    assert_eq!(changes(&mut watch, 1).await[0].key, "leader");
}

#[tokio::test]
async fn a_member_that_is_killed_or_frozen_does_not_take_the_store_along() {
    let mut etcd = Etcd::start(3);
    let store = store(etcd.endpoints());
    assert!(commit(&store, put("leader", "pg-a")).await.succeeded);
    let at = store.read_all(TRY).await.expect("an answer").revision;
    let mut watch = store.watch(at, TRY).await.expect("a watch");

    etcd.kill(0);
    let ended = bounded(watch.next()).await;
    assert!(matches!(ended, Err(StoreError::Failed(_))), "{ended:?}");
    until_answered(&store, Duration::from_secs(1)).await;
    etcd.restart(0);

    etcd.freeze(1);
    until_answered(&store, Duration::from_secs(1)).await;
    assert!(commit(&store, put("leader", "pg-b")).await.succeeded);
    let mut watch = store.watch(at, TRY).await.expect("a watch of another member");
    assert_eq!(changes(&mut watch, 1).await[0].key, "leader");
    etcd.thaw(1);
}

#[tokio::test]
async fn a_watch_ends_when_its_member_has_lost_the_leader() {
    let timing_millis = Some((25, 250));
    let mut etcd = Etcd::start_with(3, EtcdSettings { timing_millis, ..EtcdSettings::default() });
    let store = store(etcd.endpoints());
    let at = commit(&store, put("leader", "pg-a")).await.revision;
    let mut watch = store.watch(at, TRY).await.expect("a watch");
    etcd.kill(1);
    etcd.kill(2);
    let ended = bounded(watch.next()).await;
    assert!(matches!(&ended, Err(error) if error.is_ambiguous()), "{ended:?}");
    // A write without a quorum is not refused, it is unknown.
    let unknown = store.commit(put("leader", "pg-b"), SHORT_TRY).await;
    assert!(matches!(&unknown, Err(error) if error.is_ambiguous()), "{unknown:?}");
}

#[tokio::test]
async fn a_dropped_request_leaves_the_store_usable() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    // Dropped while the connection is made, and while an answer is awaited.
    for round in 0..2 {
        etcd.freeze(0);
        let dropped = tokio::time::timeout(SHORT_TRY, store.commit(put("a", "b"), TRY)).await;
        assert!(dropped.is_err(), "round {round}");
        etcd.thaw(0);
        until_answered(&store, TRY).await;
    }
}

#[test]
fn a_store_serves_runtimes_that_come_and_go() {
    let etcd = Etcd::start(1);
    let store = store(etcd.endpoints());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async { commit(&store, put("leader", "pg-a")).await });
    // The first runtime and its connections are gone; a second stands still all the while.
    let _idle = runtime();
    _idle.block_on(async { commit(&store, put("leader", "pg-b")).await });
    let reply = std::thread::scope(|scope| {
        let used = scope.spawn(|| runtime().block_on(commit(&store, put("leader", "pg-c"))));
        used.join().expect("no panic")
    });
    assert!(reply.succeeded);
}

#[tokio::test]
async fn a_full_store_says_so_and_can_still_be_read() {
    let quota_bytes = Some(1 << 20);
    let etcd = Etcd::start_with(1, EtcdSettings { quota_bytes, ..EtcdSettings::default() });
    let store = store(etcd.endpoints());
    let big = "x".repeat(100_000);
    let refused = bounded(async {
        loop {
            if let Err(error) = store.commit(put("config", &big), TRY).await {
                return error;
            }
        }
    });
    assert!(matches!(refused.await, StoreError::NoSpace));
    assert!(store.read_all(TRY).await.is_ok());
    let lease = store.grant_lease(Duration::from_secs(5), TRY).await;
    assert!(matches!(lease, Err(StoreError::NoSpace)), "{lease:?}");
    let findings = store.findings(TRY).await.expect("an answer");
    let full = |one: &Finding| matches!(one, Finding::Reported { problem, .. } if problem.contains("NOSPACE"));
    assert!(findings.iter().any(full), "{findings:?}");
}

#[tokio::test]
async fn the_state_of_the_members_is_told() {
    let etcd = Etcd::start(1);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let dead = format!("http://{closed}");
    let store = store([etcd.endpoints(), vec![dead.clone()]].concat());
    let findings = store.findings(TRY).await.expect("an answer");
    let silent: Vec<_> = findings
        .iter()
        .filter_map(|one| match one {
            Finding::Silent { endpoint, .. } => Some(endpoint),
            Finding::OldVersion { endpoint, .. } => {
                assert_eq!(*endpoint, etcd.endpoint(0));
                None
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(silent, [&dead]);
    // A dead member that was only asked for its state does not make requests move.
    assert!(commit(&store, put("leader", "pg-a")).await.succeeded);

    let shortest = store.probe_minimum_ttl(TRY).await.expect("a lease");
    assert_eq!(shortest, Duration::from_secs(2), "at etcd's default election timeout of 1 s");
    assert!(election_timeout_max(shortest) >= Duration::from_secs(1));
    let leases = raw_client(&etcd).await.leases().await.expect("an answer");
    assert!(leases.leases().is_empty(), "the probe leaves nothing behind");
}
