//! What is counted.

use std::time::Duration;

use crate::wake::Wake;

/// The handle through which everything is counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// One stage of a turn took this long.
    pub fn turn(&self, _stage: &'static str, _took: Duration) {}
    /// Something started a turn.
    pub fn wake(&self, _wake: Wake) {}
    /// A decision changed to this one.
    pub fn decision(&self, _label: &'static str) {}
    /// The store was asked.
    pub fn store(&self, _operation: &'static str, _took: Duration, _answered: bool) {}
    /// A renewal ended so.
    pub fn renewal(&self, _outcome: &'static str) {}
    /// This node was promoted.
    pub fn promotion(&self, _reason: &'static str) {}
}
