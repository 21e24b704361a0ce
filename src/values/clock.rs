//! Time as a value. Everything that decides takes `now` as a field; only `daemon` and the simulation
//! implement [`Clock`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A reading of this host's boot-time clock (`CLOCK_BOOTTIME`: suspended time counts). Means nothing
/// on another host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The clock's zero.
    pub const ZERO: Monotonic = Monotonic(Duration::ZERO);

    /// A reading that lies `since_boot` after the clock's zero.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after the clock's zero this reading was taken.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long `earlier` lies before `self`; zero when it does not.
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    fn add(self, later: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(later))
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Monotonic;

    fn sub(self, earlier: Duration) -> Monotonic {
        Monotonic(self.0.saturating_sub(earlier))
    }
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// The only source of time, passed in at startup. Its pure users take `now` as a field instead.
pub trait Clock: Send + Sync {
    /// The boot-time clock, for deadlines.
    fn now(&self) -> Monotonic;

    /// Unix time in microseconds, for what people read. Never compared with a deadline.
    fn wall_micros(&self) -> i64;
}

/// The moment from which this node must no longer acknowledge a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseDeadline(Monotonic);

impl LeaseDeadline {
    /// A deadline at `moment`. Use [`super::LeaseTimes::deadline`] to make one from a renewal.
    pub const fn at(moment: Monotonic) -> Self {
        Self(moment)
    }

    /// The moment itself.
    pub const fn moment(self) -> Monotonic {
        self.0
    }

    /// Whether `now` is at or past the deadline.
    pub fn has_passed(self, now: Monotonic) -> bool {
        self.0 <= now
    }

    /// What is left at `now`; zero once it has passed.
    pub fn left(self, now: Monotonic) -> Duration {
        self.0.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_passed_at_its_own_moment() {
        let at = Monotonic::from_boot(Duration::from_secs(3));
        assert!(LeaseDeadline::at(at).has_passed(at));
        assert!(!LeaseDeadline::at(at).has_passed(at - Duration::from_nanos(1)));
    }
}
