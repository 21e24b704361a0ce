//! The real server behind its port, on a real PostgreSQL: what an agent relies on when it decides.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::postgres::{ControlState, Server, StartAs, State, StopMode};
use pgbaton::values::{Lsn, Timeline};
use support::machine::{Postgres, Turn};
use support::postgres::{BOUND, Site, TestServer, settings};

fn primary_timeline(state: &State) -> Option<Timeline> {
    match state {
        State::Primary(facts) => Some(facts.position.timeline),
        _ => None,
    }
}

fn received(state: &State) -> Option<Lsn> {
    match state {
        State::Standby(standby) => standby.received,
        _ => None,
    }
}

/// Two servers, the second a standby of the first.
async fn pair(site: &Site) -> (TestServer, TestServer) {
    let (a, b) = (site.server("a", 1), site.server("b", 2));
    a.bootstrap().await;
    a.run("CREATE TABLE t (n int)").await;
    b.join(&a).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_answers_with_accounts_and_nothing_is_left_to_make() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    assert_eq!(a.look().await.state, State::Empty);
    let system_id = a.server.initialize().await.unwrap();
    let State::Down(control) = a.look().await.state else { panic!("no data") };
    assert_eq!((control.system_id, control.state), (system_id, ControlState::ShutDown));
    assert!(control.can_rewind);
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
    a.server.create_accounts().await.unwrap();
    a.server.create_accounts().await.unwrap();

    let look = a.look().await;
    let State::Primary(facts) = look.state else { panic!("no primary") };
    assert_eq!(facts.system_id, system_id);
    assert_eq!(facts.position.timeline, Timeline::FIRST);
    assert!(look.version.unwrap() >= 130_000 && look.started_at_micros.unwrap() > 0);
    assert!(a.server.start(&StartAs::Primary, BOUND).await.is_err(), "it runs already");
    assert!(a.server.initialize().await.is_err(), "there is data");
    assert!(a.server.remove_data().await.is_err(), "a server runs on it");
    a.stop().await;
    a.server.remove_data().await.unwrap();
    assert_eq!(a.look().await.state, State::Empty);
}

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
    assert_eq!(facts.slots, ["b"]);

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

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_nothing() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = (site.server("a", 1), site.server("b", 2));
    a.bootstrap().await;
    let mut upstream = a.upstream_of(&b).await;
    upstream.port += 1;
    let error = b.server.copy_from(&upstream, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("pg_basebackup failed"), "{error}");
    assert_eq!(b.look().await.state, State::Empty);
    let progress = std::sync::Mutex::new(Vec::new());
    upstream.port -= 1;
    b.server.copy_from(&upstream, |told| progress.lock().unwrap().push(told)).await.unwrap();
    let last = *progress.lock().unwrap().last().expect("progress is told");
    assert!(last.done_kilobytes > 1000 && Some(last.done_kilobytes) >= last.total_kilobytes);
}

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
    assert!(primary_timeline(&a.look().await.state).is_some());
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
    support::machine::make_dir(data_dir);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_gets_no_less_than_its_primary_and_its_own_configuration() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let elsewhere = format!("  config_dir: {}", site.folder_of("b").join("conf").display());
    let (a, b) = (site.server("a", 1), site.server_with("b", 2, &elsewhere));
    support::machine::make_dir(&site.folder_of("b").join("conf"));
    let mut more = settings(&a.node);
    more.command_line.retain(|(name, _)| name != "max_connections");
    more.command_line.push(("max_connections".into(), "150".into()));
    a.server.configure(&more).await.unwrap();
    a.bootstrap().await;
    a.run("ALTER SYSTEM SET recovery_min_apply_delay = '1h'").await;
    a.run("ALTER SYSTEM SET work_mem = '9MB'").await;
    b.join(&a).await;
    a.run("CREATE TABLE t (n int)").await;
    b.catches_up_with(&a).await;
    assert_eq!(b.rows().await, 0, "the delay of another server is not in force");
    let raised = ("max_connections".to_owned(), "150".to_owned(), "100".to_owned());
    assert_eq!(b.look().await.pending_restart, [raised]);
    let client = b.client().await;
    let row = client
        .query_one("SELECT current_setting('config_file'), current_setting('work_mem')", &[])
        .await
        .unwrap();
    assert!(row.get::<_, String>(0).starts_with(&*b.node.postgresql.config_dir.to_string_lossy()));
    assert_eq!(row.get::<_, String>(1), "9MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_users_are_told_what_happened() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let told = site.folder_of("a").join("told");
    let lines = format!(
        "  callbacks: {{on_start: \"sh -c 'echo $0 $@ >> {told}'\", on_stop: \"sh -c 'echo $0 $@ >> {told}'\"}}",
        told = told.display()
    );
    let mut a = site.server_with("a", 1, &lines);
    let said = site.folder_of("a").join("said");
    let script = format!("echo \"$1\" > {}; cat \"$PGPASSFILE\" > /dev/null", said.display());
    let command = ["sh", "-c", script.as_str(), "post"].map(str::to_owned);
    a.node.bootstrap.as_mut().unwrap().post_bootstrap = Some(command.to_vec());
    a.server = pgbaton::postgres::LocalServer::new(&a.node, settings(&a.node)).unwrap();
    a.bootstrap().await;
    let conninfo = fs::read_to_string(&said).unwrap();
    assert!(conninfo.contains(&format!("port={} dbname=postgres", a.address.port())), "{conninfo}");
    a.stop().await;
    let started = Instant::now();
    let expected = "on_start primary test\non_stop primary test\n";
    while fs::read_to_string(&told).unwrap_or_default() != expected {
        let found = fs::read_to_string(&told);
        assert!(started.elapsed() < BOUND, "told: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_made_once_and_only_idle_ones_are_dropped() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    let names = ["b", "c", "d"].map(str::to_owned);
    a.server.arrange_slots(&names, &[]).await.unwrap();
    a.server.arrange_slots(&names, &[]).await.unwrap();
    a.server.arrange_slots(&[], &["b".to_owned(), "d".to_owned()]).await.unwrap();
    let State::Primary(facts) = a.look().await.state else { panic!("no primary") };
    assert_eq!(facts.slots, ["b", "c"], "a standby streams from b");
    b.streams().await;
    // A standby that may lead soon has the members' slots before it is promoted.
    b.server.arrange_slots(&names, &[]).await.unwrap();
    let State::Standby(facts) = b.look().await.state else { panic!("no standby") };
    assert_eq!(facts.slots, names);
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
