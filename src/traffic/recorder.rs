//! What all clients write down together: the ledgers, the latencies, the errors, and what has happened to
//! connections until somebody tells it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::Rng;

use super::ledger::{Entry, Ledger, Outcome, version_of};
use super::settings::{Mode, Settings};
use super::watch::{Happening, LaneName, What};
use super::workload::Read;

/// Latencies are told apart to three digits, from a microsecond to more than an hour.
const LATENCY_MICROS_MAX: u64 = 4_000_000_000;
/// How many different errors are kept.
const ERRORS_MAX: usize = 50;

/// A histogram of latencies in microseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are fixed and valid")
}

/// What is known of one kind of request.
#[derive(Clone, Debug)]
pub struct LaneRecord {
    /// What became of each.
    pub ledger: Ledger,
    /// Latencies of those that were answered.
    pub latencies: Histogram<u64>,
    /// The same since the last line of progress.
    pub interval: Histogram<u64>,
    /// Requests that failed or stayed unknown since the last line of progress.
    pub interval_errors: u64,
    /// How many were sent again after a connection was lost.
    pub retried: u64,
    /// Reads that saw less than was acknowledged before.
    pub stale: u64,
    /// Why requests failed or stayed unknown, and how often.
    pub errors: BTreeMap<String, u64>,
    last_answer: Duration,
    is_disturbed: bool,
}

/// All of it.
#[derive(Debug)]
pub struct Record {
    /// Writes.
    pub writes: LaneRecord,
    /// Reads.
    pub reads: LaneRecord,
    /// The nodes by their numbers.
    pub nodes: Vec<String>,
    /// What has not been told yet.
    pub untold: Vec<Happening>,
    highest: BTreeMap<i64, i64>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub number: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Who answered, if anybody.
    pub node: u16,
    /// Why it was not acknowledged.
    pub why: Option<String>,
    /// What an increment returned, or a read found.
    pub value: Option<i64>,
    /// What a read had to find.
    pub read: Option<Read>,
}

/// The record, shared by all clients.
#[derive(Debug)]
pub struct Recorder {
    start: OnceLock<Instant>,
    mode: Mode,
    keys: u64,
    names: BTreeMap<String, String>,
    record: Mutex<Record>,
}

impl Recorder {
    /// Nothing is written down; time counts from [`Recorder::begin`].
    pub fn new(settings: &Settings) -> Self {
        let lane = |schedule| LaneRecord {
            ledger: Ledger::new(schedule),
            latencies: histogram(),
            interval: histogram(),
            interval_errors: 0,
            retried: 0,
            stale: 0,
            errors: BTreeMap::new(),
            last_answer: Duration::ZERO,
            is_disturbed: false,
        };
        let record = Record {
            writes: lane(settings.writes()),
            reads: lane(settings.reads()),
            nodes: Vec::new(),
            untold: Vec::new(),
            highest: BTreeMap::new(),
        };
        let (mode, keys, names) = (settings.mode, settings.keys.max(1), settings.names.clone());
        let start = OnceLock::new();
        Self { start, mode, keys, names, record: Mutex::new(record) }
    }

    /// From now on time counts. Returns when that was, also if it was before.
    pub fn begin(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// The time since then; before it, none.
    pub fn now(&self) -> Duration {
        self.start.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// The record as it is now.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the node at an address.
    pub fn node(&self, address: &str) -> u16 {
        let name = self.names.get(address).map_or(address, String::as_str);
        let mut record = self.record();
        let known = record.nodes.iter().position(|it| it == name);
        let index = known.unwrap_or_else(|| {
            record.nodes.push(name.to_owned());
            record.nodes.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// Notes what happened to a connection.
    pub fn happened(&self, lane: LaneName, what: What) {
        let at = self.now();
        let mut record = self.record();
        if matches!(what, What::Lost { .. } | What::Refused { .. }) {
            record.lane(lane).is_disturbed = true;
        }
        record.untold.push(Happening { at, lane, what });
    }

    /// Notes that a request is sent again.
    pub fn retried(&self, lane: LaneName) {
        self.record().lane(lane).retried += 1;
    }

    /// Notes the end of a request.
    pub fn ended(&self, lane: LaneName, end: End) {
        let at = self.now();
        let mut record = self.record();
        let state = record.lane(lane);
        let latency = at.saturating_sub(state.ledger.schedule().due(end.number));
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MICROS_MAX);
        let latency_micros = u32::try_from(micros).unwrap_or(u32::MAX);
        state
            .ledger
            .note(end.number, Entry { outcome: end.outcome, node: end.node, latency_micros });
        if end.outcome != Outcome::Acknowledged {
            state.interval_errors += 1;
            let why = end.why.unwrap_or_default();
            if state.errors.len() < ERRORS_MAX || state.errors.contains_key(&why) {
                *state.errors.entry(why).or_default() += 1;
            }
            return;
        }
        state.latencies.saturating_record(micros);
        state.interval.saturating_record(micros);
        if std::mem::take(&mut state.is_disturbed) {
            let after = at.saturating_sub(state.last_answer);
            let what = What::Back { node: end.node, after };
            record.untold.push(Happening { at, lane, what });
        }
        record.lane(lane).last_answer = at;
        match (lane, end.value) {
            (LaneName::Writes, value) => record.note_write(end.number, value, self.keys, self.mode),
            (LaneName::Reads, value) => {
                let at_least = end.read.and_then(|read| read.at_least);
                let is_stale = at_least.is_some_and(|least| value.is_none_or(|it| it < least));
                record.reads.stale += u64::from(is_stale);
            }
        }
    }

    /// Something to read, and what is known of it.
    pub fn choose_read(&self) -> Read {
        let mut rng = rand::rng();
        let record = self.record();
        let ledger = &record.writes.ledger;
        match self.mode {
            Mode::Insert => {
                let Some(latest) = ledger.latest() else { return Read { id: -1, at_least: None } };
                let any = rng.random_range(0..=latest);
                let is_there = ledger.outcome(any) == Outcome::Acknowledged;
                let id = i64::try_from(if is_there { any } else { latest }).unwrap_or(-1);
                Read { id, at_least: Some(1) }
            }
            Mode::Counter => {
                let count = i64::try_from(ledger.acknowledged()).unwrap_or(i64::MAX);
                Read { id: 0, at_least: Some(count) }
            }
            Mode::Kv => {
                let id = i64::try_from(rng.random_range(0..self.keys)).unwrap_or(0);
                Read { id, at_least: record.highest.get(&id).copied() }
            }
        }
    }
}

impl Record {
    /// The lane of that name.
    pub fn lane(&mut self, name: LaneName) -> &mut LaneRecord {
        match name {
            LaneName::Writes => &mut self.writes,
            LaneName::Reads => &mut self.reads,
        }
    }

    fn note_write(&mut self, number: u64, value: Option<i64>, keys: u64, mode: Mode) {
        if let Some(value) = value {
            self.writes.ledger.note_returned(number, value);
        }
        if mode == Mode::Kv {
            let key = i64::try_from(number % keys).unwrap_or(0);
            let highest = self.highest.entry(key).or_default();
            *highest = (*highest).max(version_of(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    fn recorder(mode: Mode) -> Recorder {
        let mut settings = Settings::usual(Target::local(1), Target::local(2));
        settings.mode = mode;
        settings.keys = 2;
        Recorder::new(&settings)
    }

    fn end(number: u64, outcome: Outcome) -> End {
        End { number, outcome, node: 0, why: Some("why".to_owned()), value: None, read: None }
    }

    #[test]
    fn a_read_that_sees_less_than_was_acknowledged_is_stale() {
        let recorder = recorder(Mode::Kv);
        assert_eq!(recorder.choose_read().at_least, None);
        recorder.ended(LaneName::Writes, end(2, Outcome::Acknowledged));
        let read = Some(Read { id: 0, at_least: Some(3) });
        for (number, value) in [(0, Some(3)), (1, Some(1)), (2, None)] {
            let seen = End { value, read, ..end(number, Outcome::Acknowledged) };
            recorder.ended(LaneName::Reads, seen);
        }
        assert_eq!(recorder.record().reads.stale, 2);
    }

    #[test]
    fn the_first_answer_after_a_loss_is_told_once() {
        let recorder = recorder(Mode::Insert);
        let lost = What::Lost { node: 0, reason: "gone".to_owned() };
        recorder.happened(LaneName::Writes, lost);
        recorder.ended(LaneName::Writes, end(0, Outcome::Unknown));
        recorder.ended(LaneName::Writes, end(1, Outcome::Acknowledged));
        recorder.ended(LaneName::Writes, end(2, Outcome::Acknowledged));
        let record = recorder.record();
        let back = |it: &&Happening| matches!(it.what, What::Back { .. });
        assert_eq!(record.untold.iter().filter(back).count(), 1);
        assert_eq!(record.writes.errors, BTreeMap::from([("why".to_owned(), 1)]));
    }
}
