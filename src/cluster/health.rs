//! What the probes found of a server, its processes and its disk, as plain data. Not having asked, not
//! having been answered and a bad answer are three things. How it was found out is `observe`'s and
//! `postgres`' business, what it means `decide`'s.

use std::time::Duration;

use crate::values::{Lsn, Monotonic};

/// What one probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finding {
    /// It was not asked, or there is nobody to ask.
    #[default]
    Unknown,
    /// The last question was answered well.
    Good {
        /// When it was asked.
        asked_at: Monotonic,
        /// How long the answer took.
        took: Duration,
    },
    /// The last question has not been answered yet, and is late.
    Silent {
        /// When it was asked.
        since: Monotonic,
    },
    /// The answer was that it does not work.
    Bad {
        /// When the first question that was answered so was asked.
        since: Monotonic,
        /// How it does not work.
        trouble: Trouble,
    },
}

/// How something does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no space left.
    NoSpace,
    /// It fails; the text says how.
    Broken(String),
}

impl Finding {
    /// For how long an answer has been owed; zero where none is.
    pub fn silent_for(&self, now: Monotonic) -> Duration {
        match self {
            Finding::Silent { since } => now.since(*since),
            Finding::Unknown | Finding::Good { .. } | Finding::Bad { .. } => Duration::ZERO,
        }
    }

    /// For how long it has not worked: silent, or broken.
    pub fn dead_for(&self, now: Monotonic) -> Duration {
        match self {
            Finding::Silent { since } | Finding::Bad { since, trouble: Trouble::Broken(_) } => {
                now.since(*since)
            }
            Finding::Unknown
            | Finding::Good { .. }
            | Finding::Bad { trouble: Trouble::NoSpace, .. } => Duration::ZERO,
        }
    }

    /// Whether something may be wrong: an answer is owed, or was bad.
    pub fn is_suspicious(&self) -> bool {
        matches!(self, Finding::Silent { .. } | Finding::Bad { .. })
    }
}

/// How often each probe had no answer in time, or a bad one, since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeFailures {
    /// The write.
    pub commit: u64,
    /// The new connection.
    pub connection: u64,
    /// The disk.
    pub disk: u64,
}

/// Everything the probes know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// A small write, committed locally, on a connection that is kept for it: asked of a primary only.
    pub commit: Finding,
    /// A new connection with a trivial query. A refusal is an answer.
    pub connection: Finding,
    /// A small file written and synced on the log's volume, by a process of its own.
    pub disk: Finding,
    /// Since when the postmaster has not run at all although a new connection waits for it, by the
    /// kernel's count.
    pub postmaster_idle_since: Option<Monotonic>,
    /// Since when the kernel says that the process behind the kept connection is stopped, and others of
    /// the server with it.
    pub sessions_stopped_since: Option<Monotonic>,
    /// What is free on the log's volume, as last told.
    pub free_bytes: Option<u64>,
    /// When that was asked for.
    pub free_asked_at: Option<Monotonic>,
    /// When the server last said that it ended for want of space.
    pub space_ran_out_at: Option<Monotonic>,
    /// When this process last heard what there was to hear.
    pub looked_at: Option<Monotonic>,
    /// The flushed end of the log, as a new connection was told last.
    pub flushed: Option<Lsn>,
    /// Since when clients have been seen waiting for a synchronous standby.
    pub sync_waiting_since: Option<Monotonic>,
    /// Counters.
    pub failures: ProbeFailures,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_not_asked_is_neither_silent_nor_suspicious() {
        assert_eq!(Finding::Unknown.silent_for(at(100)), Duration::ZERO);
        assert!(!Finding::Unknown.is_suspicious());
    }

    #[test]
    fn silence_counts_from_the_question_and_a_full_disk_is_not_a_dead_one() {
        let silent = Finding::Silent { since: at(90) };
        assert_eq!(silent.silent_for(at(100)), Duration::from_secs(10));
        let full = Finding::Bad { since: at(90), trouble: Trouble::NoSpace };
        assert_eq!(full.dead_for(at(100)), Duration::ZERO);
        assert!(full.is_suspicious());
    }
}
