//! `pgbaton traffic` on a real server: what it counts, what it finds again, and how it ends.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer};
use super::support::sql::SUPERUSER_PASSWORD;
use super::support::wait::STEP;

fn program(server: &TestServer, arguments: &[&str]) -> Command {
    let (host, port) = (server.address.ip(), server.address.port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
    command.arg("traffic").arg("--write").arg(format!("host={host} port={port} user=postgres"));
    command.env("PGPASSWORD", SUPERUSER_PASSWORD).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(server: &TestServer, arguments: &[&str]) -> Child {
    program(server, arguments).spawn().expect("the program starts")
}

#[track_caller]
fn document(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn one(server: &TestServer, sql: &str) -> i64 {
    server.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

async fn wait_for_rows(server: &TestServer, rows: i64) {
    let since = Instant::now();
    let client = server.client().await;
    loop {
        let there = client.query_one("SELECT count(*) FROM pgbaton_traffic", &[]).await;
        if there.is_ok_and(|row| row.get::<_, i64>(0) >= rows) {
            return;
        }
        assert!(since.elapsed() < BOUND, "{rows} rows did not come");
        tokio::time::sleep(STEP).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_finds_what_was_acknowledged_and_leaves_nothing() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    for mode in ["insert", "counter", "kv"] {
        let options = ["--mode", mode, "--rate", "200", "--duration", "2s", "--json", "--quiet"];
        let output = start(&server, &options).wait_with_output().unwrap();
        let report = document(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert!(output.stderr.is_empty(), "quiet is quiet");
        let (writes, reads) = (&report["writes"], &report["reads"]);
        assert_eq!((&writes["requests"], &reads["requests"]), (&200.into(), &200.into()));
        assert_eq!((&writes["answered"], &reads["answered"]), (&200.into(), &200.into()));
        assert_eq!(reads["stale"], 0, "a primary is never behind itself");
        assert_eq!(
            (&report["ledger"]["missing"], &report["ledger"]["verified"]),
            (&0.into(), &true.into())
        );
        if mode == "counter" {
            assert_eq!(report["ledger"]["counter"]["value"], 200, "{report:#}");
        }
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'pgbaton_traffic'";
        assert_eq!(one(&server, tables).await, 0, "{mode}: the table is gone");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_row_that_is_gone_is_named_and_the_exit_code_is_one() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    let traffic = start(&server, &["--rate", "100", "--reads", "0", "--duration", "4s", "--json"]);
    wait_for_rows(&server, 50).await;
    server.run("DELETE FROM pgbaton_traffic WHERE id = 7").await;
    let output = traffic.wait_with_output().unwrap();
    let report = document(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["ledger"]["missing"], 1);
    assert_eq!(report["ledger"]["missing_listed"][0]["what"], "row 7");
    assert_eq!(report["reads"], Value::Null);
    let rows = one(&server, "SELECT count(*) FROM pgbaton_traffic").await;
    assert_eq!(rows, 399, "the table is kept, to be looked at");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_was_put_back_is_seen() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    let options = ["--mode", "counter", "--rate", "100", "--reads", "0", "--duration", "3s"];
    let traffic = start(&server, &options);
    wait_for_rows(&server, 1).await;
    let since = Instant::now();
    while one(&server, "SELECT max(value) FROM pgbaton_traffic").await < 20 {
        assert!(since.elapsed() < BOUND);
        tokio::time::sleep(STEP).await;
    }
    server.run("UPDATE pgbaton_traffic SET value = value - 5").await;
    let output = traffic.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("less than were acknowledged") && text.contains("MISSING"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_wait_for_a_standby_is_no_acknowledgement() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    let options = ["--rate", "20", "--reads", "0", "--clients", "1", "--json", "--timeout", "30s"];
    let traffic = start(&server, &options);
    wait_for_rows(&server, 5).await;
    // From now on each commit waits for a standby that is not there, until it is told not to.
    server.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    server.run("SELECT pg_reload_conf()").await;
    let cancel = "SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                  WHERE wait_event = 'SyncRep' AND application_name = 'pgbaton traffic') cancelled";
    let since = Instant::now();
    let mut cancelled = 0;
    while cancelled < 3 {
        assert!(since.elapsed() < BOUND, "no commit waits");
        cancelled += one(&server, cancel).await;
        tokio::time::sleep(STEP).await;
    }
    server.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    server.run("SELECT pg_reload_conf()").await;
    let pid = i32::try_from(traffic.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    let output = traffic.wait_with_output().unwrap();
    let report = document(&output);
    let ledger = &report["ledger"];
    assert_eq!((output.status.code(), &ledger["missing"]), (Some(0), &0.into()), "{report:#}");
    let unknown = ledger["unknown"].as_i64().unwrap();
    assert!(unknown >= 3, "{ledger}");
    assert_eq!(ledger["unknown_found"], unknown, "each of them is there, on this server alone");
    let errors = report["writes"]["errors"].to_string();
    assert!(errors.contains("synchronous replication was cancelled"), "{errors}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_begin_says_why() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    server.run("CREATE TABLE mine (n int)").await;
    for (options, code, said) in [
        (&["--table", "mine"][..], 1, "was not made by `pgbaton traffic`"),
        (&["--table", "a;b"], 1, "is no name of a table"),
        (&["--rate", "0"], 2, "requests a second"),
        (&["--write", "host=127.0.0.1 port=1"], 2, "cannot be used multiple times"),
    ] {
        let output = start(&server, options).wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {text}");
        assert!(text.contains(said), "{options:?}: {text}");
    }
    server.stop().await;
    let since = Instant::now();
    let output = start(&server, &["--duration", "1s"]).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    assert!(since.elapsed() < Duration::from_secs(20));
}
