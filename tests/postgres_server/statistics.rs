//! What a server tells for its metrics, and that asking takes nothing from anybody.

use std::time::{Duration, Instant};

use pgbaton::postgres::{
    DatabaseCounts, Server, StandbyLag, Statistics, StatisticsError, StatisticsReader,
};
use tokio::time::sleep;

use super::pair;
use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer};

/// Asks until `wanted` finds it: the server's counters follow what happens a moment later.
async fn until(
    reader: &mut StatisticsReader,
    what: &str,
    wanted: impl Fn(&Statistics) -> bool,
) -> Statistics {
    let started = Instant::now();
    loop {
        let told = reader.ask().await.unwrap();
        if wanted(&told) {
            return told;
        }
        assert!(started.elapsed() < BOUND, "waited in vain: {what}: {told:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn database(told: &Statistics) -> &DatabaseCounts {
    told.databases.iter().find(|one| one.name == "postgres").expect("the database postgres")
}

fn standby(told: &Statistics) -> Option<&StandbyLag> {
    told.server.standbys.iter().find(|one| one.name == "b" && one.state == "streaming")
}

/// Two sessions that wait for each other's row.
async fn deadlock(server: &TestServer) {
    server.run("CREATE TABLE d (n int); INSERT INTO d VALUES (1), (2)").await;
    let (one, other) = (server.client().await, server.client().await);
    let first = "SET deadlock_timeout = '10ms'; BEGIN; UPDATE d SET n = n WHERE n = ";
    one.batch_execute(&format!("{first}1")).await.unwrap();
    other.batch_execute(&format!("{first}2")).await.unwrap();
    let (one, other) = tokio::join!(
        one.batch_execute("UPDATE d SET n = n WHERE n = 2; COMMIT"),
        other.batch_execute("UPDATE d SET n = n WHERE n = 1; COMMIT"),
    );
    assert!(one.is_err() != other.is_err(), "one of them has to give way");
}

async fn a_pair_tells(version: Postgres) {
    let site = Site::new(version);
    let (a, b) = pair(&site).await;
    let (mut of_a, mut of_b) = (a.server.statistics(), b.server.statistics());
    let before = until(&mut of_a, "a standby", |told| standby(told).is_some()).await;
    assert_eq!(before.server.connections_max, 100);
    assert!(before.sizes["postgres"] > 1_000_000, "{:?}", before.sizes);
    let files = (before.server.wal_files, before.server.wal_files_bytes);
    assert_eq!(files.1, files.0 * 16 * 1024 * 1024, "{files:?}");
    assert!(before.processes.processes > 3, "{:?}", before.processes);

    let open = a.client().await;
    open.batch_execute("BEGIN; LOCK TABLE t IN SHARE MODE").await.unwrap();
    let waiting = a.client().await;
    let insert =
        tokio::spawn(async move { waiting.batch_execute("INSERT INTO t VALUES (7)").await });
    let told =
        until(&mut of_a, "a lock that is waited for", |told| told.server.locks_waiting == 1).await;
    assert_eq!(told.server.connections["idle in transaction"], 1);
    assert!(told.server.locks["ShareLock"] >= 1, "{:?}", told.server.locks);
    assert!(told.server.longest_transaction.unwrap() > 0.0);
    open.batch_execute("COMMIT").await.unwrap();
    insert.await.unwrap().unwrap();
    drop(open);

    deadlock(&a).await;
    a.run("INSERT INTO t SELECT generate_series(1, 20000); CHECKPOINT").await;
    let after = until(&mut of_a, "what was done", |told| {
        database(told).deadlocks == 1
            && database(told).inserted >= database(&before).inserted + 20_000
            && told.checkpoints.requested > before.checkpoints.requested
    })
    .await;
    assert!(database(&after).commits > database(&before).commits);
    assert!(database(&after).rollbacks > database(&before).rollbacks, "the one that gave way");
    let grown = after.server.wal_bytes - before.server.wal_bytes;
    assert!(grown > 20_000 * 30, "{grown} bytes of log");
    assert!(after.processes.user + after.processes.system > Duration::ZERO);
    assert_eq!(after.server.replay_delay, None);

    b.catches_up_with(&a).await;
    let told = until(&mut of_a, "nothing behind", |told| {
        standby(told).is_some_and(|one| one.bytes == [Some(0); 4])
    })
    .await;
    assert_eq!(standby(&told).unwrap().sync_state, "async");
    let told = until(&mut of_b, "all replayed", |told| told.server.replay_delay == Some(0.0)).await;
    assert!(told.server.wal_bytes >= after.server.wal_bytes);
    assert!(told.server.standbys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_the_installed_version_tells_what_it_does() {
    let _turn = Turn::wait();
    a_pair_tells(Postgres::Installed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_version_18_tells_what_it_does() {
    let _turn = Turn::wait();
    a_pair_tells(Postgres::V18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_taken_where_few_are_left() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    a.server.configure(&fewer_connections(&a)).await.unwrap();
    a.stop().await;
    a.server.start(&pgbaton::postgres::StartAs::Primary, BOUND).await.unwrap();
    let mut clients = Vec::new();
    // What the agent's own connections take is not counted on.
    let mut reader = a.server.statistics();
    let refused = loop {
        clients.push(a.client().await);
        match reader.ask().await {
            Ok(told) => assert_eq!(told.server.connections_max, 20),
            Err(error) => break error,
        }
        reader.hang_up();
        assert!(clients.len() < 20, "the reserved connections were taken");
    };
    assert!(matches!(refused, StatisticsError::Crowded), "{refused}");
    a.client().await.batch_execute("SELECT 1").await.unwrap();
    clients.clear();
    until_it_answers(&mut reader).await;
}

async fn until_it_answers(reader: &mut StatisticsReader) {
    let started = Instant::now();
    while let Err(error) = reader.ask().await {
        assert!(started.elapsed() < BOUND, "{error}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn fewer_connections(server: &TestServer) -> pgbaton::config::EffectivePostgresql {
    let mut settings = super::support::postgres::settings(&server.node);
    settings.parameters.insert("max_connections".into(), "20".into());
    for (name, value) in &mut settings.command_line {
        if name == "max_connections" {
            *value = "20".into();
        }
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_asked_again() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    let mut reader = a.server.statistics();
    assert!(reader.is_running());
    reader.ask().await.unwrap();
    a.stop().await;
    assert!(!reader.is_running());
    assert!(reader.ask().await.is_err());
    a.server.start(&pgbaton::postgres::StartAs::Primary, BOUND).await.unwrap();
    until_it_answers(&mut reader).await;
}
