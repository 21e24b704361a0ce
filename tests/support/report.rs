//! What the clients of a scenario have seen, and whether it may be: nothing acknowledged is missing, no two
//! nodes acknowledged at one time, and for how long nobody did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A write that a client was told is safe.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub node: i32,
    pub seq: i64,
    /// The timeline of the server that took it.
    pub timeline: i32,
    /// Before it was sent.
    pub sent: Instant,
    /// When the answer was there.
    pub at: Instant,
}

/// The whole ledger.
#[derive(Debug)]
pub struct Report {
    /// By time.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes without an answer.
    pub indeterminate: Vec<(i32, i64)>,
    /// Acknowledged, and not there afterwards.
    pub lost: Vec<Acknowledged>,
    /// There afterwards, although the server had refused it.
    pub unexplained: Vec<(i32, i64)>,
    started: Instant,
    ended: Instant,
}

/// One timeline's writers.
struct Reign {
    nodes: BTreeSet<i32>,
    first_answer: Instant,
    last_sent: Instant,
}

impl Reign {
    /// For how long it was written on while the next one already was.
    fn overlap(&self, next: &Reign) -> Duration {
        self.last_sent.saturating_duration_since(next.first_answer)
    }
}

impl Report {
    pub(super) fn between(started: Instant, ended: Instant) -> Report {
        Report {
            acknowledged: Vec::new(),
            indeterminate: Vec::new(),
            lost: Vec::new(),
            unexplained: Vec::new(),
            started,
            ended,
        }
    }

    pub(super) fn compare_with(&mut self, found: &BTreeSet<(i32, i64)>) {
        let is_lost = |one: &&Acknowledged| !found.contains(&(one.node, one.seq));
        self.lost = self.acknowledged.iter().filter(is_lost).copied().collect();
        let mut expected: BTreeSet<(i32, i64)> =
            self.acknowledged.iter().map(|one| (one.node, one.seq)).collect();
        expected.extend(&self.indeterminate);
        self.unexplained = found.difference(&expected).copied().collect();
    }

    /// The longest time in which no node acknowledged a write.
    pub fn gap(&self) -> Duration {
        self.gap_since(self.started)
    }

    /// The same, from a moment on.
    pub fn gap_since(&self, since: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut before = since;
        let later = self.acknowledged.iter().map(|one| one.at).filter(|at| *at > since);
        for at in later.chain([self.ended]) {
            longest = longest.max(at.saturating_duration_since(before));
            before = at;
        }
        longest
    }

    /// Fails if two nodes took writes at one time: a timeline has one server, and what was sent on an
    /// older one was sent before anything was acknowledged on a newer one.
    #[track_caller]
    pub fn assert_one_writer(&self) {
        let reigns = self.reigns();
        for (timeline, reign) in &reigns {
            let nodes = &reign.nodes;
            assert_eq!(nodes.len(), 1, "timeline {timeline} was written by the nodes {nodes:?}");
        }
        for ((older, before), (newer, after)) in reigns.iter().zip(reigns.iter().skip(1)) {
            let overlap = before.overlap(after);
            assert!(
                overlap.is_zero(),
                "a write sent on timeline {older} was acknowledged although timeline {newer} had \
                 acknowledged {overlap:?} earlier"
            );
        }
    }

    /// For how long two nodes took writes: the same as a figure.
    pub fn two_writers(&self) -> Duration {
        let reigns = self.reigns();
        let of_one_timeline = |reign: &Reign| {
            let shared = reign.nodes.len() > 1;
            if shared { reign.last_sent.duration_since(reign.first_answer) } else { Duration::ZERO }
        };
        let pairs = reigns.values().zip(reigns.values().skip(1));
        let overlaps = pairs.map(|(before, after)| before.overlap(after));
        reigns.values().map(of_one_timeline).chain(overlaps).max().unwrap_or_default()
    }

    /// Who wrote on each timeline, and when.
    fn reigns(&self) -> BTreeMap<i32, Reign> {
        let mut reigns: BTreeMap<i32, Reign> = BTreeMap::new();
        for one in &self.acknowledged {
            let reign = reigns.entry(one.timeline).or_insert_with(|| Reign {
                nodes: BTreeSet::new(),
                first_answer: one.at,
                last_sent: one.sent,
            });
            reign.nodes.insert(one.node);
            reign.last_sent = reign.last_sent.max(one.sent);
        }
        reigns
    }

    /// The acknowledged writes that are gone although they were acknowledged longer than this before the
    /// fault.
    pub fn lost_before(&self, window: Duration, fault: Instant) -> usize {
        let is_early = |one: &&Acknowledged| fault.saturating_duration_since(one.at) > window;
        self.lost.iter().filter(is_early).count()
    }

    /// One writer, nothing lost, and nothing there that was refused.
    #[track_caller]
    pub fn assert_nothing_lost(&self) {
        self.assert_one_writer();
        let lost = &self.lost;
        assert!(lost.is_empty(), "{} acknowledged writes are gone: {:?}", lost.len(), lost.first());
        let unexplained = &self.unexplained;
        assert!(unexplained.is_empty(), "refused, and yet there: {unexplained:?}");
    }

    /// One writer; of what was acknowledged only the last moments before the fault may be gone, as
    /// replication is asynchronous.
    #[track_caller]
    pub fn assert_lost_at_most(&self, window: Duration, fault: Instant) {
        self.assert_one_writer();
        for one in &self.lost {
            let early = fault.saturating_duration_since(one.at);
            assert!(early <= window, "gone, although acknowledged {early:?} before the fault");
        }
    }

    /// The gap since a moment has to stay within a bound.
    #[track_caller]
    pub fn assert_gap(&self, since: Instant, bound: Duration) {
        let gap = self.gap_since(since);
        assert!(gap <= bound, "no node took a write for {gap:?}, {bound:?} is the bound");
    }

    /// States the figures of a scenario.
    pub fn print(&self, scenario: &str, since: Instant) {
        println!(
            "{scenario}: writes were refused for {:.0} ms; {} acknowledged, {} lost, {} without an \
             answer",
            self.gap_since(since).as_secs_f64() * 1000.0,
            self.acknowledged.len(),
            self.lost.len(),
            self.indeterminate.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(writes: &[(i32, i32, u64)]) -> Report {
        let start = Instant::now();
        let mut report = Report::between(start, start + Duration::from_millis(100));
        for (seq, (node, timeline, millis)) in (1..).zip(writes) {
            let sent = start + Duration::from_millis(*millis);
            let at = sent + Duration::from_millis(2);
            let (node, timeline) = (*node, *timeline);
            report.acknowledged.push(Acknowledged { node, seq, timeline, sent, at });
        }
        report
    }

    #[test]
    fn the_gap_is_the_longest_silence() {
        let report = ledger(&[(0, 1, 0), (0, 1, 10), (1, 2, 70), (1, 2, 80)]);
        assert_eq!(report.gap(), Duration::from_millis(60));
        report.assert_nothing_lost();
    }

    #[test]
    #[should_panic(expected = "was written by the nodes")]
    fn two_nodes_of_one_timeline_are_seen() {
        ledger(&[(0, 1, 0), (1, 1, 50)]).assert_one_writer();
    }

    #[test]
    #[should_panic(expected = "earlier")]
    fn a_deposed_writer_that_goes_on_is_seen() {
        ledger(&[(0, 1, 0), (1, 2, 10), (0, 1, 20)]).assert_one_writer();
    }

    #[test]
    fn how_long_two_wrote_is_a_figure() {
        let alone = ledger(&[(0, 1, 0), (0, 1, 10), (1, 2, 70)]);
        assert_eq!(alone.two_writers(), Duration::ZERO);
        let two = ledger(&[(0, 1, 0), (1, 2, 10), (0, 1, 20)]);
        assert_eq!(two.two_writers(), Duration::from_millis(8));
        let on_one_timeline = ledger(&[(0, 1, 0), (1, 1, 50)]);
        assert_eq!(on_one_timeline.two_writers(), Duration::from_millis(48));
    }

    #[test]
    #[should_panic(expected = "are gone")]
    fn a_missing_write_is_seen() {
        let mut report = ledger(&[(0, 1, 0), (0, 1, 10)]);
        report.compare_with(&BTreeSet::from([(0, 1)]));
        report.assert_nothing_lost();
    }

    #[test]
    #[should_panic(expected = "refused, and yet there")]
    fn a_write_that_was_refused_is_seen() {
        let mut report = ledger(&[(0, 1, 0)]);
        report.compare_with(&BTreeSet::from([(0, 1), (0, 2)]));
        report.assert_nothing_lost();
    }
}
