//! The probes' schedule: what is asked when, since when an answer is owed, and what is known of that.
//! A task of its own, so that no question holds up a turn; one question of each kind at a time, so
//! that nothing piles up at a server that hangs. Judges nothing.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::cluster::{Finding, Health, Trouble};
use crate::postgres::{Glimpse, Probed, Probes};
use crate::values::{Clock, Lsn, Monotonic};

/// What the loop tells the probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Whether this node leads with a server that should accept writes.
    pub leads: bool,
    /// Whether there is a data directory that nobody is just making or removing.
    pub has_data: bool,
    /// The flushed end of the log, while the server answers the loop.
    pub position: Option<Lsn>,
    /// Whether the server owes the loop an answer.
    pub silent: bool,
    /// `primary_stall_timeout`; zero when stalls are only reported.
    pub stall_timeout: Duration,
}

/// Without a `primary_stall_timeout`, the probes go at the pace of this one.
const PACE_OF: Duration = Duration::from_secs(10);
/// The kept connection's own traces are smaller than this: a log that has grown by more is being
/// written by somebody. An idle server is not asked to write, or its log would never rest.
const OWN_TRACES_BYTES: u64 = 1024;

impl Glance {
    /// How often a question is asked, and looked after.
    pub fn period(&self) -> Duration {
        let timeout = if self.stall_timeout.is_zero() { PACE_OF } else { self.stall_timeout };
        crate::decide::probe_period(timeout)
    }
}

/// One kind of question.
#[derive(Default)]
struct Question {
    finding: Finding,
    /// When the question was asked that is not answered yet.
    open: Option<Monotonic>,
    failures: u64,
}

impl Question {
    fn answered<T>(&mut self, now: Monotonic, answer: &Probed<T>) {
        let Some(asked_at) = self.open.take() else { return };
        self.finding = match answer {
            Probed::Good(_) => Finding::Good { asked_at, took: now.since(asked_at) },
            Probed::Absent => Finding::Unknown,
            Probed::Trouble(trouble) => {
                self.failures += 1;
                let since = match self.finding {
                    Finding::Bad { since, .. } | Finding::Silent { since } => since,
                    Finding::Unknown | Finding::Good { .. } => asked_at,
                };
                Finding::Bad { since, trouble: trouble.clone() }
            }
        };
    }

    fn look_after(&mut self, now: Monotonic, patience: Duration) {
        if let Some(since) = self.open.filter(|asked_at| now.since(*asked_at) >= patience) {
            if !matches!(self.finding, Finding::Silent { .. }) {
                self.failures += 1;
            }
            self.finding = Finding::Silent { since };
        }
    }

    /// Time in which nobody could have heard an answer does not count.
    fn shift(&mut self, by: Duration) {
        if let Some(open) = &mut self.open {
            *open = *open + by;
        }
        if let Finding::Silent { since } | Finding::Bad { since, .. } = &mut self.finding {
            *since = *since + by;
        }
    }
}

#[derive(Default)]
struct Known {
    commit: Question,
    connection: Question,
    disk: Question,
    /// Where the log ended after the last commit of the probe's own.
    own_commit: Option<Lsn>,
    /// What the postmaster's count was when the open connection was asked for.
    switches: Option<u64>,
    /// Since when the kernel says that the postmaster is halted.
    halted_since: Option<Monotonic>,
    complaints: Option<u64>,
    rest: Health,
}

impl Known {
    fn health(&self) -> Health {
        let mut health = self.rest.clone();
        health.commit = self.commit.finding.clone();
        health.connection = self.connection.finding.clone();
        health.disk = self.disk.finding.clone();
        health.failures.commit = self.commit.failures;
        health.failures.connection = self.connection.failures;
        health.failures.disk = self.disk.failures;
        health
    }

    fn is_suspicious(&self, glance: &Glance) -> bool {
        glance.silent
            || self.connection.finding.is_suspicious()
            || self.disk.finding.is_suspicious()
    }

    fn glimpsed(&mut self, now: Monotonic, seen: Glimpse) {
        let halted = self.halted_since;
        self.halted_since = seen.postmaster_is_halted.then(|| halted.unwrap_or(now));
        let idle = seen.postmaster_switches.is_some() && seen.postmaster_switches == self.switches;
        self.rest.postmaster_idle_since = self.connection.open.and_then(|asked_at| {
            // It may have run for this very connection, and been stopped before it was done.
            let halted = || self.halted_since.map(|halted| halted.max(asked_at));
            if idle { Some(asked_at) } else { halted() }
        });
        let stopped = self.rest.sessions_stopped_since;
        self.rest.sessions_stopped_since =
            seen.sessions_are_stopped.then(|| stopped.unwrap_or(now));
        if self.complaints.is_some_and(|before| before < seen.space_complaints) {
            self.rest.space_ran_out_at = Some(now);
        }
        self.complaints = Some(seen.space_complaints);
    }

    fn look_after(&mut self, now: Monotonic, patience: Duration) {
        for question in [&mut self.commit, &mut self.connection, &mut self.disk] {
            question.look_after(now, patience);
        }
    }

    fn shift(&mut self, by: Duration) {
        for question in [&mut self.commit, &mut self.connection, &mut self.disk] {
            question.shift(by);
        }
        for since in [
            &mut self.halted_since,
            &mut self.rest.postmaster_idle_since,
            &mut self.rest.sessions_stopped_since,
            &mut self.rest.sync_waiting_since,
        ] {
            *since = since.map(|since| since + by);
        }
    }
}

/// The loop's ends of what it shares with the task.
#[derive(Debug)]
pub struct ProbeEnds {
    /// What the loop tells.
    pub glance: watch::Sender<Glance>,
    /// What was found.
    pub found: watch::Receiver<Health>,
}

/// The task that asks.
pub struct HealthWatch<P, C> {
    probes: P,
    clock: C,
    glance: watch::Receiver<Glance>,
    shown: watch::Sender<Health>,
    known: RefCell<Known>,
    last_pulse: Cell<Option<Monotonic>>,
    /// The server has said that its disk is full: what is free now is asked at once.
    ran_out: Notify,
}

impl<P: Probes, C: Clock> HealthWatch<P, C> {
    /// A task that has asked nothing yet, and the loop's ends of what both share.
    pub fn new(probes: P, clock: C) -> (Self, ProbeEnds) {
        let (told, glance) = watch::channel(Glance::default());
        let (shown, found) = watch::channel(Health::default());
        let (known, last_pulse) = (RefCell::default(), Cell::new(None));
        let ran_out = Notify::new();
        let watch = Self { probes, clock, glance, shown, known, last_pulse, ran_out };
        (watch, ProbeEnds { glance: told, found })
    }

    /// Asks for ever.
    pub async fn run(self) {
        tokio::join!(self.commits(), self.connections(), self.disk(), self.pulse());
    }

    fn glance(&self) -> Glance {
        *self.glance.borrow()
    }

    async fn commits(&self) {
        loop {
            if !self.glance().leads {
                self.known.borrow_mut().commit.finding = Finding::Unknown;
            } else if self.commit_is_due() {
                self.known.borrow_mut().commit.open = Some(self.clock.now());
                let answer = self.probes.commit().await;
                let mut known = self.known.borrow_mut();
                known.commit.answered(self.clock.now(), &answer);
                known.own_commit = match answer {
                    Probed::Good(flushed) => Some(flushed),
                    Probed::Absent | Probed::Trouble(_) => None,
                };
            }
            self.show();
            sleep(self.glance().period()).await;
        }
    }

    /// A server on which nothing is written is asked to write only when something seems wrong.
    fn commit_is_due(&self) -> bool {
        let (known, glance) = (self.known.borrow(), self.glance());
        let grown = match (known.own_commit, glance.position) {
            (Some(own), Some(position)) => own.bytes_behind(position) > OWN_TRACES_BYTES,
            (None, _) => true,
            (Some(_), None) => false,
        };
        grown || known.is_suspicious(&glance) || !self.probes.glimpse().has_session
    }

    async fn connections(&self) {
        loop {
            let now = self.clock.now();
            let switches = self.probes.glimpse().postmaster_switches;
            {
                let mut known = self.known.borrow_mut();
                (known.connection.open, known.switches) = (Some(now), switches);
            }
            let answer = self.probes.connect().await;
            {
                let mut known = self.known.borrow_mut();
                known.connection.answered(self.clock.now(), &answer);
                known.rest.postmaster_idle_since = None;
                if let Probed::Good(told) = answer {
                    known.rest.flushed = told.flushed.or(known.rest.flushed);
                    let waiting = known.rest.sync_waiting_since.unwrap_or(now);
                    known.rest.sync_waiting_since = (told.sync_waiting > 0).then_some(waiting);
                }
            }
            self.show();
            // A connection costs the server a process: asked for half as often as the others.
            sleep(self.glance().period() * 2).await;
        }
    }

    async fn disk(&self) {
        loop {
            if self.glance().has_data {
                let asked_at = self.clock.now();
                self.known.borrow_mut().disk.open = Some(asked_at);
                let answer = self.probes.sync_disk().await;
                let mut known = self.known.borrow_mut();
                known.disk.answered(self.clock.now(), &answer);
                known.rest.free_bytes = match answer {
                    Probed::Good(free) => Some(free),
                    Probed::Trouble(Trouble::NoSpace) => Some(0),
                    Probed::Absent | Probed::Trouble(Trouble::Broken(_)) => None,
                };
                known.rest.free_asked_at = Some(asked_at);
            } else {
                self.known.borrow_mut().disk.finding = Finding::Unknown;
            }
            self.show();
            tokio::select! {
                () = sleep(self.glance().period()) => {}
                () = self.ran_out.notified() => {}
            }
        }
    }

    /// Looks after what is not answered.
    async fn pulse(&self) {
        loop {
            let (now, period) = (self.clock.now(), self.glance().period());
            {
                let mut known = self.known.borrow_mut();
                let since_last = self.last_pulse.replace(Some(now)).map(|last| now.since(last));
                // This process itself did not run: answers may be there that nobody has heard.
                if let Some(lost) = since_last.filter(|gap| *gap > period * 2) {
                    known.shift(lost.saturating_sub(period));
                }
                known.rest.looked_at = Some(now);
                known.look_after(now, period * 2);
                known.glimpsed(now, self.probes.glimpse());
                if known.rest.space_ran_out_at == Some(now) {
                    self.ran_out.notify_one();
                }
            }
            self.show();
            sleep(period).await;
        }
    }

    /// Shows what is known. The loop is woken while an answer is owed, and when anything changes but
    /// the age of a good answer.
    fn show(&self) {
        let found = self.known.borrow().health();
        self.shown.send_if_modified(|before| {
            let wakes = is_news(before, &found);
            *before = found;
            wakes
        });
    }
}

fn is_news(before: &Health, now: &Health) -> bool {
    let kind = std::mem::discriminant::<Finding>;
    let pairs = [
        (&before.commit, &now.commit),
        (&before.connection, &now.connection),
        (&before.disk, &now.disk),
    ];
    pairs.iter().any(|(before, now)| now.is_suspicious() || kind(before) != kind(now))
        || now.sessions_stopped_since.is_some()
        || before.space_ran_out_at != now.space_ran_out_at
        // Asked since the server said so, for the first time.
        || before.free_asked_at < now.space_ran_out_at && now.free_asked_at >= now.space_ran_out_at
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
