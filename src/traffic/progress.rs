//! What is printed while a run goes on: one line each few seconds beside the news. It goes to standard
//! error, so that standard output has the report alone.

use std::fmt::Write as _;
use std::time::Duration;

use super::recorder::{LaneRecord, Record};
use super::report::Latency;
use super::text::millis;

/// The line of one interval; the next begins.
pub fn line(record: &mut Record, now: Duration, interval: Duration) -> String {
    let mut text = format!("{:9.3} s", now.as_secs_f64());
    for (name, lane) in [("writes", &mut record.writes), ("reads", &mut record.reads)] {
        if !lane.ledger.schedule().is_empty() {
            part(&mut text, name, lane, interval);
        }
    }
    text
}

fn part(text: &mut String, name: &str, lane: &mut LaneRecord, interval: Duration) {
    let latency = Latency::of(&lane.interval);
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
    let rate = lane.interval.len() as f64 / interval.as_secs_f64();
    // Writing to a string cannot fail.
    let _ = write!(text, "  {name} {rate:.0}/s");
    if !lane.interval.is_empty() {
        let (p50, p99, max) = (millis(latency.p50), millis(latency.p99), millis(latency.max));
        let _ = write!(text, ", p50 {p50}, p99 {p99}, max {max}");
    }
    let errors = std::mem::take(&mut lane.interval_errors);
    if errors > 0 {
        let _ = write!(text, ", {errors} in error");
    }
    let _ = write!(text, ";");
    lane.interval.reset();
}
