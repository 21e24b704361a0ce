//! A run over time: when nothing was acknowledged, who acknowledged, and latency in slices.

use std::time::Duration;

use serde::Serialize;

use super::ledger::{Ledger, Outcome};
use super::schedule::Schedule;
use super::watch::seconds;

/// A picture has about as many slices at most.
const SLICES_MAX: f64 = 600.0;
/// How long slices may be.
const SLICE_SECONDS: [f64; 11] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
/// A time without an acknowledged write that is worth telling: so long at least, and so many writes.
const OUTAGE: (f64, f64) = (0.25, 5.0);

/// A time in which no write was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// How long.
    pub seconds: f64,
    /// Since when, from the start.
    pub from_seconds: f64,
}

impl Gap {
    /// How long one has to be.
    pub fn worth_telling(schedule: Schedule) -> f64 {
        let period = if schedule.is_empty() { 0.0 } else { schedule.due(1).as_secs_f64() };
        OUTAGE.0.max(OUTAGE.1 * period)
    }

    /// Until when, from the start.
    pub fn to_seconds(&self) -> f64 {
        self.from_seconds + self.seconds
    }
}

/// Every time between two acknowledgements, the first and the last included; of `count` writes.
pub fn gaps(answered: &[(Duration, u16)], schedule: Schedule, count: usize) -> Vec<Gap> {
    if count == 0 {
        return Vec::new();
    }
    let end = schedule.due(count as u64);
    let mut found = Vec::new();
    let mut before = Duration::ZERO;
    for at in answered.iter().map(|(at, _)| *at).chain([end]) {
        if at > before {
            let gap = Gap { seconds: seconds(at - before), from_seconds: seconds(before) };
            found.push(gap);
            before = at;
        }
    }
    found
}

/// A time in which one node acknowledged writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// Which.
    pub node: String,
    /// Its first acknowledgement, from the start.
    pub from_seconds: f64,
    /// Its last one before another's.
    pub to_seconds: f64,
}

/// Who acknowledged, one after the other.
pub fn spans(answered: &[(Duration, u16)], nodes: &[String]) -> Vec<Span> {
    let mut found: Vec<(u16, Duration, Duration)> = Vec::new();
    for (at, node) in answered {
        match found.last_mut() {
            Some((last, _, to)) if last == node => *to = *at,
            _ => found.push((*node, *at, *at)),
        }
    }
    let name = |node: u16| nodes.get(usize::from(node)).cloned().unwrap_or_default();
    let span = |(node, from, to): (u16, Duration, Duration)| Span {
        node: name(node),
        from_seconds: seconds(from),
        to_seconds: seconds(to),
    };
    found.into_iter().map(span).collect()
}

/// Latency and errors in slices of time, by when requests were due.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// How long a slice is.
    pub slice_seconds: f64,
    /// Writes.
    pub writes: Vec<Bucket>,
    /// Reads.
    pub reads: Vec<Bucket>,
}

/// The requests that were due in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// When it begins, from the start.
    pub at_seconds: f64,
    /// How many were answered.
    pub answered: u64,
    /// How many did not happen.
    pub failed: u64,
    /// How many may have happened.
    pub unknown: u64,
    /// The latency that half of the answered ones kept.
    pub p50_ms: f64,
    /// The longest of them.
    pub max_ms: f64,
}

impl Timeline {
    /// Puts it together.
    pub fn make(writes: &Ledger, reads: &Ledger, ended: Duration) -> Self {
        let whole = ended.as_secs_f64();
        let fits = |slice: &&f64| whole / **slice <= SLICES_MAX;
        let slice = SLICE_SECONDS.iter().find(fits).copied().unwrap_or(24.0 * 3600.0);
        Self { slice_seconds: slice, writes: buckets(writes, slice), reads: buckets(reads, slice) }
    }
}

fn buckets(ledger: &Ledger, slice: f64) -> Vec<Bucket> {
    let mut found: Vec<(Bucket, Vec<u32>)> = Vec::new();
    for (number, entry) in ledger.entries() {
        let due = ledger.schedule().due(number).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        let index = (due / slice + 1e-9) as usize;
        while found.len() <= index {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let at_seconds = (found.len() as f64 * slice * 1000.0).round() / 1000.0;
            found.push((Bucket { at_seconds, ..Bucket::default() }, Vec::new()));
        }
        let (bucket, latencies) = &mut found[index];
        match entry.outcome {
            Outcome::Acknowledged => {
                bucket.answered += 1;
                latencies.push(entry.latency_micros);
            }
            Outcome::Failed => bucket.failed += 1,
            Outcome::Unknown | Outcome::Pending => bucket.unknown += 1,
        }
    }
    let finished = found.into_iter().map(|(mut bucket, mut latencies)| {
        latencies.sort_unstable();
        let millis = |micros: Option<&u32>| micros.map_or(0.0, |it| f64::from(*it) / 1000.0);
        bucket.p50_ms = millis(latencies.get(latencies.len() / 2));
        bucket.max_ms = millis(latencies.last());
        bucket
    });
    finished.collect()
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Entry;
    use super::*;

    fn at(millis: &[u64]) -> Vec<(Duration, u16)> {
        millis.iter().map(|millis| (Duration::from_millis(*millis), 0)).collect()
    }

    #[test]
    fn the_beginning_and_the_end_are_gaps_too() {
        let schedule = Schedule::of_rate(10.0);
        let found = gaps(&at(&[300, 400, 500]), schedule, 10);
        let seconds: Vec<f64> = found.iter().map(|gap| gap.seconds).collect();
        assert_eq!(seconds, [0.3, 0.1, 0.1, 0.5]);
        let nothing = gaps(&[], schedule, 20);
        assert_eq!(nothing, [Gap { seconds: 2.0, from_seconds: 0.0 }]);
        assert!(gaps(&[], schedule, 0).is_empty());
        // An answer after the last request was due leaves no gap behind it.
        assert_eq!(gaps(&at(&[1200]), schedule, 10).len(), 1);
    }

    #[test]
    fn a_rare_write_is_no_outage() {
        assert!((Gap::worth_telling(Schedule::of_rate(1.0)) - 5.0).abs() < 1e-9);
        assert!((Gap::worth_telling(Schedule::of_rate(1000.0)) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn who_writes_is_told_by_turns() {
        let answered: Vec<(Duration, u16)> = [(1, 0), (2, 0), (9, 1), (10, 1)]
            .map(|(second, node)| (Duration::from_secs(second), node))
            .to_vec();
        let nodes = ["pg-a".to_owned(), "pg-b".to_owned()];
        let found = spans(&answered, &nodes);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].node.as_str(), found[1].from_seconds), ("pg-b", 9.0));
        assert!((found[0].to_seconds - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_slice_has_the_requests_that_were_due_in_it() {
        let mut ledger = Ledger::new(Schedule::of_rate(10.0));
        for number in 0..20 {
            let outcome = if number == 3 { Outcome::Unknown } else { Outcome::Acknowledged };
            let latency_micros = 1000 * (u32::try_from(number).unwrap() + 1);
            ledger.note(number, Entry { outcome, node: 0, latency_micros });
        }
        let none = Ledger::new(Schedule::of_rate(0.0));
        let timeline = Timeline::make(&ledger, &none, Duration::from_secs(600));
        assert!((timeline.slice_seconds - 1.0).abs() < 1e-9);
        let [first, second] = timeline.writes[..] else { panic!("{timeline:?}") };
        assert_eq!((first.answered, first.unknown, first.failed), (9, 1, 0));
        assert!((second.max_ms - 20.0).abs() < 1e-9 && (second.p50_ms - 16.0).abs() < 1e-9);
        assert!(timeline.reads.is_empty());
    }
}
