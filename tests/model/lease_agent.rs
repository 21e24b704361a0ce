//! The steps of the model of the lease that an agent does by what it knows: racing, voting, opening its
//! server, giving the lease away. They follow `decide::voting`, `decide::election` and `act::lease`.

use std::sync::Arc;

use pgbaton::cluster::{Baton, BatonState, Cluster, Versioned};
use pgbaton::decide::{HeldLease, LeaseSight, Seat, Sight, seat};
use pgbaton::mutants::{Mutant, planted};
use pgbaton::values::{Incarnation, Revision, Term};

use super::lease::{Lease as Model, Seldom};
use super::lease_state::{Action, Aim, Claim, Claimed, Lease, Member, Seen, World};
use super::lease_store::{NOW, before, own};
use super::sync_state::name;

impl Model {
    /// Does one step, if it can be done.
    pub fn step(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::Tick => self.tick(world),
            Action::Read(at) => return self.read(world, at),
            Action::Arrive(index) => self.arrive(world, index),
            Action::Answer(at) => return self.answer(world, at),
            Action::LookUp(at) => return self.look_up(world, at),
            Action::Renew(at) => return self.renew(world, at),
            Action::Raise(at) => return self.raise(world, at),
            Action::Vote { voter, candidate } => return self.vote(world, voter, candidate),
            Action::Take(at) => return self.take(world, at),
            Action::Accept(at) => return self.accept(world, at),
            Action::Release(at) => return self.release(world, at),
            Action::Offer { from, to } => return self.offer(world, from, to),
            Action::Open(at) => return self.open(world, at),
            Action::Close(at) => return world.members[at].open.take().map(drop),
            Action::AgentRestarts(at) => return self.restart(world, at, false),
            Action::HostRestarts(at) => return self.restart(world, at, true),
            Action::Resume(at) => return self.resume(world, at),
        }
        Some(())
    }

    fn seat(&self, world: &World, at: usize) -> Seat {
        let member = &world.members[at];
        let held = member.held.as_ref().map(|held| {
            let deadline = self.sent(held.sent).deadline();
            let (revision, since, term) = (Revision(1), Revision(1), Term(held.term.into()));
            HeldLease { term, deadline, renewed: deadline, ask_from: NOW, revision, since }
        });
        let lease = LeaseSight { held, ..LeaseSight::default() };
        let sight = member.seen.as_ref().map(|seen| self.sight(seen));
        seat(sight.as_ref(), &lease, incarnation(at, member.life), &self.times(), NOW)
    }

    fn sight(&self, seen: &Seen) -> Sight {
        let value = Baton {
            term: Term(seen.claim.term.into()),
            incarnation: incarnation(seen.claim.holder, seen.claim.life),
            holder: name(seen.claim.holder),
            sequence: 1,
            nonce: 1,
            position: None,
            ttl: self.times().ttl,
            state: match seen.claim.state {
                Claimed::Held => BatonState::Held,
                Claimed::Offered => BatonState::Offered,
                Claimed::Released => BatonState::Released,
            },
        };
        let baton = Some(Versioned { value, revision: Revision(1) });
        Sight {
            cluster: Arc::new(Cluster { baton, ..Cluster::default() }),
            baton_learned_at: before(seen.learned),
            read_at: before(seen.read),
            read_under: self.times(),
        }
    }

    fn tick(&self, world: &mut World) {
        let older = |age: &mut u8| *age = (*age + 1).min(self.ticks);
        older(&mut world.sent);
        for write in &mut world.writes {
            older(&mut write.age);
        }
        for member in &mut world.members {
            if let Some(seen) = &mut member.seen {
                older(&mut seen.learned);
                seen.read = (seen.read + 1).min(self.fresh_until());
            }
            if let Some(held) = &mut member.held {
                older(&mut held.sent);
            }
            for one in &mut member.tries {
                older(&mut one.1);
            }
            member.open = member.open.map(|left| left - 1).filter(|left| *left > 0);
            // A ballot counts for less than a tick.
            member.ballot = None;
        }
    }

    fn renew(&self, world: &mut World, at: usize) -> Option<()> {
        let member = &mut world.members[at];
        let held = member.held.clone()?;
        if !is_idle(member) {
            return None;
        }
        if self.has_passed(&held) {
            member.drop_hold();
            return Some(());
        }
        let claim = own(at, member.life, held.term);
        self.send(world, at, claim, (Aim::Renew, held.is_current))
    }

    fn raise(&self, world: &mut World, at: usize) -> Option<()> {
        let promised = world.members.iter().map(|one| one.promised).max()?;
        let member = &world.members[at];
        let held = member.held.clone().filter(|held| !self.has_passed(held))?;
        if member.awaited.is_some() || promised <= held.term {
            return None;
        }
        let claim = own(at, member.life, promised);
        self.send(world, at, claim, (Aim::Renew, held.is_current))?;
        self.note(Seldom::TermRaised);
        Some(())
    }

    fn vote(&self, world: &mut World, voter: usize, candidate: usize) -> Option<()> {
        let asks = &world.members[candidate];
        let seen = asks.seen.as_ref().filter(|_| asks.held.is_none() && asks.awaited.is_none())?;
        let next = (seen.claim.term + 1).max(asks.promised);
        let term = asks.ballot.unwrap_or(next);
        // Its own promise comes first.
        let may = asks.open.is_none() && (voter == candidate) != asks.ballot.is_some();
        if !may || term > self.terms || !matches!(self.seat(world, candidate), Seat::Vacant(_)) {
            return None;
        }
        let refuses = match self.seat(world, voter) {
            Seat::Mine(_) | Seat::Offered => true,
            Seat::Held { changed_at } => NOW.since(changed_at) < self.times().ttl * 4 / 5,
            Seat::Vacant(_) | Seat::Unknown => false,
        };
        let member = &mut world.members[voter];
        if refuses || term < member.promised || member.open.is_some() {
            return None;
        }
        member.promised = term;
        if !planted(Mutant::VoteWhileReceiving) {
            member.follows = 0;
        }
        world.members[candidate].ballot = Some(term);
        Some(())
    }

    fn take(&self, world: &mut World, at: usize) -> Option<()> {
        let term = world.members[at].ballot?;
        if !matches!(self.seat(world, at), Seat::Vacant(_)) {
            return None;
        }
        let member = &mut world.members[at];
        let seen = member.seen.clone()?;
        member.ballot = None;
        member.drop_hold();
        let claim = own(at, member.life, term);
        self.send(world, at, claim, (Aim::Become, seen.is_current))
    }

    fn accept(&self, world: &mut World, at: usize) -> Option<()> {
        let member = &world.members[at];
        let seen = member.seen.clone().filter(|_| member.awaited.is_none())?;
        if seen.claim.state != Claimed::Offered || self.seat(world, at) != Seat::Offered {
            return None;
        }
        let member = &mut world.members[at];
        member.drop_hold();
        let claim = own(at, member.life, seen.claim.term);
        self.send(world, at, claim, (Aim::Become, seen.is_current))
    }

    /// The lease of an agent that may give it away.
    fn to_give(&self, member: &Member) -> Option<Lease> {
        let is_closed = member.open.is_none() || planted(Mutant::ReleaseBeforeStop);
        member.held.clone().filter(|_| is_closed && is_idle(member))
    }

    fn release(&self, world: &mut World, at: usize) -> Option<()> {
        let held = self.to_give(&world.members[at])?;
        let claim = own(at, world.members[at].life, held.term);
        let claim = Claim { state: Claimed::Released, ..claim };
        self.send(world, at, claim, (Aim::Give, held.is_current))
    }

    fn offer(&self, world: &mut World, from: usize, to: usize) -> Option<()> {
        let held = self.to_give(&world.members[from]).filter(|_| from != to)?;
        let life = world.members[to].life;
        let claim = Claim { state: Claimed::Offered, ..own(to, life, held.term + 1) };
        self.send(world, from, claim, (Aim::Give, held.is_current))
    }

    fn open(&self, world: &mut World, at: usize) -> Option<()> {
        let member = &mut world.members[at];
        let held = member.held.as_ref().filter(|held| !self.has_passed(held))?;
        if member.open.is_some() || !is_idle(member) {
            return None;
        }
        member.open = Some(self.ticks_left(held.sent));
        member.follows = 0;
        Some(())
    }

    fn read(&self, world: &mut World, at: usize) -> Option<()> {
        let claim = world.claim;
        let member = &mut world.members[at];
        if member.held.is_some() {
            return None;
        }
        let known = member.seen.as_ref().filter(|seen| seen.is_current);
        if known.is_none() && !self.keeps_ballot {
            member.ballot = None;
        }
        let learned = known.map_or(0, |seen| seen.learned);
        member.seen = Some(Seen { claim, is_current: true, learned, read: 0 });
        let leads = claim.holder != at && claim.state == Claimed::Held;
        if leads && member.open.is_none() && claim.term >= member.promised {
            member.follows = claim.term;
        }
        Some(())
    }

    fn restart(&self, world: &mut World, at: usize, host: bool) -> Option<()> {
        let is_open = world.members[at].open.is_some();
        if world.restarts == self.restarts || !(host || is_open) {
            return None;
        }
        world.restarts += 1;
        let old = &world.members[at];
        let open = old.open.filter(|_| !host);
        // The guardian of an open server tells under which incarnation it was opened.
        let life = if open.is_some() { old.life } else { old.life + 1 };
        let follows = if host { 0 } else { old.follows };
        let promised = old.promised;
        world.members[at] = Member { life, open, promised, follows, ..Member::default() };
        Some(())
    }

    fn resume(&self, world: &mut World, at: usize) -> Option<()> {
        let claim = world.claim;
        let member = &mut world.members[at];
        if member.held.is_some() || member.awaited.is_some() || member.open.is_none() {
            return None;
        }
        if planted(Mutant::ResumeWithoutReading) {
            member.held = Some(Lease { term: claim.term, sent: 0, is_current: false });
            member.open = Some(self.ticks_left(0));
            return Some(());
        }
        let is_own = (claim.holder, claim.life) == (at, member.life);
        if !is_own || claim.state != Claimed::Held {
            member.open = None;
            return Some(());
        }
        // Under a later term: what the agent before still has under way fails at the guard then.
        let later = own(at, member.life, claim.term + 1);
        self.send(world, at, later, (Aim::Become, true))?;
        self.note(Seldom::LeaseAdopted);
        Some(())
    }
}

/// Nothing but a renewal is in question.
fn is_idle(member: &Member) -> bool {
    member.awaited.as_ref().is_none_or(|awaited| awaited.aim == Aim::Renew)
}

fn incarnation(at: usize, life: u8) -> Incarnation {
    Incarnation(at as u64 * 100 + u64::from(life) + 1)
}
