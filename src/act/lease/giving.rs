//! Giving the lease away: released to whoever wins a race, or offered to one agent by name.

use super::exposure::Fence;
use super::keeper::{Keeper, Written};
use super::orders::LeaseError;
use crate::cluster::{Baton, BatonState};
use crate::dcs::{Store, Txn, txns};
use crate::mutants::{Mutant, planted};
use crate::values::{Clock, Incarnation, MemberName, WalPosition};

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    pub(super) async fn release(
        &mut self,
        position: Option<WalPosition>,
    ) -> Result<(), LeaseError> {
        loop {
            let seen = self.seen().filter(|seen| self.is_mine(&seen.value));
            let (mut baton, revision) = match (&self.held, seen) {
                (Some(held), _) => (held.baton.clone(), held.revision),
                // A lease that ran out, or an offer that cannot be used: still ours to give up.
                (None, Some(seen)) => (seen.value, seen.revision),
                (None, None) => return Err(LeaseError::NotHeld),
            };
            baton.state = BatonState::Released;
            baton.nonce = (self.parts.nonces)();
            baton.sequence += 1;
            baton.position = position.or(baton.position);
            let txn = txns::released(revision, &baton);
            if self.give_away(baton, txn).await? {
                return Ok(());
            }
        }
    }

    pub(super) async fn offer(
        &mut self,
        to: MemberName,
        incarnation: Incarnation,
        position: Option<WalPosition>,
    ) -> Result<(), LeaseError> {
        loop {
            let held = self.held.clone().ok_or(LeaseError::NotHeld)?;
            let baton = Baton {
                term: held.baton.term.next(),
                incarnation,
                holder: to.clone(),
                sequence: 1,
                nonce: (self.parts.nonces)(),
                position: position.or(held.baton.position),
                ttl: self.times().ttl,
                state: BatonState::Offered,
            };
            let txn = txns::taken(held.revision, &baton, *self.parts.display.borrow());
            if self.give_away(baton, txn).await? {
                return Ok(());
            }
        }
    }

    /// Writes a baton that ends this holding. A result that is not known is looked up before anything
    /// else happens; while it is not known, this agent holds nothing. Says whether it was given away: not, where
    /// a renewal that was not answered had been applied first, over which this has to be written anew.
    async fn give_away(&mut self, baton: Baton, txn: Txn) -> Result<bool, LeaseError> {
        let before = self.held.as_ref().map(|held| held.revision);
        let mut written = self.write(&baton, txn).await;
        let until = self.now() + self.times().ttl;
        while matches!(written, Written::Unknown) && self.now() < until {
            written = self.look_up().await;
        }
        match written {
            Written::Given => {
                self.drop_hold();
                Ok(true)
            }
            renewed @ Written::Ours(..) => {
                self.settle(renewed);
                if self.held.is_some() { Ok(false) } else { Err(LeaseError::Unresolved) }
            }
            Written::Foreign(revision) if before == Some(revision) => {
                if planted(Mutant::OfferForgotten) {
                    return Err(LeaseError::Unresolved);
                }
                self.outbid().await
            }
            Written::Foreign(revision) => {
                self.lose(revision);
                Err(LeaseError::Conflict)
            }
            Written::Unknown | Written::Emptied => {
                self.drop_hold();
                Err(LeaseError::Unresolved)
            }
        }
    }

    /// What gives the lease away was not applied, and may still be on its way to the store. It is known not to
    /// arrive any more only once something else was written over the same revision: a renewal.
    async fn outbid(&mut self) -> Result<bool, LeaseError> {
        while let Some(held) = self.held.clone().filter(|_| !self.has_lapsed()) {
            let mut renewal = held.baton.clone();
            renewal.sequence += 1;
            renewal.nonce = (self.parts.nonces)();
            let txn = txns::renewed(held.revision, &renewal, None);
            match self.write(&renewal, txn).await {
                Written::Foreign(revision) if revision == held.revision => {}
                Written::Unknown => {}
                Written::Given => {
                    self.drop_hold();
                    return Ok(true);
                }
                written @ (Written::Ours(..) | Written::Foreign(_) | Written::Emptied) => {
                    self.settle(written);
                    return Err(LeaseError::Kept);
                }
            }
        }
        if self.held.is_some() {
            self.lapse();
        }
        Err(LeaseError::Unresolved)
    }
}
