//! The steps of the model of the lease that are between an agent and the store: a write, its answer, and
//! reading back what became of it. They follow `act::lease::wire`, `keeper` and `giving`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgbaton::act::lease::{Exposure, Fence, Sent, Tries};
use pgbaton::mutants::{Mutant, planted};
use pgbaton::values::{LeaseDeadline, LeaseTimes, Monotonic};

use super::lease::{Lease as Model, Seldom};
use super::lease_state::{Aim, Awaited, Claim, Claimed, FORGOTTEN, Lease, World, Write};

pub const TICK: Duration = Duration::from_secs(1);
/// More tries of one agent are not unanswered at a time.
const TRIES_MAX: usize = 2;
pub const NOW: Monotonic = Monotonic::from_boot(Duration::from_secs(1_000));

/// A guardian that keeps what it is told.
struct Guardian(Arc<Mutex<Option<LeaseDeadline>>>);

impl Fence for Guardian {
    fn arm(&self, until: LeaseDeadline) {
        *self.0.lock().expect("nobody panics under it") = Some(until);
    }

    fn disarm(&self) {}
}

impl Model {
    pub fn times(&self) -> LeaseTimes {
        LeaseTimes::for_ttl(TICK * u32::from(self.ticks))
    }

    /// For so many ticks a read is worth something.
    pub fn fresh_until(&self) -> u8 {
        self.ticks.div_ceil(2)
    }

    pub fn sent(&self, age: u8) -> Sent {
        Sent { at: before(age), times: self.times() }
    }

    pub fn has_passed(&self, lease: &Lease) -> bool {
        self.sent(lease.sent).deadline().has_passed(NOW)
    }

    /// For how many ticks a guardian lets a server go on that is told of this lease.
    pub fn ticks_left(&self, sent: u8) -> u8 {
        let told = Arc::default();
        let guardian = Guardian(Arc::clone(&told));
        Exposure::new(guardian, None).expose(self.sent(sent).deadline());
        let until = told.lock().expect("nobody panics under it").expect("it was armed");
        let ticks = until.left(NOW).as_millis().div_ceil(TICK.as_millis());
        u8::try_from(ticks).unwrap_or(u8::MAX).min(self.ticks * 3)
    }

    /// Sends a write over the revision that the agent knows, which may not be the store's any more.
    pub fn send(
        &self,
        world: &mut World,
        at: usize,
        claim: Claim,
        (aim, is_current): (Aim, bool),
    ) -> Option<()> {
        let under_way = world.writes.iter().filter(|one| one.from == at).map(|one| one.nonce);
        let member = &mut world.members[at];
        let latest = member.tries.iter().map(|one| one.0).chain(under_way).max();
        if claim.term > self.terms || member.tries.len() >= TRIES_MAX {
            return None;
        }
        let nonce = latest.map_or(0, |latest| latest + 1);
        world.writes.retain(|one| one.from != at);
        member.tries.push((nonce, 0));
        member.awaited = Some(Awaited { aim, nonce, term: claim.term, is_applied: false });
        if is_current {
            world.writes.push(Write { from: at, nonce, claim, age: 0 });
        } else if aim == Aim::Renew && world.claim.holder != at {
            self.note(Seldom::LateWriteRefused);
        }
        Some(())
    }

    /// The store comes to a write.
    pub fn arrive(&self, world: &mut World, index: usize) {
        let write = world.writes.remove(index);
        let (old, new) = (world.claim, write.claim);
        let changes = (old.holder, old.life) != (new.holder, new.life);
        let takes = changes && new.state == Claimed::Held;
        if changes && world.writes.iter().any(|one| one.claim == old) {
            self.note(Seldom::LateWriteRefused);
        }
        // What compares with the revision that was is refused from now on.
        world.writes.clear();
        world.taken_early |= takes && old.state == Claimed::Held && world.sent < self.ticks;
        let is_next = new.term > old.term || (new.term == old.term && !changes);
        world.term_fell |= !is_next;
        match old.state {
            Claimed::Held if takes => self.note(Seldom::TakenAfterSilence),
            Claimed::Released if takes => self.note(Seldom::ReleasedTaken),
            Claimed::Offered if !changes => self.note(Seldom::OfferTaken),
            Claimed::Held | Claimed::Released | Claimed::Offered => {}
        }
        world.claim = new;
        (world.writer, world.nonce, world.sent) = (write.from, write.nonce, write.age);
        for (at, member) in world.members.iter_mut().enumerate() {
            if let Some(seen) = &mut member.seen {
                seen.is_current = false;
            }
            if let Some(held) = &mut member.held {
                held.is_current = false;
            }
            if let Some(awaited) = &mut member.awaited
                && (at, awaited.nonce) == (write.from, write.nonce)
            {
                awaited.is_applied = true;
            }
        }
    }

    /// The answer to the write that an agent waits for.
    pub fn answer(&self, world: &mut World, at: usize) -> Option<()> {
        let member = &mut world.members[at];
        let awaited = member.awaited.take_if(|awaited| awaited.is_applied)?;
        let sent = member.tries.iter().find(|one| one.0 == awaited.nonce).map(|one| one.1)?;
        let sent = if planted(Mutant::DeadlineFromReply) { 0 } else { sent };
        let is_current = (world.writer, world.nonce) == (at, awaited.nonce);
        let lease = Lease { term: awaited.term, sent, is_current };
        self.is_ours(world, at, (awaited.aim, lease));
        Some(())
    }

    /// The agent learns that a write of its own was applied.
    fn is_ours(&self, world: &mut World, at: usize, (aim, lease): (Aim, Lease)) {
        let member = &mut world.members[at];
        let held = member.held.take();
        member.drop_hold();
        let is_too_late = match aim {
            Aim::Give => return,
            Aim::Become => self.has_passed(&lease),
            Aim::Renew | Aim::Outbid => held.is_none_or(|held| self.has_passed(&held)),
        };
        if is_too_late {
            self.note(Seldom::AnswerAfterDeadline);
            return;
        }
        if aim == Aim::Outbid {
            self.note(Seldom::OfferShutOut);
        }
        if member.open.is_some() {
            member.open = Some(self.ticks_left(lease.sent)).filter(|left| *left > 0);
        }
        member.held = Some(lease);
        member.seen = None;
    }

    /// An agent reads what became of its writes.
    pub fn look_up(&self, world: &mut World, at: usize) -> Option<()> {
        let member = &mut world.members[at];
        let awaited = member.awaited.clone()?;
        let mut tries = Tries::default();
        for (nonce, age) in &member.tries {
            tries.add(u64::from(*nonce), self.sent(*age));
        }
        let claim = world.claim;
        let is_known = world.writer == at && world.nonce != FORGOTTEN;
        let found = if is_known { tries.sent(world.nonce.into()) } else { None };
        let gives = claim.state != Claimed::Held || (claim.holder, claim.life) != (at, member.life);
        let by_name = planted(Mutant::OwnerByName) && claim.holder == at;
        match found {
            Some(_) if gives => member.drop_hold(),
            Some(sent) => {
                self.note(Seldom::FoundByLookUp);
                let age = NOW.since(sent.at).as_millis() / TICK.as_millis();
                let lease = Lease { term: claim.term, sent: age as u8, is_current: true };
                // Not given away, but renewed by an earlier try: it is given away anew.
                let aim = if awaited.aim == Aim::Give { Aim::Renew } else { awaited.aim };
                self.is_ours(world, at, (aim, lease));
            }
            None if by_name => {
                let lease = Lease { term: claim.term, sent: 0, is_current: true };
                self.is_ours(world, at, (awaited.aim, lease));
            }
            None => return self.is_not_found(world, at, awaited.aim),
        }
        Some(())
    }

    /// What is in the store is by none of the tries.
    fn is_not_found(&self, world: &mut World, at: usize, aim: Aim) -> Option<()> {
        let another_opened = world.members.iter().any(|one| one.open.is_some());
        let member = &mut world.members[at];
        match (aim, member.held.clone().filter(|held| held.is_current)) {
            (Aim::Give, Some(_)) if planted(Mutant::OfferForgotten) => {
                member.awaited = None;
                Some(())
            }
            (Aim::Give | Aim::Outbid, Some(held)) if !self.has_passed(&held) => {
                let claim = own(at, member.life, held.term);
                self.send(world, at, claim, (Aim::Outbid, true))
            }
            (Aim::Renew, Some(_)) => None,
            (Aim::Renew | Aim::Become | Aim::Give | Aim::Outbid, _) => {
                if member.held.is_some() && member.open.is_none() && another_opened {
                    self.note(Seldom::FrozenHolderResumed);
                }
                member.drop_hold();
                Some(())
            }
        }
    }
}

/// The claim of a holder.
pub fn own(holder: usize, life: u8, term: u8) -> Claim {
    Claim { term, holder, life, state: Claimed::Held }
}

/// So many ticks ago.
pub fn before(age: u8) -> Monotonic {
    NOW - TICK * u32::from(age)
}
