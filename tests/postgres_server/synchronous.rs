//! Whom commits wait for: told by a reload, and in force everywhere when the change is over.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::cluster::SyncNames;
use pgbaton::config::CLOSED_NAMES;
use pgbaton::postgres::{Server, ServerError, State};
use pgbaton::values::Lsn;

use super::pair;
use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer, settings};

async fn names(server: &TestServer) -> Option<SyncNames> {
    let State::Primary(facts) = server.look().await.state else { panic!("no primary") };
    facts.sync_names
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_for_whom_they_are_told_to() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    assert_eq!(names(&a).await, Some(SyncNames::Nobody));
    let mut managed = settings(&a.node);
    managed.parameters.insert("synchronous_standby_names".into(), CLOSED_NAMES.into());
    a.server.configure(&managed).await.unwrap();
    assert_eq!(names(&a).await, Some(SyncNames::Nobody), "a primary goes on until it is told");

    let wanted = SyncNames::any_of(1, BTreeSet::from(["b".into()]));
    let at = a.server.set_sync_names(Some(&wanted), false, BOUND).await.unwrap();
    assert!(at > Lsn::ZERO);
    assert_eq!(names(&a).await, Some(wanted));
    let synchronous = |state: &State| match state {
        State::Primary(facts) => facts
            .downstreams
            .iter()
            .any(|row| row.sync_state == "sync" && row.flushed >= at)
            .then_some(()),
        _ => None,
    };
    a.until("b is synchronous", synchronous).await;
    a.run("INSERT INTO t VALUES (1)").await;

    a.server.set_sync_names(Some(&SyncNames::Closed), false, BOUND).await.unwrap();
    assert_eq!(names(&a).await, Some(SyncNames::Closed));
    let waiting = a.client().await;
    let insert = waiting.batch_execute("INSERT INTO t VALUES (2)");
    let waited = tokio::time::timeout(Duration::from_millis(500), insert).await;
    assert!(waited.is_err(), "nobody is there to acknowledge it");
    a.server.set_sync_names(None, false, BOUND).await.unwrap();
    a.stop().await;
    b.stop().await;
}

/// A walsender releases by the number that it read itself, until it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_higher_number_is_in_force_once_no_process_releases_by_the_lower_one() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    let mut managed = settings(&a.node);
    managed.parameters.insert("synchronous_standby_names".into(), CLOSED_NAMES.into());
    a.server.configure(&managed).await.unwrap();
    let one = SyncNames::any_of(1, BTreeSet::from(["b".into()]));
    a.server.set_sync_names(Some(&one), false, BOUND).await.unwrap();
    let streams = "SELECT pid FROM pg_stat_replication";
    let client = a.client().await;
    let walsender: i32 = client.query_one(streams, &[]).await.unwrap().get(0);
    let walsender = Pid::from_raw(walsender);
    kill(walsender, Signal::SIGSTOP).unwrap();

    let two = SyncNames::any_of(2, BTreeSet::from(["b".into(), "c".into()]));
    let soon = Duration::from_secs(2);
    let told = a.server.set_sync_names(Some(&two), true, soon).await;
    kill(walsender, Signal::SIGCONT).unwrap();
    assert!(matches!(told, Err(ServerError::TimedOut { .. })), "{told:?}");
    a.server.set_sync_names(Some(&two), true, BOUND).await.unwrap();
    assert!(kill(walsender, None).is_err(), "nothing of it is left");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_set_by_hand_are_told_from_those_in_the_file() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    a.run("ALTER SYSTEM SET synchronous_standby_names = ''").await;
    let wanted = SyncNames::any_of(1, BTreeSet::from(["b".into()]));
    let error = a.server.set_sync_names(Some(&wanted), false, BOUND).await.unwrap_err().to_string();
    assert!(error.contains("ALTER SYSTEM RESET synchronous_standby_names"), "{error}");
    a.stop().await;
}

/// An agent dies after it has written the names, and before it has told the server to read them.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_an_earlier_agent_wrote_and_told_nobody_are_told() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    let conf = a.node.postgresql.data_dir.join("postgresql.conf");
    let wanted = SyncNames::any_of(1, BTreeSet::from(["b".into()]));
    a.server.set_sync_names(Some(&wanted), false, BOUND).await.unwrap();
    let written = std::fs::read(&conf).unwrap();
    a.server.set_sync_names(Some(&SyncNames::Nobody), false, BOUND).await.unwrap();
    std::fs::write(&conf, written).unwrap();
    let next = site.server("a", 1);
    next.server.set_sync_names(Some(&wanted), false, BOUND).await.unwrap();
    assert_eq!(names(&next).await, Some(wanted));
    a.stop().await;
}
