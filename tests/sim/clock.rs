//! Each node's own clock: an offset, and a rate that is off by up to one part in a thousand.

use std::time::Duration;

use pgbaton::values::{Clock, Monotonic};
use tokio::time::Instant;

/// One node's clock, over the world's true time.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    began: Instant,
    offset: Duration,
    rate_millionths: i64,
}

/// Unix time at the beginning of every world, in microseconds.
const BEGINNING_MICROS: i64 = 1_760_000_000_000_000;

impl SimClock {
    /// A clock that is fast or slow by `rate_millionths`.
    pub fn new(began: Instant, offset: Duration, rate_millionths: i64) -> Self {
        Self { began, offset, rate_millionths }
    }

    /// What this clock shows when so much true time has passed.
    pub fn at(&self, passed: Duration) -> Monotonic {
        // A world lasts minutes: no product comes near what 64 bits hold.
        let nanos = passed.as_nanos() as i64;
        let shown = nanos + nanos * self.rate_millionths / 1_000_000;
        Monotonic::from_boot(self.offset + Duration::from_nanos(shown as u64))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Monotonic {
        self.at(Instant::now().duration_since(self.began))
    }

    fn wall_micros(&self) -> i64 {
        let passed = Instant::now().duration_since(self.began);
        BEGINNING_MICROS + passed.as_micros() as i64
    }
}
