//! What a run has shown, as plain data: the same for people, for machines and for the picture.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;

use super::ledger::{Comparison, CounterCheck, Ledger, Outcome};
use super::recorder::{LaneRecord, Record};
use super::settings::{Mode, Settings};
use super::timeline::{Bucket, Gap, Span, Timeline, gaps, spans};
use super::watch::{News, seconds};

/// The form of the JSON document; a number that rises when something in it changes its meaning.
const FORMAT: u32 = 1;

/// What a report is made from.
pub struct Source<'a> {
    /// What was asked for.
    pub settings: &'a Settings,
    /// When it began.
    pub started: Timestamp,
    /// When the last request had its end, from the start.
    pub ended: Duration,
    /// What was written down.
    pub record: &'a Record,
    /// What was told.
    pub news: &'a [News],
    /// What the database holds.
    pub verified: Verified,
}

/// What came of looking for what was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Nobody asked for it.
    NotAsked,
    /// Nobody answered.
    NotPossible(String),
    /// It was compared.
    Compared {
        /// With this result.
        comparison: Comparison,
        /// Whether the table is still there.
        table_kept: bool,
    },
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The form of this document.
    pub format: u32,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, until the last request had its end.
    pub seconds: f64,
    /// What writes did.
    pub mode: Mode,
    /// Where.
    pub table: String,
    /// How many connections each kind of request had.
    pub clients: usize,
    /// Writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<LaneReport>,
    /// Reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<LaneReport>,
    /// The longest time in which no write was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_without_write: Option<Gap>,
    /// Each time of some length in which no write was acknowledged.
    pub write_outages: Vec<Gap>,
    /// Who acknowledged writes, one after the other.
    pub writers: Vec<Span>,
    /// What was acknowledged and what is there.
    pub ledger: LedgerReport,
    /// What happened to connections.
    pub events: Vec<News>,
    /// Latency and errors over time.
    pub timeline: Timeline,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneReport {
    /// Where they went.
    pub target: String,
    /// So many were due each second.
    pub rate: f64,
    /// How many were due.
    pub requests: u64,
    /// How many were acknowledged (writes) or answered (reads).
    pub answered: u64,
    /// How many did not happen.
    pub failed: u64,
    /// How many may have happened; writes only.
    pub unknown: u64,
    /// Failed and unknown ones among all.
    pub error_rate: f64,
    /// How often a request was sent again after a connection was lost.
    pub sent_again: u64,
    /// Reads that saw less than was acknowledged when they were asked.
    pub stale: u64,
    /// From when a request was due to its answer, of those that were answered.
    pub latency_ms: Latency,
    /// How many each node answered.
    pub by_node: BTreeMap<String, u64>,
    /// Why requests failed or stayed unknown, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    /// Of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| millis(histogram.value_at_quantile(quantile).min(histogram.max()));
        if histogram.is_empty() {
            return Self::default();
        }
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: millis(histogram.max()) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour in microseconds is far below 2^53")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// What was acknowledged, and what is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerReport {
    /// Whether the database was looked at.
    pub verified: bool,
    /// Why it was not, though it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_verified_because: Option<String>,
    /// How many writes were acknowledged.
    pub acknowledged: u64,
    /// How many may have happened.
    pub unknown: u64,
    /// How many of those happened.
    pub unknown_found: u64,
    /// How many acknowledged writes are gone.
    pub missing: u64,
    /// The first of them.
    pub missing_listed: Vec<MissingReport>,
    /// How many are there although the server refused them.
    pub unexplained: u64,
    /// The counter beside the acknowledged increments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterCheck>,
    /// Whether the table is still there.
    pub table_kept: bool,
}

/// An acknowledged write that is gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MissingReport {
    /// Which.
    pub what: String,
    /// When it was acknowledged, from the start.
    pub acknowledged_at_seconds: f64,
    /// By whom.
    pub node: String,
}

impl Report {
    /// Puts it together.
    pub fn make(source: &Source<'_>) -> Self {
        let Source { settings, record, .. } = source;
        let lane = |lane: &LaneRecord, target: &dyn ToString, rate: f64| {
            (!lane.ledger.schedule().is_empty())
                .then(|| lane_report(lane, target.to_string(), rate, &record.nodes))
        };
        let writes = &record.writes.ledger;
        let answered = writes.answered_at();
        let outages = gaps(&answered, writes.schedule(), writes.entries().count());
        let longest = outages.iter().copied().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let worth = Gap::worth_telling(writes.schedule());
        Self {
            format: FORMAT,
            started: source.started.to_string(),
            seconds: seconds(source.ended),
            mode: settings.mode,
            table: settings.table.clone(),
            clients: settings.clients,
            writes: lane(&record.writes, &settings.write, settings.writes_per_second),
            reads: lane(&record.reads, &settings.read, settings.reads_per_second),
            longest_without_write: longest,
            write_outages: outages.into_iter().filter(|gap| gap.seconds >= worth).collect(),
            writers: spans(&answered, &record.nodes),
            ledger: ledger_report(writes, &source.verified, &record.nodes),
            events: source.news.to_vec(),
            timeline: Timeline::make(writes, &record.reads.ledger, source.ended),
        }
    }

    /// Whether nothing acknowledged is known to be missing, and whoever wanted to know does.
    pub fn has_passed(&self) -> bool {
        self.ledger.missing == 0 && self.ledger.not_verified_because.is_none()
    }

    /// The part of the picture that shows writes, and that which shows reads.
    pub fn buckets(&self) -> [(&'static str, &[Bucket]); 2] {
        [("writes", &self.timeline.writes), ("reads", &self.timeline.reads)]
    }
}

fn name_of(nodes: &[String], node: u16) -> String {
    nodes.get(usize::from(node)).cloned().unwrap_or_default()
}

fn lane_report(lane: &LaneRecord, target: String, rate: f64, nodes: &[String]) -> LaneReport {
    let mut by_node = BTreeMap::new();
    let (mut failed, mut unknown, mut requests) = (0, 0, 0);
    for (_, entry) in lane.ledger.entries() {
        requests += 1;
        match entry.outcome {
            Outcome::Acknowledged => *by_node.entry(name_of(nodes, entry.node)).or_default() += 1,
            Outcome::Failed => failed += 1,
            Outcome::Unknown | Outcome::Pending => unknown += 1,
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
    let error_rate = (failed + unknown) as f64 / requests.max(1) as f64;
    LaneReport {
        target,
        rate,
        requests,
        answered: lane.ledger.acknowledged(),
        failed,
        unknown,
        error_rate,
        sent_again: lane.retried,
        stale: lane.stale,
        latency_ms: Latency::of(&lane.latencies),
        by_node,
        errors: lane.errors.clone(),
    }
}

fn ledger_report(writes: &Ledger, verified: &Verified, nodes: &[String]) -> LedgerReport {
    let base = LedgerReport {
        acknowledged: writes.acknowledged(),
        unknown: writes.count(Outcome::Unknown),
        table_kept: true,
        ..LedgerReport::default()
    };
    match verified {
        Verified::NotAsked => base,
        Verified::NotPossible(why) => {
            LedgerReport { not_verified_because: Some(why.clone()), ..base }
        }
        Verified::Compared { comparison, table_kept } => LedgerReport {
            verified: true,
            unknown_found: comparison.unknown_found,
            missing: comparison.missing,
            missing_listed: (comparison.listed.iter())
                .map(|one| MissingReport {
                    what: one.what.clone(),
                    acknowledged_at_seconds: seconds(one.at),
                    node: name_of(nodes, one.node),
                })
                .collect(),
            unexplained: comparison.unexplained,
            counter: comparison.counter,
            table_kept: *table_kept,
            ..base
        },
    }
}
