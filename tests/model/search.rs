//! Running one model to its end, and telling what was found.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

const THREADS: usize = 2;
const CUT_AT: usize = 1_000;

/// A model that counts of how many states it was asked what can follow.
pub trait Counted: Model {
    /// The count.
    fn expanded(&self) -> &AtomicUsize;
}

/// Looks at every state; says whether all rules hold and all that should happen sometimes does.
pub fn exhaust<M>(title: &str, model: M) -> bool
where
    M: Counted + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let started = Instant::now();
    model.expanded().store(0, Ordering::Relaxed);
    let properties = model.properties();
    // The search would end with the last property that is decided by an example. One that never is
    // keeps it going: all the `always`.
    let checker = model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    // Examples are replayed on the model, which counts that: they are asked for after this.
    let mut good = is_exhausted(&checker);
    let found = checker.discoveries();
    println!(
        "{title}: {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64()
    );
    if !good {
        println!("  NOT EXHAUSTIVE: not every state was gone on from");
    }
    for property in properties {
        let example = found.get(property.name);
        let (holds, kind) = match property.expectation {
            Expectation::Sometimes => (example.is_some(), "sometimes"),
            Expectation::Always => (example.is_none(), "always"),
            Expectation::Eventually => (example.is_none(), "in the end"),
        };
        println!("  {} {kind}: {}", if holds { "holds" } else { "BROKEN" }, property.name);
        if let Some(example) = example.filter(|_| !holds) {
            println!("{}", tell(example.clone().into_vec()));
        }
        good &= holds;
    }
    good
}

/// A search that was cut short has states left of which it has not asked what can follow.
fn is_exhausted<M: Counted>(checker: &impl Checker<M>) -> bool
where
    M::State: Hash,
{
    let expanded = checker.model().expanded().load(Ordering::Relaxed);
    checker.is_done() && expanded == checker.unique_state_count()
}

/// A search that is cut short must not pass for a whole one.
pub fn must_miss<M>(model: M) -> bool
where
    M: Counted + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let cut = model.checker().threads(THREADS).target_state_count(CUT_AT).spawn_bfs().join();
    let seen = !is_exhausted(&cut);
    println!("  {}: a search that was cut short", if seen { "seen" } else { "NOT SEEN" });
    seen
}

/// A planted mistake: this rule, at least, has to be seen broken.
pub fn must_break<M>(mistake: &str, rule: &'static str, model: M) -> bool
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let only = HasDiscoveries::AllOf(HashSet::from([rule]).into_iter().collect());
    let checker = model.checker().threads(THREADS).finish_when(only).spawn_bfs().join();
    match checker.discovery(rule) {
        Some(path) => {
            println!("  seen: {mistake}, after {} steps: {rule}", path.into_actions().len());
            true
        }
        None => {
            println!("  NOT SEEN: {mistake}: {rule} ({} states)", checker.unique_state_count());
            false
        }
    }
}

fn tell<S: Debug, A: Debug>(path: Vec<(S, Option<A>)>) -> String {
    let mut told = String::new();
    for (state, action) in path {
        told += &format!("    {state:?}\n");
        if let Some(action) = action {
            told += &format!("  -> {action:?}\n");
        }
    }
    told
}
