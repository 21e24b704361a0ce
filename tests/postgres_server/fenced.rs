//! Killing a busy server: nothing of it is left, and nothing acknowledged is lost.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::fence::{BoottimeClock, DeadlineFence};
use pgbaton::postgres::{ControlState, Server, StartAs, State};
use pgbaton::values::{Clock, LeaseDeadline};

use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer};

/// A server with sessions that commit in a loop, each on its own connection.
async fn busy(site: &Site) -> (TestServer, Vec<tokio::task::JoinHandle<u64>>) {
    let a = site.server("a", 1);
    a.bootstrap().await;
    a.run("CREATE TABLE t (n int)").await;
    a.run(
        "CREATE PROCEDURE write_on() LANGUAGE plpgsql AS $$ BEGIN
           LOOP INSERT INTO t VALUES (1); COMMIT; END LOOP; END $$",
    )
    .await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let client = a.client().await;
        sessions.push(tokio::spawn(async move {
            client.execute("CALL write_on()", &[]).await.unwrap_or(0)
        }));
        let client = a.client().await;
        sessions.push(tokio::spawn(async move {
            let mut acknowledged = 0;
            while client.execute("INSERT INTO t VALUES (2)", &[]).await.is_ok() {
                acknowledged += 1;
            }
            acknowledged
        }));
    }
    let started = Instant::now();
    while a.rows().await < 1000 {
        assert!(started.elapsed() < BOUND, "the sessions do not write");
    }
    (a, sessions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_backend_and_every_acknowledged_row() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, sessions) = busy(&site).await;
    let killed = a.server.kill().await;
    assert!(killed.all_gone && killed.processes > 16, "{killed:?}");
    assert_eq!(a.processes(), Vec::<i32>::new());
    let mut acknowledged = 0;
    for session in sessions {
        // Each ends by itself: there is nobody left who could answer it.
        acknowledged += tokio::time::timeout(BOUND, session).await.unwrap().unwrap();
    }
    let State::Down(control) = a.look().await.state else { panic!("it runs") };
    assert_eq!(control.state, ControlState::InProduction);
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
    let client = a.client().await;
    let row = client.query_one("SELECT count(*) FROM t WHERE n = 2", &[]).await.unwrap();
    // One commit of each session can have been written without an answer.
    let written = row.get::<_, i64>(0) as u64;
    assert!((acknowledged..=acknowledged + 8).contains(&written), "{acknowledged}, {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_ends_a_busy_server() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, sessions) = busy(&site).await;
    let fence = DeadlineFence::start(a.server.fence_target()).unwrap();
    let exited = a.server.exited();
    fence.arm(LeaseDeadline::at(BoottimeClock.now()));
    tokio::time::timeout(BOUND, exited).await.unwrap();
    for session in sessions {
        tokio::time::timeout(BOUND, session).await.unwrap().unwrap();
    }
    let started = Instant::now();
    while fence.fired().is_none() {
        assert!(started.elapsed() < BOUND, "the fence did not fire");
    }
    assert!(fence.fired().unwrap().all_gone);
    assert_eq!((a.processes(), fence.armed()), (Vec::new(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_postmaster_is_noticed_at_once_and_its_busy_backends_are_no_obstacle() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, sessions) = busy(&site).await;
    let exited = a.server.exited();
    kill(Pid::from_raw(a.postmaster()), Signal::SIGKILL).unwrap();
    tokio::time::timeout(Duration::from_secs(5), exited).await.unwrap();
    assert!(!a.processes().is_empty(), "busy backends outlive their postmaster");
    assert!(matches!(a.look().await.state, State::Down(_)));
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
    for session in sessions {
        session.await.unwrap();
    }
    a.client().await;
}
