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
    /// What the members have answered that were asked after `sent`.
    pub(super) carried: Option<Carried>,
    /// The revision it began with.
    pub(super) since: Revision,
    /// Whether the store has lost it with everything else.
    pub(super) emptied: bool,
}

impl Held {
    pub(super) fn deadline(&self) -> LeaseDeadline {
        self.carried.map_or(self.renewed, |carried| carried.until.max(self.renewed))
    }

    /// No deadline of it is later than this.
    pub(super) fn shorten(&mut self, to: LeaseDeadline) {
        self.renewed = self.renewed.min(to);
        if let Some(carried) = &mut self.carried {
            carried.until = carried.until.min(to);
        }
    }

    /// The store has renewed it. Nothing rests any more on what members were asked before: by then the
    /// `ttl` may be shorter, and a member that was started again be bound for less long.
    pub(super) fn renewed_by(self, baton: Baton, revision: Revision, sent: Sent) -> Self {
        let carried = self.carried.filter(|carried| carried.asked_at > sent.at);
        Self { baton, revision, sent, renewed: sent.deadline(), carried, ..self }
    }
}

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// The members carry the lease. Too late is too late, as for an answer of the store's.
    pub(super) fn carry(&mut self, round: Carried) {
        let Some(mut held) = self.held.clone() else { return };
        let is_later = held.carried.is_none_or(|before| before.asked_at < round.asked_at);
        let is_new = is_later && round.asked_at > held.sent.at;
        if held.baton.term == round.term && is_new && !held.deadline().has_passed(self.now()) {
            held.carried = Some(round);
            if let Some(earlier) = self.open.earliest_after(round.asked_at) {
                held.shorten(earlier);
            }
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
