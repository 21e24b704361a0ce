//! Each node's own clock: an offset, and a rate that is off by up to one part in a thousand.

use std::cell::Cell;
use std::time::Duration;

use pgbaton::values::{Clock, Monotonic};
use tokio::time::Instant;

thread_local! {
    /// When the world of this thread began, and the true time that has passed since.
    static TIME: Cell<(Option<Instant>, Duration)> = const { Cell::new((None, Duration::ZERO)) };
}

/// A world begins on this thread. To be called within its runtime.
pub fn begin() {
    TIME.set((Some(Instant::now()), Duration::ZERO));
}

/// Reads the runtime's clock, which stands still while anything is done: it moves on only while everybody
/// sleeps. To be called whenever they wake.
pub fn wake() {
    if let (Some(began), _) = TIME.get() {
        TIME.set((Some(began), Instant::now().duration_since(began)));
    }
}

/// True time since the world of this thread began.
pub fn passed() -> Duration {
    TIME.get().1
}

/// One node's clock, over the world's true time.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    offset: Duration,
    rate_millionths: i64,
}

/// Unix time at the beginning of every world, in microseconds.
const BEGINNING_MICROS: i64 = 1_760_000_000_000_000;

impl SimClock {
    /// A clock that is fast or slow by `rate_millionths`.
    pub fn new(offset: Duration, rate_millionths: i64) -> Self {
        Self { offset, rate_millionths }
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
        self.at(passed())
    }

    fn wall_micros(&self) -> i64 {
        BEGINNING_MICROS + passed().as_micros() as i64
    }
}
