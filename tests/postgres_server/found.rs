//! What a look finds that this agent has not started, or cannot use.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::postgres::{Server, StartAs, State, StopMode};

use super::support::machine::{self, Postgres, Turn};
use super::support::postgres::{BOUND, Site, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_already_is_found_and_is_not_disturbed() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let first = site.server("a", 1);
    first.bootstrap().await;
    // A second handle on the same directory, as an agent that was started again has it.
    let second = site.server("a", 1);
    let started_at = first.look().await.started_at_micros;
    assert_eq!(second.look().await.started_at_micros, started_at);
    assert!(second.server.start(&StartAs::Primary, BOUND).await.is_err());
    assert!(!second.server.configure(&settings(&second.node)).await.unwrap(), "nothing changed");
    let mut changed = settings(&second.node);
    changed.parameters.insert("work_mem".into(), "7MB".into());
    changed.parameters.insert("wal_buffers".into(), "1MB".into());
    changed.parameters.insert("max_connections".into(), "120".into());
    for (name, value) in &mut changed.command_line {
        if name == "max_connections" {
            *value = "120".into();
        }
    }
    assert!(second.server.configure(&changed).await.unwrap());
    let expected = [("max_connections", "100", "120"), ("wal_buffers", "512kB", "1MB")];
    let expected = expected.map(|(name, old, new)| (name.into(), old.into(), new.into()));
    let started = Instant::now();
    while second.look().await.pending_restart != expected {
        let found = second.look().await.pending_restart;
        assert!(started.elapsed() < BOUND, "pending restart: {found:?}");
    }
    let client = second.client().await;
    let row = client.query_one("SELECT current_setting('work_mem')", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "7MB");
    drop(client);

    let exited = tokio::join!(second.server.exited(), second.server.stop(StopMode::Fast, BOUND)).1;
    exited.unwrap();
    assert!(matches!(first.look().await.state, State::Down(_)));
    first.server.start(&StartAs::Primary, BOUND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_pid_file_that_names_a_stranger_is_no_server() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.server.initialize().await.unwrap();
    let file = a.node.postgresql.data_dir.join("postmaster.pid");
    let stale = format!("{}\n{}\n1700000000\n5432\n", std::process::id(), file.display());
    fs::write(&file, stale).unwrap();
    assert!(matches!(a.look().await.state, State::Down(_)));
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_come_up_says_why() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.server.initialize().await.unwrap();
    let mut wrong = settings(&a.node);
    wrong.parameters.insert("shared_buffers".into(), "much".into());
    a.server.configure(&wrong).await.unwrap();
    let error = a.server.start(&StartAs::Primary, BOUND).await.unwrap_err().to_string();
    assert!(error.contains("shared_buffers"), "{error}");
    assert!(matches!(a.look().await.state, State::Down(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_silent_and_can_be_killed() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    assert!(matches!(a.look().await.state, State::Primary(_)));
    for pid in a.processes() {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    let look = a.server.look(Duration::from_millis(200)).await;
    assert_eq!(look.state, State::Silent);
    let stopped = a.server.stop(StopMode::Fast, Duration::from_millis(200)).await;
    assert!(stopped.unwrap_err().to_string().contains("the stop was not finished"));
    assert!(a.server.kill().await.all_gone);
    assert!(matches!(a.look().await.state, State::Down(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_no_server_can_use_says_what_to_do() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    let data_dir = &a.node.postgresql.data_dir;
    machine::make_dir(data_dir);
    fs::write(data_dir.join("notes.txt"), "mine").unwrap();
    let unusable = |state: State| match state {
        State::Unusable(why) => why,
        other => panic!("it is {other:?}"),
    };
    let why = unusable(a.look().await.state);
    assert!(why.contains("chmod 0700"), "{why}");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(data_dir, private).unwrap();
    let why = unusable(a.look().await.state);
    assert!(why.contains("no PG_VERSION"), "{why}");
    assert!(a.server.initialize().await.is_err());
    assert!(data_dir.join("notes.txt").exists(), "what others made is not removed");
    fs::write(data_dir.join("PG_VERSION"), "9\n").unwrap();
    let why = unusable(a.look().await.state);
    assert!(why.contains("belongs to PostgreSQL 9"), "{why}");
}
