//! The task that holds the lease.

use std::time::Duration;

use tracing::{info, warn};

use super::exposure::Fence;
use super::held::Held;
use super::orders::{LeaseError, Order, What};
use super::parts::KeeperParts;
use super::tries::{Sent, Tries};
use crate::cluster::{Basis, Baton, BatonState, Versioned};
use crate::dcs::{Store, Txn, txns};
use crate::decide::{HeldLease, LeaseSight};
use crate::mutants::{Mutant, planted};
use crate::values::{Clock, LeaseDeadline, LeaseTimes, Monotonic, Revision};

/// The task that holds the lease.
pub struct Keeper<S, C, F> {
    pub(super) parts: KeeperParts<S, C, F>,
    pub(super) held: Option<Held>,
    pub(super) open: Tries,
    /// Whether the last try got no answer, which has been said.
    pub(super) is_unanswered: bool,
    renew_at: Monotonic,
}

/// What became of one write of the baton.
pub(super) enum Written {
    /// It is ours: this is there, at this revision, by this try, which may be an earlier one.
    Ours(Box<Baton>, Revision, Sent),
    /// It is ours, and gives the lease away: this agent holds it no more.
    Given,
    /// It is somebody else's, at this revision.
    Foreign(Revision),
    /// Nobody's: the store has lost it with everything else.
    Emptied,
    /// Not known yet.
    Unknown,
}

impl Written {
    /// What was to be written was not, and will not be: an earlier try was applied over the same revision.
    pub(super) fn is_by_another_try_than(&self, wanted: &Baton) -> bool {
        matches!(self, Written::Ours(found, ..) if found.nonce != wanted.nonce)
    }
}

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// A task that holds nothing yet.
    pub fn new(parts: KeeperParts<S, C, F>) -> Self {
        Self {
            parts,
            held: None,
            open: Tries::default(),
            is_unanswered: false,
            renew_at: Monotonic::ZERO,
        }
    }

    /// Renews and obeys until the orders end.
    pub async fn run(mut self) {
        loop {
            let due = match &self.held {
                Some(_) => self.renew_at.since(self.now()),
                None => Duration::MAX / 4,
            };
            tokio::select! {
                biased;
                order = self.parts.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                Some(round) = self.parts.carried.recv() => self.carry(round),
                // Another ttl is in force: the others are told at once.
                Ok(()) = self.parts.times.changed() => self.renew_at = self.now(),
                () = tokio::time::sleep(due.min(Duration::from_secs(3600))) => {
                    if self.held.is_some() && self.renew_at <= self.now() {
                        self.renew().await;
                    }
                }
            }
        }
    }

    pub(super) fn now(&self) -> Monotonic {
        self.parts.clock.now()
    }

    pub(super) fn times(&self) -> LeaseTimes {
        *self.parts.times.borrow()
    }

    async fn obey(&mut self, order: Order) {
        let result = match order.what {
            What::Take { baton, term, basis } => self.take(baton, term, basis).await.map(Some),
            What::Resume => self.resume().await.map(Some),
            What::Accept => self.accept().await.map(Some),
            What::Refound { term, commits_wait } => {
                self.refound(term, commits_wait).await.map(Some)
            }
            What::Raise(term) => self.raise(term).await.map(|()| None),
            What::Release(position) => self.release(position).await.map(|()| None),
            What::Offer { to, incarnation, position } => {
                self.offer(to, incarnation, position).await.map(|()| None)
            }
        };
        // Whoever ordered may have been dropped meanwhile; the lease shows itself all the same.
        let _ = order.answer.send(result);
    }

    pub(super) fn fresh(&mut self, term: crate::values::Term, state: BatonState) -> Baton {
        Baton {
            term,
            incarnation: self.parts.incarnation,
            holder: self.parts.name.clone(),
            sequence: 1,
            nonce: (self.parts.nonces)(),
            position: self.parts.pulse.position(),
            ttl: self.times().ttl,
            state,
        }
    }

    async fn take(
        &mut self,
        seen: Revision,
        term: crate::values::Term,
        basis: Basis,
    ) -> Result<LeaseDeadline, LeaseError> {
        let mut baton = self.fresh(term, BatonState::Held);
        // The former holder's position bounds what may be lost until this one has its own.
        if baton.position.is_none() {
            baton.position = self.seen().and_then(|seen| seen.value.position);
        }
        let lease = *self.parts.display.borrow();
        let mut txn = txns::taken(seen, &baton, lease);
        txn.compares.extend(txns::rests_on(basis));
        self.become_holder(baton, txn).await
    }

    async fn accept(&mut self) -> Result<LeaseDeadline, LeaseError> {
        let offered = self
            .seen()
            .filter(|seen| seen.value.state == BatonState::Offered && self.is_mine(&seen.value));
        let Some(offered) = offered else { return Err(LeaseError::NotHeld) };
        let mut baton = self.fresh(offered.value.term, BatonState::Held);
        baton.position = offered.value.position;
        let txn = txns::renewed(offered.revision, &baton, None);
        self.become_holder(baton, txn).await
    }

    pub(super) async fn become_holder(
        &mut self,
        baton: Baton,
        txn: Txn,
    ) -> Result<LeaseDeadline, LeaseError> {
        self.open.clear();
        let mut written = self.write(&baton, txn).await;
        let until = self.now() + self.times().ttl;
        while matches!(written, Written::Unknown) && self.now() < until {
            written = self.look_up().await;
        }
        match written {
            Written::Ours(_, revision, sent) => {
                let deadline = sent.deadline();
                if deadline.has_passed(self.now()) {
                    return Err(LeaseError::TooLate);
                }
                let (since, renewed) = (revision, deadline);
                self.hold(Held {
                    baton,
                    revision,
                    sent,
                    renewed,
                    carried: None,
                    since,
                    emptied: false,
                });
                Ok(deadline)
            }
            Written::Given | Written::Foreign(_) | Written::Emptied => Err(LeaseError::Conflict),
            Written::Unknown => Err(LeaseError::Unresolved),
        }
    }

    async fn raise(&mut self, term: crate::values::Term) -> Result<(), LeaseError> {
        loop {
            let held = self.held.clone().ok_or(LeaseError::NotHeld)?;
            let mut baton = held.baton.clone();
            baton.term = term;
            baton.sequence += 1;
            baton.nonce = (self.parts.nonces)();
            let lease = *self.parts.display.borrow();
            let txn = txns::taken(held.revision, &baton, lease);
            let mut written = self.write(&baton, txn).await;
            // The next renewal would write the old term again: this has to be known first.
            while matches!(written, Written::Unknown) && !self.has_lapsed() {
                written = self.look_up().await;
            }
            let by_an_earlier_try = written.is_by_another_try_than(&baton);
            self.settle(written);
            let raised = self.held.as_ref().is_some_and(|held| held.baton.term == term);
            match (raised, by_an_earlier_try) {
                (true, _) => return Ok(()),
                (false, true) => {}
                (false, false) => return Err(LeaseError::Unresolved),
            }
        }
    }

    async fn renew(&mut self) {
        let times = self.times();
        self.renew_at = self.now() + times.renewal_period;
        let Some(held) = self.held.clone() else { return };
        if held.deadline().has_passed(self.now()) {
            self.lapse();
            return;
        }
        if self.now().since(self.parts.pulse.last()) > times.proof_of_life {
            warn!("the loop shows no sign of life: the lease is not renewed");
            self.parts.metrics.renewal("stuck");
            return;
        }
        let leader = self.parts.sight.borrow().as_ref().map(|sight| sight.cluster.leader.clone());
        let missing = matches!(leader, Some(None));
        if let Some(Some(leader)) = leader
            && leader.value != self.parts.name
            && leader.revision > held.revision
        {
            warn!(leader = %leader.value, "the leader key names somebody else: the lease is lost");
            self.lose(leader.revision);
            return;
        }
        let mut baton = held.baton.clone();
        baton.sequence += 1;
        baton.nonce = (self.parts.nonces)();
        baton.position = self.parts.pulse.position().or(baton.position);
        baton.ttl = times.ttl;
        let restored = if missing { *self.parts.display.borrow() } else { None };
        let txn = txns::renewed(held.revision, &baton, restored);
        let written = self.write(&baton, txn).await;
        self.settle(written);
    }

    /// Takes in what became of a renewal.
    pub(super) fn settle(&mut self, written: Written) {
        let Some(held) = self.held.clone() else { return };
        match written {
            Written::Ours(baton, revision, sent) => {
                if held.deadline().has_passed(self.now()) {
                    self.parts.metrics.renewal("late");
                    self.lapse();
                    return;
                }
                self.parts.metrics.renewal("renewed");
                self.hold(held.renewed_by(*baton, revision, sent));
            }
            // Still what this agent wrote last: only the missing `leader` had come back meanwhile.
            Written::Foreign(revision) if revision == held.revision => {
                self.renew_at = self.now();
            }
            Written::Emptied => self.is_emptied(),
            Written::Given => self.drop_hold(),
            Written::Foreign(revision) => {
                self.parts.metrics.renewal("lost");
                self.lose(revision);
            }
            Written::Unknown => {
                self.parts.metrics.renewal("unanswered");
                self.renew_at = self.now();
                if held.deadline().has_passed(self.now()) {
                    self.lapse();
                }
            }
        }
    }

    /// What the mutant does that takes a kept etcd lease for a renewed baton.
    pub(super) fn believe_the_keepalive(&mut self, sent: Sent) {
        if let Some(mut held) = self.held.clone() {
            held.renewed = sent.deadline().max(held.renewed);
            self.hold(held);
        }
    }

    /// Moves the deadline closer, never away.
    pub(super) fn shorten(&mut self, to: LeaseDeadline) {
        if let Some(mut held) = self.held.clone()
            && to < held.deadline()
        {
            held.shorten(to);
            self.hold(held);
        }
    }

    pub(super) fn seen(&self) -> Option<Versioned<Baton>> {
        self.parts.sight.borrow().as_ref().and_then(|sight| sight.cluster.baton.clone())
    }

    pub(super) fn is_mine(&self, baton: &Baton) -> bool {
        let by_name = planted(Mutant::OwnerByName) && baton.holder == self.parts.name;
        baton.incarnation == self.parts.incarnation || by_name
    }

    pub(super) fn hold(&mut self, held: Held) {
        let (deadline, renewed) = (held.deadline(), held.renewed);
        let ask_from = held.sent.at + held.sent.times.ttl / 2;
        let (term, revision, since) = (held.baton.term, held.revision, held.since);
        let lease = HeldLease { term, deadline, renewed, ask_from, revision, since };
        let soft_stop = LeaseTimes::for_ttl(held.baton.ttl.max(LeaseTimes::TTL_MIN)).soft_stop;
        self.parts.exposure.extend(&lease, self.parts.incarnation, soft_stop);
        if self.held.is_none() {
            self.renew_at = self.now() + self.times().renewal_period;
            info!(term = %held.baton.term, "the lease is held");
        }
        let emptied = held.emptied;
        self.held = Some(held);
        let shown = LeaseSight { held: Some(lease), emptied, lost_at: None };
        self.parts.shown.send_replace(shown);
        self.parts.exposure.settle();
    }

    pub(super) fn drop_hold(&mut self) {
        self.held = None;
        self.open.clear();
        self.parts.shown.send_replace(LeaseSight::default());
    }

    pub(super) fn lapse(&mut self) {
        warn!("the lease ran out before it could be renewed");
        self.drop_hold();
    }

    pub(super) fn lose(&mut self, to: Revision) {
        warn!(revision = %to, "the baton is somebody else's");
        self.held = None;
        self.open.clear();
        self.parts.shown.send_replace(LeaseSight { lost_at: Some(to), ..LeaseSight::default() });
    }
}
