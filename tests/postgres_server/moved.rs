//! Moving standbys: settling, promoting, following.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::postgres::{ControlState, Server, ServerError, StartAs, State};
use pgbaton::values::Timeline;

use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site};
use super::{pair, received};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_holds_the_end_of_a_clean_shutdown() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    a.run("INSERT INTO t SELECT generate_series(1, 1000)").await;
    let State::Primary(facts) = a.look().await.state else { panic!("no primary") };
    assert_eq!(facts.downstreams.len(), 1);
    assert_eq!(facts.downstreams[0].name, "b");
    assert_eq!(facts.downstreams[0].user, "replicator");
    let names: Vec<_> = facts.slots.iter().map(|slot| slot.name.as_str()).collect();
    assert_eq!(names, ["b"]);

    a.stop().await;
    let State::Down(control) = a.look().await.state else { panic!("it did not stop") };
    assert_eq!(control.state, ControlState::ShutDown);
    let everything =
        b.until("the last record", |state| received(state).filter(|lsn| *lsn >= control.end)).await;
    assert_eq!(everything, control.end, "the end is where the standby's log ends");
    let State::Standby(standby) = b.look().await.state else { panic!("no standby") };
    assert_eq!(standby.upstream, Some(a.address.to_string()));
    b.stop().await;
    let State::Down(control) = b.look().await.state else { panic!("it did not stop") };
    assert_eq!(control.state, ControlState::ShutDownInRecovery);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_standby_is_promoted_over_a_burnt_timeline_and_another_follows() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    let c = site.server("c", 3);
    c.join(&a).await;
    a.run("INSERT INTO t SELECT generate_series(1, 1000)").await;
    c.catches_up_with(&a).await;
    b.catches_up_with(&a).await;
    a.server.kill().await;

    let settled = b.server.settle(BOUND).await.unwrap();
    assert_eq!(settled.position.timeline, Timeline::FIRST);
    assert!(settled.ancestors.is_empty());
    let again = b.server.settle(BOUND).await.unwrap();
    assert_eq!(settled, again, "a settled standby stays where it is");
    b.server.burn_timelines(Timeline(1), &[Timeline(2)]).await.unwrap();
    let promoted = b.server.promote(BOUND).await.unwrap();
    assert_eq!(promoted.timeline, Timeline(3));
    assert!(promoted.switched_at <= settled.position.lsn);
    b.server.checkpoint(BOUND).await.unwrap();
    let State::Primary(facts) = b.look().await.state else { panic!("no primary") };
    assert_eq!(facts.position.timeline, Timeline(3));
    assert_eq!(facts.checkpoint_timeline, Timeline(3));
    assert_eq!(facts.ancestors.last().unwrap().timeline, Timeline(1));
    assert_eq!(facts.ancestors.last().unwrap().ended_at, promoted.switched_at);

    let upstream = b.upstream_of(&c).await;
    c.server.follow(Some(&upstream)).await.unwrap();
    b.run("INSERT INTO t VALUES (0)").await;
    c.catches_up_with(&b).await;
    let State::Standby(standby) = c.look().await.state else { panic!("no standby") };
    assert_eq!(standby.timeline, Timeline(3));
    assert_eq!(c.rows().await, 1001);
    // What was replayed is known also without a receiver, and after a restart.
    let settled = c.server.settle(BOUND).await.unwrap();
    assert_eq!(settled.position.timeline, Timeline(3));
    assert_eq!(settled.ancestors, facts.ancestors);
    c.server.kill().await;
    c.server.start(&StartAs::Standby(None), BOUND).await.unwrap();
    let State::Standby(standby) = c.look().await.state else { panic!("no standby") };
    assert_eq!(standby.timeline, Timeline(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_that_came_to_nothing_heals() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    b.server.settle(BOUND).await.unwrap();
    b.server.burn_timelines(Timeline(1), &[Timeline(2)]).await.unwrap();
    let State::Standby(standby) = b.look().await.state else { panic!("no standby") };
    assert_eq!((standby.receiver, standby.upstream), (None, None));
    let upstream = a.upstream_of(&b).await;
    b.server.follow(Some(&upstream)).await.unwrap();
    a.run("INSERT INTO t VALUES (1)").await;
    b.catches_up_with(&a).await;
    // A planted history that nothing came after must not keep it from starting either.
    b.stop().await;
    b.server.start(&StartAs::Standby(Some(upstream)), BOUND).await.unwrap();
    b.streams().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_replay_gives_no_position() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    b.run("SELECT pg_wal_replay_pause()").await;
    a.run("INSERT INTO t VALUES (1)").await;
    let settled = b.server.settle(Duration::from_millis(500)).await;
    assert!(settled.unwrap_err().to_string().contains("settling was not finished"));
    b.run("SELECT pg_wal_replay_resume()").await;
    b.server.settle(BOUND).await.unwrap();
}

/// The process that replays is stopped, the one that receives is not: what was confirmed is not replayed yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_is_replayed_before_a_standby_stands_still() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    b.catches_up_with(&a).await;
    let startup = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let client = b.client().await;
    let startup = Pid::from_raw(client.query_one(startup, &[]).await.unwrap().get(0));
    kill(startup, Signal::SIGSTOP).unwrap();
    a.run("INSERT INTO t SELECT generate_series(1, 1000)").await;
    let State::Primary(facts) = a.look().await.state else { panic!("no primary") };
    let written = facts.position.lsn;
    b.until("the log is there", |state| received(state).filter(|lsn| *lsn >= written)).await;
    a.server.kill().await;
    let early = b.server.settle(Duration::from_secs(2)).await;
    kill(startup, Signal::SIGCONT).unwrap();
    assert!(matches!(early, Err(ServerError::TimedOut { .. })), "{early:?}");
    let settled = b.server.settle(BOUND).await.unwrap();
    assert!(settled.position.lsn >= written, "{settled:?}, and {written} was received");
    b.stop().await;
}
