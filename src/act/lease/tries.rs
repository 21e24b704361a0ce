//! Writes of the baton whose fate is not known: each is recognised by its nonce when it is read back.

use crate::mutants::{Mutant, planted};
use std::time::Duration;

use crate::values::{LeaseDeadline, LeaseTimes, Monotonic};

/// The tries that were not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries(Vec<(u64, Sent)>);

/// One try: when it was sent, and the times it was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Before the request was handed to the client.
    pub at: Monotonic,
    /// What its `ttl` makes of that.
    pub times: LeaseTimes,
}

impl Sent {
    /// The deadline that this try gives if it was applied.
    pub fn deadline(&self) -> LeaseDeadline {
        let deadline = self.times.deadline(self.at);
        if planted(Mutant::DeadlineAnHourLate) {
            return LeaseDeadline::at(deadline.moment() + Duration::from_secs(3600));
        }
        deadline
    }
}

impl Tries {
    /// One more.
    pub fn add(&mut self, nonce: u64, sent: Sent) {
        self.0.push((nonce, sent));
    }

    /// The try with this nonce, if it is one of ours.
    pub fn sent(&self, nonce: u64) -> Option<Sent> {
        let found = self.0.iter().find(|(one, _)| *one == nonce).map(|(_, sent)| *sent);
        if planted(Mutant::DeadlineFromLastTry) && found.is_some() {
            return self.0.last().map(|(_, sent)| *sent);
        }
        found
    }

    /// The earliest deadline of those sent after that: with a shorter `ttl` it can be earlier than one
    /// that counts from before.
    pub fn earliest_after(&self, moment: Monotonic) -> Option<LeaseDeadline> {
        let later = self.0.iter().filter(|(_, sent)| sent.at > moment);
        later.map(|(_, sent)| sent.deadline()).min()
    }

    /// None is open any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_counts_from_the_try_that_was_found() {
        let at = |seconds| Sent {
            at: Monotonic::from_boot(Duration::from_secs(seconds)),
            times: LeaseTimes::for_ttl(Duration::from_secs(5)),
        };
        let mut tries = Tries::default();
        tries.add(11, at(1));
        tries.add(12, at(2));
        assert_eq!(tries.sent(11), Some(at(1)));
        assert_eq!(tries.sent(13), None);
    }
}
