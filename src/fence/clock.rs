//! This host's clocks behind [`Clock`].

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::values::{Clock, Monotonic};

/// `CLOCK_BOOTTIME` for deadlines, `CLOCK_REALTIME` for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoottimeClock;

impl Clock for BoottimeClock {
    fn now(&self) -> Monotonic {
        let reading = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .expect("every kernel that has pidfds has CLOCK_BOOTTIME");
        Monotonic::from_boot(duration(reading))
    }

    fn wall_micros(&self) -> i64 {
        let reading = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME is readable");
        reading.tv_sec() * 1_000_000 + reading.tv_nsec() / 1_000
    }
}

fn duration(reading: TimeSpec) -> Duration {
    Duration::new(reading.tv_sec().max(0) as u64, reading.tv_nsec().max(0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let first = BoottimeClock.now();
        assert!(BoottimeClock.now() >= first);
        assert!(first > Monotonic::ZERO);
        // 2020-01-01: a wall clock in other units would be far off.
        assert!(BoottimeClock.wall_micros() > 1_577_836_800_000_000);
    }
}
