//! The report of a run that was made by hand, held still: `tests/golden/traffic`. A changed form is written
//! with `UPDATE_GOLDEN=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::html::page;
use super::ledger::{Comparison, Entry, Found, Outcome};
use super::recorder::Recorder;
use super::report::{Report, Source, Verified};
use super::settings::{Mode, Settings};
use super::target::Target;
use super::text::text;
use super::watch::{LaneName, News};

/// Ten seconds: the primary changes at the fifth, for one second.
fn report(missing: &[i64], verified: fn(Comparison) -> Verified) -> Report {
    let target = |port| Target::parse(&format!("host=pg port={port} user=app")).unwrap();
    let mut settings = Settings::usual(target(5000), target(5001));
    (settings.writes_per_second, settings.reads_per_second) = (10.0, 20.0);
    let recorder = Recorder::new(&settings);
    let (old, new, standby) = (recorder.node("pg-a"), recorder.node("pg-b"), recorder.node("pg-c"));
    let mut record = recorder.record();
    for number in 0..100_u64 {
        let millis = if (50..60).contains(&number) { 1000 - 100 * (number - 50) } else { 2 };
        let outcome = if number == 49 { Outcome::Unknown } else { Outcome::Acknowledged };
        let node = if number < 50 { old } else { new };
        let latency_micros = u32::try_from(millis * 1000).unwrap();
        record.writes.ledger.note(number, Entry { outcome, node, latency_micros });
        if outcome == Outcome::Acknowledged {
            record.writes.latencies.record(millis * 1000).unwrap();
        }
    }
    record.writes.errors = BTreeMap::from([("the server <closed> the connection".to_owned(), 1)]);
    for number in 0..200_u64 {
        let entry = Entry { outcome: Outcome::Acknowledged, node: standby, latency_micros: 800 };
        record.reads.ledger.note(number, entry);
        record.reads.latencies.record(800).unwrap();
    }
    (record.reads.stale, record.reads.retried) = (3, 1);
    let there: BTreeSet<i64> = (0..100).filter(|id| !missing.contains(id)).collect();
    let comparison = record.writes.ledger.compare(&Found::Rows(there));
    let happened = |millis, kind, node: &str, text: &str| News {
        at: Duration::from_millis(millis),
        lane: LaneName::Writes,
        kind,
        node: Some(node.to_owned()),
        text: text.to_owned(),
    };
    let news = [
        happened(0, "connected", "pg-a", "8 connections to pg-a (primary)"),
        happened(4950, "lost", "pg-a", "8 of 8 connections lost, to pg-a: shut down"),
        happened(6000, "back", "pg-b", "back at pg-b, 1.198 s after the last answer"),
    ];
    Report::make(&Source {
        settings: &settings,
        started: "2031-03-02T03:00:00Z".parse().unwrap(),
        ended: Duration::from_secs(10),
        record: &record,
        news: &news,
        verified: verified(comparison),
    })
}

fn compared(comparison: Comparison) -> Verified {
    let table_kept = !comparison.is_complete();
    Verified::Compared { comparison, table_kept }
}

#[track_caller]
fn check(file: &str, printed: &str) {
    let path = format!("{}/tests/golden/traffic/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, printed).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(printed, expected, "{file}, printed:\n{printed}");
}

#[test]
fn a_failover_without_a_loss() {
    let report = report(&[], compared);
    assert!(report.has_passed());
    check("failover.txt", &text(&report));
    check("failover.json", &serde_json::to_string_pretty(&report).unwrap());
    let page = page(&report);
    check("failover.html", &page);
    assert!(page.contains("the server &lt;closed&gt; the connection"), "errors are no markup");
}

#[test]
fn a_missing_row_is_named() {
    let report = report(&[47, 48, 49], compared);
    assert!(!report.has_passed());
    assert_eq!(report.ledger.missing, 2, "the unknown one is not missing");
    check("missing.txt", &text(&report));
}

#[test]
fn what_could_not_be_verified_has_not_passed() {
    let failed = report(&[], |_| Verified::NotPossible("connection refused".to_owned()));
    assert!(!failed.has_passed());
    assert!(text(&failed).contains("NOT VERIFIED: connection refused"));
    let unasked = report(&[], |_| Verified::NotAsked);
    assert!(unasked.has_passed() && text(&unasked).contains("not verified (--no-verify)"));
}

#[test]
fn the_longest_time_without_a_write_is_from_answer_to_answer() {
    let report = report(&[], compared);
    let gap = report.longest_without_write.unwrap();
    assert_eq!((gap.from_seconds, gap.seconds), (4.802, 1.198));
    assert_eq!(report.write_outages, [gap], "at ten writes a second, half a second is worth it");
    assert_eq!(report.writers.len(), 2);
    assert_eq!(report.mode, Mode::Insert);
}
