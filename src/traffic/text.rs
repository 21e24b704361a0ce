//! The report for people: a table and what has to be said beside it.

use std::fmt::Write as _;

use super::report::{LaneReport, LedgerReport, Report};
use super::settings::Mode;

/// How many errors are shown for each kind of request.
const ERRORS_SHOWN: usize = 5;
const HEAD: [&str; 10] =
    ["", "requests", "answered", "failed", "unknown", "errors", "p50", "p95", "p99", "max"];

/// The whole report; the last line ends with a line break.
pub fn text(report: &Report) -> String {
    let mut text = format!("\n{}\n\n", head(report));
    text.push_str(&table(report));
    text.push('\n');
    for (label, said) in facts(report) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {label:<32} {said}");
    }
    text.push('\n');
    for line in verdict(report) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// What was asked for, in one line.
pub fn head(report: &Report) -> String {
    let mut kinds = Vec::new();
    for (kind, lane) in lanes(report) {
        kinds.push(format!("{} {kind}/s to {}", lane.rate, lane.target));
    }
    let clients = report.clients;
    let plural = if clients == 1 { "connection" } else { "connections" };
    let (mode, seconds) = (report.mode, report.seconds);
    format!("{mode}: {}; {clients} {plural} each, {seconds:.1} s", kinds.join(", "))
}

fn lanes(report: &Report) -> impl Iterator<Item = (&'static str, &LaneReport)> {
    let lanes = [("writes", &report.writes), ("reads", &report.reads)];
    lanes.into_iter().filter_map(|(name, lane)| Some((name, lane.as_ref()?)))
}

/// The rows of the table, its head first.
pub fn rows(report: &Report) -> Vec<[String; 10]> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for (name, lane) in lanes(report) {
        let unknown = if name == "reads" { "-".to_owned() } else { lane.unknown.to_string() };
        let latency = lane.latency_ms;
        rows.push([
            name.to_owned(),
            lane.requests.to_string(),
            lane.answered.to_string(),
            lane.failed.to_string(),
            unknown,
            format!("{:.2} %", lane.error_rate * 100.0),
            millis(latency.p50),
            millis(latency.p95),
            millis(latency.p99),
            millis(latency.max),
        ]);
    }
    rows
}

fn table(report: &Report) -> String {
    let rows = rows(report);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(index, (cell, width))| match index {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  "));
    }
    text
}

/// A length of time as people read it.
pub fn millis(millis: f64) -> String {
    match millis {
        short if short < 10.0 => format!("{short:.2} ms"),
        middle if middle < 100.0 => format!("{middle:.1} ms"),
        long if long < 10_000.0 => format!("{long:.0} ms"),
        very_long => format!("{:.1} s", very_long / 1000.0),
    }
}

/// What has to be said beside the table.
pub fn facts(report: &Report) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |label: &str, said: String| facts.push((label.to_owned(), said));
    if let Some(gap) = report.longest_without_write {
        let since = gap.from_seconds;
        add("longest without a write", format!("{:.3} s, from {since:.3} s on", gap.seconds));
    }
    for (name, lane) in lanes(report) {
        let nodes: Vec<String> =
            lane.by_node.iter().map(|(node, count)| format!("{node} ({count})")).collect();
        add(&format!("{name} answered by"), nodes.join(", "));
    }
    for (name, lane) in lanes(report).filter(|(_, lane)| lane.sent_again > 0) {
        add(&format!("{name} sent again"), lane.sent_again.to_string());
    }
    if let Some(reads) = report.reads.as_ref().filter(|reads| reads.stale > 0) {
        add("reads older than acknowledged", format!("{} of {}", reads.stale, reads.answered));
    }
    for (name, lane) in lanes(report) {
        let mut errors: Vec<(&String, &u64)> = lane.errors.iter().collect();
        errors.sort_by_key(|(why, count)| (std::cmp::Reverse(**count), why.as_str()));
        for (why, count) in errors.iter().take(ERRORS_SHOWN) {
            add(&format!("{name} in error"), format!("{count} x {why}"));
        }
        if errors.len() > ERRORS_SHOWN {
            let more = errors.len() - ERRORS_SHOWN;
            add(&format!("{name} in error"), format!("and {more} more kinds; --json lists them"));
        }
    }
    facts
}

/// What became of what was acknowledged.
pub fn verdict(report: &Report) -> Vec<String> {
    let ledger = &report.ledger;
    let LedgerReport { acknowledged, unknown, unknown_found, missing, .. } = ledger;
    let mut lines = vec![format!(
        "{acknowledged} writes acknowledged, {unknown} unknown{}",
        match (ledger.verified, *unknown) {
            (false, _) | (_, 0) => String::new(),
            (true, _) => format!(" ({unknown_found} of them found)"),
        }
    )];
    if let Some(why) = &ledger.not_verified_because {
        lines.push(format!("NOT VERIFIED: {why}"));
        return lines;
    }
    if !ledger.verified {
        lines.push("not verified (--no-verify)".to_owned());
        return lines;
    }
    if let Some(counter) = &ledger.counter {
        let beside = match counter.value - counter.acknowledged {
            0 => "equal to the acknowledged increments".to_owned(),
            more if more > 0 && more <= counter.unknown => {
                format!("the acknowledged increments and {more} of the unknown ones")
            }
            more if more > 0 => format!("{more} more than were acknowledged"),
            less => format!("{} less than were acknowledged", -less),
        };
        lines.push(format!("the counter stands at {}: {beside}", counter.value));
    }
    if *missing == 0 {
        let all = match report.mode {
            Mode::Insert => "every acknowledged row is there",
            Mode::Counter => "no acknowledged increment is lost",
            Mode::Kv => "no key has fallen behind what was acknowledged",
        };
        lines.push(format!("0 missing: {all}"));
    } else {
        lines.push(format!("{missing} MISSING, acknowledged and gone:"));
        for one in &ledger.missing_listed {
            let (what, at, node) = (&one.what, one.acknowledged_at_seconds, &one.node);
            lines.push(format!("  {what}, acknowledged at {at:.3} s by {node}"));
        }
        let listed = ledger.missing_listed.len() as u64;
        if *missing > listed {
            lines.push(format!("  and {} more", missing - listed));
        }
        lines.push(format!("the table {} is kept", report.table));
    }
    if ledger.unexplained > 0 {
        let count = ledger.unexplained;
        lines.push(format!("{count} there although the server refused them: please report this"));
    }
    lines
}
