//! The latest changes of decision and the latest finished steps, kept in memory so that "why did it
//! (not) fail over?" can be answered without searching logs. Gone with the process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::decide::Reason;

/// How many of each kind are kept.
const KEPT: usize = 20;

/// A decision that came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionEvent {
    /// When, Unix time in microseconds.
    pub at_micros: i64,
    /// Why it was made.
    pub reason: Reason,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEvent {
    /// When it ended, Unix time in microseconds.
    pub at_micros: i64,
    /// What.
    pub step: String,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The latest events, oldest first. Cheap to clone; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    decisions: VecDeque<DecisionEvent>,
    steps: VecDeque<StepEvent>,
}

impl Events {
    /// Notes a decision that came into force.
    pub fn decision(&self, event: DecisionEvent) {
        push(&mut self.kept().decisions, event);
    }

    /// Notes a step that ended.
    pub fn step(&self, event: StepEvent) {
        push(&mut self.kept().steps, event);
    }

    /// The latest changes of decision, oldest first.
    pub fn decisions(&self) -> Vec<DecisionEvent> {
        self.kept().decisions.iter().cloned().collect()
    }

    /// The latest steps, oldest first.
    pub fn steps(&self) -> Vec<StepEvent> {
        self.kept().steps.iter().cloned().collect()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(ring: &mut VecDeque<T>, event: T) {
    if ring.len() == KEPT {
        ring.pop_front();
    }
    ring.push_back(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_events_are_kept() {
        let events = Events::default();
        for second in 0..50 {
            let reason = Reason::plain("lead");
            events.clone().decision(DecisionEvent { at_micros: second, reason });
        }
        let kept: Vec<i64> = events.decisions().iter().map(|event| event.at_micros).collect();
        assert_eq!(kept, (30..50).collect::<Vec<_>>());
        assert!(events.steps().is_empty());
    }
}
