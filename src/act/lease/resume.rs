//! Going on under a lease that an earlier start of this agent left: the guardian has ended that one, and
//! has kept the server open under its deadline since.

use std::error::Error;

use tracing::warn;

use super::exposure::Fence;
use super::held::Held;
use super::keeper::Keeper;
use super::orders::LeaseError;
use super::tries::Sent;
use crate::cluster::{Baton, BatonState};
use crate::dcs::{Store, decode, txns};
use crate::mutants::{Mutant, planted};
use crate::values::{Clock, LeaseDeadline, Revision, Term};

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// Reads whose the baton is, linearizably: what a watch has shown may be long past. What the former
    /// agent had under way can still arrive: a renewal is renewed in its turn, and for all else the term is a later
    /// one, under which nothing that was sent before passes the guard.
    pub(super) async fn resume(&mut self) -> Result<LeaseDeadline, LeaseError> {
        if planted(Mutant::ResumeWithoutReading) {
            return self.resume_unread();
        }
        let until = self.now() + self.times().ttl;
        while self.now() < until {
            let (within, asked_at) = (self.times().one_try, self.now());
            let snapshot = match self.parts.store.read_all(within).await {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    warn!(error = &error as &dyn Error, "whose the baton is could not be read");
                    let spent = self.now().since(asked_at);
                    tokio::time::sleep((within / 10).saturating_sub(spent)).await;
                    continue;
                }
            };
            let found = decode(&snapshot).0.baton;
            let revision = found.as_ref().map_or(Revision::ABSENT, |found| found.revision);
            let left = found.filter(|found| {
                found.value.state == BatonState::Held && self.is_mine(&found.value)
            });
            let Some(left) = left else {
                self.lose(revision);
                return Err(LeaseError::Conflict);
            };
            let later = u64::from(!planted(Mutant::ResumeKeepsTerm));
            let baton = Baton {
                term: Term(left.value.term.0 + later),
                sequence: left.value.sequence + 1,
                nonce: (self.parts.nonces)(),
                position: self.parts.pulse.position().or(left.value.position),
                ttl: self.times().ttl,
                ..left.value
            };
            let txn = txns::resumed(left.revision, &baton);
            match self.become_holder(baton, txn).await {
                Err(LeaseError::Conflict) => {}
                resumed => return resumed,
            }
        }
        Err(LeaseError::Unresolved)
    }

    /// What the mutant does that takes the guardian's word for the store's.
    fn resume_unread(&mut self) -> Result<LeaseDeadline, LeaseError> {
        let sent = Sent { at: self.now(), times: self.times() };
        let renewed = sent.deadline();
        let (baton, revision) = match self.seen() {
            Some(seen) => (seen.value, seen.revision),
            None => (self.fresh(Term(1), BatonState::Held), Revision::ABSENT),
        };
        let (carried, since, emptied) = (None, revision, false);
        self.hold(Held { baton, revision, sent, renewed, carried, since, emptied });
        Ok(renewed)
    }
}
