//! Writes of the baton whose fate is not known: each is recognised by its nonce when it is read back.

use crate::mutants::{Mutant, planted};
use crate::values::Monotonic;

/// The tries that were not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries(Vec<(u64, Monotonic)>);

impl Tries {
    /// One more.
    pub fn add(&mut self, nonce: u64, sent_at: Monotonic) {
        self.0.push((nonce, sent_at));
    }

    /// When the try with this nonce was sent, if it is one of ours.
    pub fn sent_at(&self, nonce: u64) -> Option<Monotonic> {
        let found = self.0.iter().find(|(one, _)| *one == nonce).map(|(_, sent_at)| *sent_at);
        if planted(Mutant::DeadlineFromLastTry) && found.is_some() {
            return self.0.last().map(|(_, sent_at)| *sent_at);
        }
        found
    }

    /// None is open any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_counts_from_the_try_that_was_found() {
        let at = |seconds| Monotonic::from_boot(Duration::from_secs(seconds));
        let mut tries = Tries::default();
        tries.add(11, at(1));
        tries.add(12, at(2));
        assert_eq!(tries.sent_at(11), Some(at(1)));
        assert_eq!(tries.sent_at(13), None);
    }
}
