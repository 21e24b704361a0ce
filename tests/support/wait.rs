//! Waiting for a condition within a bound.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
pub const STEP: Duration = Duration::from_millis(20);

/// The first `Some` of `probe`, or the test fails after `bound`.
#[track_caller]
pub fn wait_for<T>(what: &str, bound: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < bound, "waited {bound:?} in vain: {what}");
        std::thread::sleep(STEP);
    }
}

/// Until it is true, or the test fails after `bound`.
#[track_caller]
pub fn wait_until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, bound, || holds().then_some(()));
}
