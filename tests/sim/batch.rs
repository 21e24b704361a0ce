//! Many worlds, on as many threads as there are cores, each world on one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pgbaton::mutants::{Mutant, plant};

use crate::life::{Outcome, live};
use crate::sometimes::{Counts, Sometimes};
use crate::world::Violation;

/// What came of a batch.
#[derive(Default)]
pub struct Batch {
    /// How many seeds were run.
    pub seeds: u64,
    /// The seeds that broke a rule, lowest first.
    pub failures: Vec<(u64, Violation)>,
    /// How often what happened, in all of them together.
    pub counts: Counts,
}

/// How many failures are enough to stop a batch.
const ENOUGH: usize = 12;

impl Batch {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        for (sum, one) in self.counts.iter_mut().zip(outcome.counts) {
            *sum += one;
        }
        if let Some(violation) = outcome.violation {
            self.failures.push((seed, violation));
            self.failures.sort_by_key(|(seed, _)| *seed);
        }
    }

    /// What should have happened in a batch and did not.
    pub fn never(&self) -> Vec<Sometimes> {
        Sometimes::ALL.into_iter().filter(|what| self.counts[*what as usize] == 0).collect()
    }
}

/// How many threads are worth having.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs seeds until all are done, or `enough` of them have failed.
pub fn run(from: u64, count: u64, mutant: Option<Mutant>, enough: usize, workers: usize) -> Batch {
    let next = AtomicU64::new(from);
    let batch = Mutex::new(Batch::default());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                plant(mutant);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let outcome = live(seed, false);
                    let mut batch = batch.lock().expect("no worker dies with the batch in hand");
                    batch.add(seed, outcome);
                    if batch.failures.len() >= enough {
                        return;
                    }
                }
            });
        }
    });
    batch.into_inner().expect("no worker dies with the batch in hand")
}

/// Runs seeds until all are done, or enough have failed to look at.
pub fn seeds(from: u64, count: u64, mutant: Option<Mutant>) -> Batch {
    run(from, count, mutant, ENOUGH, threads())
}
