//! Running one model to its end, and telling what was found.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

const THREADS: usize = 2;

/// Looks at every state; says whether all rules hold and all that should happen sometimes does.
pub fn exhaust<M>(title: &str, model: M) -> bool
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let started = Instant::now();
    let properties = model.properties();
    // The search would end with the last property that is decided by an example. One that never is
    // keeps it going: all the `always`.
    let checker = model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries();
    let mut good = checker.is_done();
    println!(
        "{title}: {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64()
    );
    if !good {
        println!("  the search ended before its end");
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
