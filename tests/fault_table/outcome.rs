//! What came of a fault, as figures, and which rules they break.

use std::time::{Duration, Instant};

use super::play::{How, Mode};
use super::{Fault, Reach};
use crate::support::report::Report;

/// Replication is asynchronous: this much before the fault may be gone with the old primary.
const LOSS_WINDOW: Duration = Duration::from_secs(1);

/// The figures of one fault.
pub struct Outcome {
    name: &'static str,
    reach: Reach,
    pub mode: Mode,
    /// The fence it was measured with.
    pub fence: String,
    /// The longest time in which no node acknowledged a write.
    pub gap: Duration,
    pub two_writers: Duration,
    /// For how long two nodes answered 200 to `/primary` at one time.
    pub two_primaries: Duration,
    pub lost: usize,
    lost_early: usize,
    unexplained: usize,
    pub acknowledged: usize,
    /// The longest time that the machine's disk took for one page meanwhile.
    pub disk: Duration,
}

/// What was seen besides the ledger.
pub(super) struct Seen {
    pub fence: String,
    /// When the fault began.
    pub since: Instant,
    pub two_primaries: Duration,
    pub disk: Duration,
}

impl Outcome {
    pub(super) fn new(fault: &Fault, how: How, seen: Seen, report: &Report) -> Outcome {
        let Seen { fence, since, two_primaries, disk } = seen;
        Outcome {
            name: fault.name,
            reach: fault.reach,
            mode: how.mode,
            fence,
            gap: report.gap_since(since),
            two_writers: report.two_writers(),
            two_primaries,
            lost: report.lost.len(),
            lost_early: report.lost_before(LOSS_WINDOW, since),
            unexplained: report.unexplained.len(),
            acknowledged: report.acknowledged.len(),
            disk,
        }
    }

    /// The rules that hold whatever the figures are; none of them may be in here.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        let Outcome { two_writers, two_primaries, lost, lost_early, unexplained, .. } = self;
        let allowed =
            if self.mode == Mode::Async { self.reach.two_writers } else { Duration::ZERO };
        check(*two_writers <= allowed, format!("two writers for {two_writers:?}"));
        check(two_primaries.is_zero(), format!("/primary: two for {two_primaries:?}"));
        check(*unexplained == 0, format!("{unexplained} rows there that were refused"));
        check(*lost_early == 0, format!("{lost_early} rows lost from well before the fault"));
        check(self.mode == Mode::Async || *lost == 0, format!("{lost} rows lost in quorum mode"));
        broken
    }

    /// The figures that it was to reach in asynchronous mode, and did not.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.mode != Mode::Async {
            return missed;
        }
        if let Some(gap) = self.reach.gap.filter(|gap| self.gap > *gap) {
            missed.push(format!(
                "refused for {}, {} was to be reached",
                seconds(self.gap),
                seconds(gap)
            ));
        }
        if self.reach.nothing_lost && self.lost > 0 {
            missed.push(format!("{} rows lost, none was to be", self.lost));
        }
        missed
    }

    /// Fails if a rule is broken, or writes were refused for longer than this.
    #[track_caller]
    pub fn assert_well(&self, gap: Duration) {
        println!("{}", self.row());
        assert_eq!(self.broken(), Vec::<String>::new(), "{}", self.name);
        assert!(self.gap <= gap, "{}: refused for {:?}, {gap:?} is the bound", self.name, self.gap);
    }

    /// The table's first two lines.
    pub fn head() -> &'static str {
        "| fault | mode | fence | refused | two writers for | lost | of acknowledged | refused, to reach | the disk's longest | |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    }

    /// Its line in the table.
    pub fn row(&self) -> String {
        let mode = match self.mode {
            Mode::Async => "async",
            Mode::Quorum => "quorum",
        };
        let reach = self.reach.gap.filter(|_| self.mode == Mode::Async);
        let reach = reach.map_or("-".to_owned(), |gap| format!("≤ {}", seconds(gap)));
        let remarks: Vec<String> = [
            self.broken().iter().map(|what| format!("**BROKEN: {what}**")).collect::<Vec<_>>(),
            self.missed().iter().map(|what| format!("missed: {what}")).collect(),
        ]
        .concat();
        format!(
            "| {} | {mode} | {} | {} | {} | {} | {} | {reach} | {} | {} |",
            self.name,
            self.fence,
            seconds(self.gap),
            seconds(self.two_writers),
            self.lost,
            self.acknowledged,
            seconds(self.disk),
            remarks.join("; ")
        )
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
