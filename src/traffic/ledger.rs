//! The ledger: what became of each write, and what that says about the rows found afterwards. A write whose
//! answer did not come may be there or not: it is `unknown`, and neither missing nor wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::schedule::Schedule;

/// How many missing rows are listed by name.
pub const LISTED_MAX: usize = 50;

/// What became of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    #[default]
    Pending,
    /// The server said that it is done.
    Acknowledged,
    /// It was sent, and there was no answer, or one that promises nothing.
    Unknown,
    /// It was refused or never sent: it did not happen.
    Failed,
}

/// One request, by its number. Small, because there are many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What became of it.
    pub outcome: Outcome,
    /// Which node answered, an index into the names.
    pub node: u16,
    /// From when it was due to its end.
    pub latency_micros: u32,
}

/// All requests of one kind, in the order in which they were due.
#[derive(Clone, Debug)]
pub struct Ledger {
    schedule: Schedule,
    entries: Vec<Entry>,
    /// The values that increments returned, by the write's number; `counter` alone.
    returned: Vec<(u64, i64)>,
    acknowledged: u64,
    latest: Option<u64>,
}

impl Ledger {
    /// An empty one.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, entries: Vec::new(), returned: Vec::new(), acknowledged: 0, latest: None }
    }

    /// When requests are due.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Notes the end of a request.
    pub fn note(&mut self, number: u64, entry: Entry) {
        let index = usize::try_from(number).expect("so many entries fit into memory");
        if self.entries.len() <= index {
            self.entries.resize(index + 1, Entry::default());
        }
        self.entries[index] = entry;
        if entry.outcome == Outcome::Acknowledged {
            self.acknowledged += 1;
            self.latest = self.latest.max(Some(number));
        }
    }

    /// Notes the counter's value that an acknowledged increment returned.
    pub fn note_returned(&mut self, number: u64, value: i64) {
        self.returned.push((number, value));
    }

    /// From now on a request that was due and has no entry has no outcome: `count` were due.
    pub fn close(&mut self, count: u64) {
        let count = usize::try_from(count).expect("so many entries fit into memory");
        self.entries.resize(count.max(self.entries.len()), Entry::default());
        for entry in self.entries.iter_mut().filter(|entry| entry.outcome == Outcome::Pending) {
            entry.outcome = Outcome::Unknown;
        }
    }

    /// Every request with its number.
    pub fn entries(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        (0..).zip(self.entries.iter().copied())
    }

    /// What became of a request.
    pub fn outcome(&self, number: u64) -> Outcome {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.entries.get(index).map_or(Outcome::Pending, |entry| entry.outcome)
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The highest number that was acknowledged so far.
    pub fn latest(&self) -> Option<u64> {
        self.latest
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.entries.iter().filter(|entry| entry.outcome == outcome).count() as u64
    }

    /// When each acknowledged request was answered, from the start, in that order.
    pub fn answered_at(&self) -> Vec<(Duration, u16)> {
        let mut times: Vec<(Duration, u16)> = self
            .entries()
            .filter(|(_, entry)| entry.outcome == Outcome::Acknowledged)
            .map(|(number, entry)| (self.ended_at(number, entry), entry.node))
            .collect();
        times.sort_unstable();
        times
    }

    /// When a request ended, from the start.
    pub fn ended_at(&self, number: u64, entry: Entry) -> Duration {
        self.schedule.due(number) + Duration::from_micros(entry.latency_micros.into())
    }

    /// Compares with what the database holds.
    pub fn compare(&self, found: &Found) -> Comparison {
        match found {
            Found::Rows(rows) => self.compare_rows(rows),
            Found::Versions(versions) => self.compare_versions(versions),
            Found::Counter(value) => self.compare_counter(*value),
        }
    }

    fn compare_rows(&self, rows: &BTreeSet<i64>) -> Comparison {
        let mut comparison = Comparison::default();
        for (number, entry) in self.entries() {
            let is_there = i64::try_from(number).is_ok_and(|number| rows.contains(&number));
            match (entry.outcome, is_there) {
                (Outcome::Acknowledged, false) => {
                    comparison.miss(self.missing(number, entry, format!("row {number}")));
                }
                (Outcome::Unknown | Outcome::Pending, true) => comparison.unknown_found += 1,
                (Outcome::Failed, true) => comparison.unexplained += 1,
                _ => {}
            }
        }
        comparison
    }

    /// A key has to stand at the highest acknowledged version at least, and at one that was sent.
    fn compare_versions(&self, versions: &Versions) -> Comparison {
        let mut comparison = Comparison::default();
        let mut highest: BTreeMap<i64, (u64, Entry)> = BTreeMap::new();
        for (number, entry) in self.entries() {
            if entry.outcome == Outcome::Acknowledged {
                highest.insert(versions.key_of(number), (number, entry));
            }
        }
        for (key, (number, entry)) in highest {
            let found = versions.found.get(&key).copied();
            if found.is_none_or(|found| found < version_of(number)) {
                let stands = found.map_or("is not there".to_owned(), |it| format!("is at {it}"));
                let what = format!("key {key} version {} ({stands})", version_of(number));
                comparison.miss(self.missing(number, entry, what));
            }
        }
        for version in versions.found.values() {
            let number = u64::try_from(version - 1).unwrap_or(u64::MAX);
            match self.outcome(number) {
                Outcome::Acknowledged => {}
                Outcome::Unknown | Outcome::Pending => comparison.unknown_found += 1,
                Outcome::Failed => comparison.unexplained += 1,
            }
        }
        comparison
    }

    fn compare_counter(&self, value: Option<i64>) -> Comparison {
        let value = value.unwrap_or(0);
        let acknowledged = i64::try_from(self.acknowledged).unwrap_or(i64::MAX);
        let unknown = i64::try_from(self.count(Outcome::Unknown)).unwrap_or(i64::MAX);
        let beyond = value.saturating_sub(acknowledged);
        let mut comparison = Comparison {
            unknown_found: u64::try_from(beyond.min(unknown)).unwrap_or(0),
            unexplained: u64::try_from(beyond.saturating_sub(unknown)).unwrap_or(0),
            ..Comparison::default()
        };
        // Two increments that returned one value: the first of them was lost. Where an unknown increment
        // has filled the gap in the sum, only this shows it.
        let mut givers: BTreeMap<i64, u64> = BTreeMap::new();
        for (number, value) in &self.returned {
            if let Some(first) = givers.insert(*value, *number) {
                let earlier = first.min(*number);
                let entry = self.entries[usize::try_from(earlier).unwrap_or(0)];
                let what = format!("increment {earlier} to {value} (given out again)");
                comparison.miss(self.missing(earlier, entry, what));
            }
        }
        let short = u64::try_from(acknowledged.saturating_sub(value)).unwrap_or(0);
        comparison.missing = comparison.missing.max(short);
        comparison.counter = Some(CounterCheck { value, acknowledged, unknown });
        comparison
    }

    fn missing(&self, number: u64, entry: Entry, what: String) -> Missing {
        Missing { what, at: self.ended_at(number, entry), node: entry.node }
    }
}

/// The version that a write of `kv` sets.
pub fn version_of(number: u64) -> i64 {
    i64::try_from(number).map_or(i64::MAX, |number| number.saturating_add(1))
}

/// What the database holds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The rows of `insert`.
    Rows(BTreeSet<i64>),
    /// The counter, unless its row is gone.
    Counter(Option<i64>),
    /// The keys of `kv`.
    Versions(Versions),
}

/// The keys of `kv` with the versions they stand at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// How many keys there are.
    pub keys: u64,
    /// What was found.
    pub found: BTreeMap<i64, i64>,
}

impl Versions {
    fn key_of(&self, number: u64) -> i64 {
        i64::try_from(number % self.keys.max(1)).unwrap_or(i64::MAX)
    }
}

/// An acknowledged write that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub what: String,
    /// When it was acknowledged, from the start.
    pub at: Duration,
    /// By whom.
    pub node: u16,
}

/// The counter beside what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CounterCheck {
    /// Where it stands.
    pub value: i64,
    /// How many increments were acknowledged.
    pub acknowledged: i64,
    /// How many may have happened.
    pub unknown: i64,
}

/// The ledger beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many acknowledged writes are gone.
    pub missing: u64,
    /// The first of them.
    pub listed: Vec<Missing>,
    /// How many unknown writes happened.
    pub unknown_found: u64,
    /// How many are there although they were refused.
    pub unexplained: u64,
    /// `counter` alone.
    pub counter: Option<CounterCheck>,
}

impl Comparison {
    /// Whether everything acknowledged is there.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    fn miss(&mut self, missing: Missing) {
        self.missing += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Acknowledged, Failed, Unknown};
    use super::*;

    fn ledger(outcomes: &[Outcome]) -> Ledger {
        let mut ledger = Ledger::new(Schedule::of_rate(10.0));
        for (number, outcome) in (0..).zip(outcomes) {
            ledger.note(number, Entry { outcome: *outcome, node: 0, latency_micros: 2000 });
        }
        ledger.close(outcomes.len() as u64);
        ledger
    }

    fn rows(found: &[i64]) -> Found {
        Found::Rows(found.iter().copied().collect())
    }

    #[test]
    fn only_an_acknowledged_row_can_be_missing() {
        let ledger = ledger(&[Acknowledged, Unknown, Failed, Acknowledged, Unknown]);
        let comparison = ledger.compare(&rows(&[0, 4]));
        assert_eq!((comparison.missing, comparison.unknown_found), (1, 1));
        assert_eq!(comparison.listed[0].what, "row 3");
        assert_eq!(comparison.listed[0].at, Duration::from_millis(302));
        assert_eq!(comparison.unexplained, 0);
    }

    #[test]
    fn a_refused_row_that_is_there_is_not_explained() {
        let comparison = ledger(&[Failed, Acknowledged]).compare(&rows(&[0, 1]));
        assert_eq!((comparison.missing, comparison.unexplained), (0, 1));
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let comparison = ledger(&[Acknowledged; 80]).compare(&rows(&[]));
        assert_eq!((comparison.missing, comparison.listed.len()), (80, LISTED_MAX));
    }

    #[test]
    fn a_request_without_an_end_is_unknown() {
        let mut ledger = ledger(&[Acknowledged]);
        ledger.close(3);
        assert_eq!((ledger.count(Unknown), ledger.count(Acknowledged)), (2, 1));
    }

    #[test]
    fn a_counter_may_stand_higher_by_the_unknown_increments_only() {
        let ledger = ledger(&[Acknowledged, Acknowledged, Unknown]);
        let check = |value| {
            let comparison = ledger.compare(&Found::Counter(Some(value)));
            (comparison.missing, comparison.unknown_found, comparison.unexplained)
        };
        assert_eq!(check(2), (0, 0, 0));
        assert_eq!(check(3), (0, 1, 0));
        assert_eq!(check(4), (0, 1, 1));
        assert_eq!(check(1), (1, 0, 0));
        let gone = ledger.compare(&Found::Counter(None));
        assert_eq!(gone.missing, 2);
    }

    #[test]
    fn a_value_that_was_given_out_twice_was_lost_once() {
        let mut ledger = ledger(&[Acknowledged, Acknowledged, Unknown]);
        ledger.note_returned(0, 1);
        ledger.note_returned(1, 1);
        let comparison = ledger.compare(&Found::Counter(Some(2)));
        assert_eq!(comparison.missing, 1, "the unknown one has filled the sum");
        assert!(comparison.listed[0].what.contains("increment 0 to 1"), "{comparison:?}");
    }

    #[test]
    fn a_key_may_not_fall_back() {
        // Two keys: writes 0 and 2 are for the first, 1 and 3 for the second.
        let ledger = ledger(&[Acknowledged, Acknowledged, Acknowledged, Unknown]);
        let check = |found: &[(i64, i64)]| {
            let found = found.iter().copied().collect();
            ledger.compare(&Found::Versions(Versions { keys: 2, found }))
        };
        assert_eq!(check(&[(0, 3), (1, 2)]), Comparison::default());
        assert_eq!(check(&[(0, 3), (1, 4)]).unknown_found, 1);
        let fallen = check(&[(0, 1)]);
        assert_eq!(fallen.missing, 2);
        assert_eq!(fallen.listed[0].what, "key 0 version 3 (is at 1)");
        assert_eq!(fallen.listed[1].what, "key 1 version 2 (is not there)");
    }

    #[test]
    fn answers_are_in_the_order_of_their_end() {
        let mut ledger = Ledger::new(Schedule::of_rate(10.0));
        let entry = |node, latency_micros| Entry { outcome: Acknowledged, node, latency_micros };
        ledger.note(0, entry(1, 500_000));
        ledger.note(1, entry(2, 1000));
        let times: Vec<u16> = ledger.answered_at().into_iter().map(|(_, node)| node).collect();
        assert_eq!((times, ledger.latest()), (vec![2, 1], Some(1)));
    }
}
