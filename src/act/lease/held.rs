//! A lease that is held: by the store, and while that is away by the listed members.

use std::future::Future;

use super::exposure::Fence;
use super::keeper::Keeper;
use super::tries::Sent;
use crate::act::failsafe::Carried;
use crate::cluster::Baton;
use crate::dcs::Store;
use crate::values::{Clock, LeaseDeadline, Revision};

/// The baton as it was last written, at its revision, until the deadline.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) baton: Baton,
    pub(super) revision: Revision,
    /// When the renewal that counts was sent, and what follows from that.
    pub(super) sent: Sent,
    /// The deadline by the store.
    pub(super) renewed: LeaseDeadline,
    /// Until when the members carry it.
    pub(super) carried: Option<LeaseDeadline>,
    /// The revision it began with.
    pub(super) since: Revision,
    /// Whether the store has lost it with everything else.
    pub(super) emptied: bool,
}

impl Held {
    pub(super) fn deadline(&self) -> LeaseDeadline {
        self.carried.map_or(self.renewed, |carried| carried.max(self.renewed))
    }
}

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// The members carry the lease. Too late is too late, as for an answer of the store's.
    pub(super) fn carry(&mut self, round: Carried) {
        let Some(mut held) = self.held.clone() else { return };
        let is_new = held.carried < Some(round.until);
        if held.baton.term == round.term && is_new && !held.deadline().has_passed(self.now()) {
            held.carried = Some(round.until);
            self.hold(held);
        }
    }

    pub(super) fn has_lapsed(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.deadline().has_passed(self.now()))
    }

    /// Waits for the store, and takes in meanwhile what the members carry: that must not wait for it.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(round) = self.parts.carried.recv() => self.carry(round),
                result = &mut work => return result,
            }
        }
    }
}
