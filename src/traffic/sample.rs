//! A short report for tests of what is made from reports.

use std::collections::BTreeMap;

use super::report::{LaneReport, Latency, LedgerReport, Report};
use super::settings::Mode;
use super::timeline::Timeline;

/// A hundred writes and reads; so many acknowledged writes are missing, so many have failed.
pub(crate) fn sample_report(missing: u64, failed: u64) -> Report {
    let latency_ms = Latency { p50: 1.0, p95: 1.0, p99: 1.0, max: 1.0 };
    let lane = |failed: u64| LaneReport {
        target: "pg:5000".to_owned(),
        rate: 10.0,
        requests: 100,
        answered: 100 - failed,
        failed,
        unknown: 0,
        error_rate: 0.0,
        sent_again: 0,
        stale: 0,
        latency_ms,
        by_node: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    Report {
        format: 1,
        started: "2031-03-02T03:00:00Z".to_owned(),
        seconds: 10.0,
        mode: Mode::Insert,
        table: "pgbaton_traffic".to_owned(),
        clients: 8,
        writes: Some(lane(failed)),
        reads: Some(lane(0)),
        longest_without_write: None,
        write_outages: Vec::new(),
        writers: Vec::new(),
        ledger: LedgerReport {
            verified: true,
            acknowledged: 100 - failed,
            missing,
            ..LedgerReport::default()
        },
        events: Vec::new(),
        timeline: Timeline::default(),
    }
}
