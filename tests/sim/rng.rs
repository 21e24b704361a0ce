//! The one source of chance in a world. The same seed gives the same numbers for ever.

use std::cell::Cell;
use std::time::Duration;

/// A small generator (SplitMix64); shared, because everything of a world runs on one thread.
pub struct Rng(Cell<u64>);

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let rng = Self(Cell::new(seed ^ 0xA076_1D64_78BD_642F));
        rng.next();
        rng
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; zero when that is zero.
    pub fn below(&self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// Whether something that happens so many times in a thousand happens now.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration in milliseconds, both ends included.
    pub fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// A part of `whole`, from and to so many hundredths of it.
    pub fn part(&self, whole: Duration, least: u64, most: u64) -> Duration {
        whole * u32::try_from(self.between(least, most)).unwrap_or(u32::MAX) / 100
    }

    /// One of them.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
