//! A former primary comes back; and the parts that differ between releases.

use std::fs;

use pgbaton::postgres::{ControlState, Server, StartAs, State};
use pgbaton::values::Timeline;

use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site};
use super::{pair, received};

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_primary_is_rewound_and_streams() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    b.catches_up_with(&a).await;
    b.server.settle(BOUND).await.unwrap();
    // Only the old primary has this.
    a.run("INSERT INTO t SELECT generate_series(1, 500)").await;
    a.server.kill().await;
    b.server.promote(BOUND).await.unwrap();
    b.server.checkpoint(BOUND).await.unwrap();
    b.run("INSERT INTO t VALUES (7)").await;

    let upstream = b.upstream_of(&a).await;
    a.server.recover_alone().await.unwrap();
    let State::Down(control) = a.look().await.state else { panic!("it runs") };
    assert_eq!(control.state, ControlState::ShutDown);
    assert_eq!(control.timeline, Timeline(1));
    a.server.rewind(&upstream).await.unwrap();
    // Nothing of the source's configuration may be in force.
    let conf = fs::read_to_string(a.node.postgresql.data_dir.join("postgresql.conf")).unwrap();
    assert!(conf.contains(&format!("port = '{}'\n", a.address.port())), "{conf}");
    assert!(a.node.postgresql.data_dir.join("standby.signal").exists());
    a.server.start(&StartAs::Standby(Some(upstream)), BOUND).await.unwrap();
    a.streams().await;
    a.catches_up_with(&b).await;
    assert_eq!(a.rows().await, 1);
    let State::Standby(standby) = a.look().await.state else { panic!("no standby") };
    assert_eq!(standby.timeline, Timeline(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_cannot_reach_its_source_changes_nothing() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    let upstream = b.upstream_of(&a).await;
    a.stop().await;
    b.stop().await;
    let before = a.look().await.state;
    let error = a.server.rewind(&upstream).await.unwrap_err().to_string();
    assert!(error.contains("pg_rewind failed"), "{error}");
    assert_eq!(a.look().await.state, before);
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
}

/// The parts that differ between releases: what a look asks, the end of the log, promotion over a burnt
/// timeline, recovery, rewind.
async fn lives(version: Postgres) {
    let site = Site::new(version);
    let (a, b) = pair(&site).await;
    a.run("INSERT INTO t VALUES (1)").await;
    b.catches_up_with(&a).await;
    b.server.settle(BOUND).await.unwrap();
    a.run("INSERT INTO t SELECT generate_series(1, 500)").await;
    a.server.kill().await;
    b.server.burn_timelines(Timeline(1), &[Timeline(2)]).await.unwrap();
    assert_eq!(b.server.promote(BOUND).await.unwrap().timeline, Timeline(3));
    b.server.checkpoint(BOUND).await.unwrap();
    let upstream = b.upstream_of(&a).await;
    a.server.recover_alone().await.unwrap();
    a.server.rewind(&upstream).await.unwrap();
    a.server.start(&StartAs::Standby(Some(upstream)), BOUND).await.unwrap();
    a.streams().await;
    a.catches_up_with(&b).await;
    assert_eq!(a.rows().await, 1);
    let State::Standby(standby) = a.look().await.state else { panic!("no standby") };
    assert_eq!(standby.timeline, Timeline(3));
    b.stop().await;
    let State::Down(control) = b.look().await.state else { panic!("it did not stop") };
    let end = control.end;
    let everything =
        a.until("the last record", |state| received(state).filter(|lsn| *lsn >= end)).await;
    assert_eq!(everything, end);
    // Nothing streams now: the timeline comes from the replication protocol.
    let State::Standby(standby) = a.look().await.state else { panic!("no standby") };
    assert_eq!(standby.timeline, Timeline(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_16_lives() {
    let _turn = Turn::wait();
    lives(Postgres::V16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_18_lives() {
    let _turn = Turn::wait();
    lives(Postgres::V18).await;
}
