//! Many worlds, on as many threads as there are cores, each world on one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pgbaton::mutants::{Mutant, plant};

use crate::life::{Outcome, live};
use crate::report::replay;
use crate::sometimes::{self, Counts, Sometimes};
use crate::world::Violation;

/// What came of a batch.
pub struct Batch {
    /// How many seeds were run.
    pub seeds: u64,
    /// The seeds that broke a rule, lowest first.
    pub failures: Vec<(u64, Violation)>,
    /// The seeds in whose worlds a person had to speak before anybody led.
    pub spoken: Vec<u64>,
    /// How often what happened, in all of them together.
    pub counts: Counts,
}

/// A world that takes longer than this in real time is stuck where virtual time does not reach.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What each worker is at, and since when.
type AtWork = Mutex<Vec<Option<(u64, Instant)>>>;

/// How many failures are enough to stop a batch.
const ENOUGH: usize = 12;

impl Batch {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        for (sum, one) in self.counts.iter_mut().zip(outcome.counts) {
            *sum += one;
        }
        if outcome.spoken {
            self.spoken.push(seed);
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
    let batch = Mutex::new(Batch {
        seeds: 0,
        failures: Vec::new(),
        spoken: Vec::new(),
        counts: sometimes::NONE,
    });
    let at_work: AtWork = Mutex::new(vec![None; workers]);
    let running = AtomicUsize::new(workers);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&at_work, &running, mutant));
        for worker in 0..workers {
            let (next, batch, at_work, running) = (&next, &batch, &at_work, &running);
            scope.spawn(move || {
                let _ended = Ended(running);
                plant(mutant);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    at_work.lock().expect(IN_HAND)[worker] = Some((seed, Instant::now()));
                    let outcome = live(seed, false);
                    at_work.lock().expect(IN_HAND)[worker] = None;
                    let mut batch = batch.lock().expect(IN_HAND);
                    batch.add(seed, outcome);
                    if batch.failures.len() >= enough {
                        return;
                    }
                }
            });
        }
    });
    batch.into_inner().expect(IN_HAND)
}

const IN_HAND: &str = "no worker dies with what all share in hand";

/// Counts a worker off, however it ends.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the whole run when a world is stuck: nothing else could.
fn watch(at_work: &AtWork, running: &AtomicUsize, mutant: Option<Mutant>) {
    while running.load(Ordering::Relaxed) > 0 {
        std::thread::park_timeout(Duration::from_millis(200));
        let now = at_work.lock().expect(IN_HAND).clone();
        for (seed, since) in now.into_iter().flatten() {
            if since.elapsed() > STUCK_AFTER {
                println!("seed {seed} is stuck\n  replay: {}", replay(seed, mutant));
                println!("test result: FAILED. 0 passed; 1 failed; 0 ignored");
                std::process::exit(1);
            }
        }
    }
}

/// Runs seeds until all are done, or enough have failed to look at.
pub fn seeds(from: u64, count: u64, mutant: Option<Mutant>) -> Batch {
    let enough = if mutant.is_some() { 1 } else { ENOUGH };
    run(from, count, mutant, enough, threads())
}
