//! The lease, the race and the promise: every order of renewals, reads, takings, releases and offers of
//! three nodes, with writes that are late or given up, an agent that is stopped and a node that fails.
//!
//! Shared with the product: who holds the seat (`decide::seat`), every duration (`LeaseTimes`).
//!
//! Modelled: the store (a write compares the revision), the guardian (at the tick at which a deadline
//! has passed, its server is gone), the holder's keeper, and what a promise does to a receiver. A read
//! is answered at once: one that is late is as good as one of before. Anybody may promise the next term
//! at any time, whoever asked for it.
//!
//! Left out: failsafe, clocks at different rates within a tick, a host that is stopped as a whole, and
//! the silence that is counted anew after a gap in the reads: to take sooner is the worse case.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgbaton::mutants::{Mutant, plant};
use stateright::{Model, Property};

use super::lease_state::{Action, Broken, LAST_TERM, NODES, World};

/// A mistake that the model is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// One of the product's own.
    Planted(Mutant),
    /// The deadline counts from the reply.
    DeadlineFromReply,
    /// The deadline counts from the last of two writes, whichever was applied.
    DeadlineFromLastTry,
    /// The guardian acts a tick after the deadline.
    GuardianLate,
    /// The baton is released before the server is stopped.
    ReleaseBeforeStop,
    /// A write compares with nothing.
    Unguarded,
    /// An offer that was given up is forgotten: it may still arrive.
    OfferForgotten,
    /// A promise does not stop the receiver.
    VoteWhileReceiving,
}

/// What has to happen in some history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    TakenAfterSilence,
    RenewalRefused,
    TooLate,
    OfferAccepted,
    ResumedBesideAnother,
    RaceBrokenOff,
    StrayApplied,
}

impl Event {
    /// All of them.
    pub const ALL: [(Event, &str); 7] = [
        (Event::TakenAfterSilence, "a takeover after silence"),
        (Event::RenewalRefused, "a renewal refused"),
        (Event::TooLate, "a reply after the deadline"),
        (Event::OfferAccepted, "an offer accepted"),
        (Event::ResumedBesideAnother, "a stopped agent goes on after another node has opened"),
        (Event::RaceBrokenOff, "a race broken off by a holder that raises its term"),
        (Event::StrayApplied, "a write applied that was given up"),
    ];
}

/// The model.
#[derive(Clone, Debug)]
pub struct Lease {
    pub mistake: Option<Mistake>,
    /// How many writes may be given up before they are applied.
    pub losses: u8,
    seen: Arc<[AtomicBool; Event::ALL.len()]>,
}

impl Lease {
    pub fn new(mistake: Option<Mistake>, losses: u8) -> Self {
        Self { mistake, losses, seen: Arc::default() }
    }

    /// The event is part of some history.
    pub fn saw(&self, event: Event) {
        self.seen[event as usize].store(true, Ordering::Relaxed);
    }

    /// What was seen and what was not; to be asked after the search.
    pub fn events(&self) -> Vec<(&'static str, bool)> {
        let seen = |event: Event| self.seen[event as usize].load(Ordering::Relaxed);
        Event::ALL.into_iter().map(|(event, name)| (name, seen(event))).collect()
    }

    pub fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn prepare(&self) {
        plant(match self.mistake {
            Some(Mistake::Planted(mutant)) => Some(mutant),
            _ => None,
        });
    }
}

/// The rules.
pub const ONE_WRITER: &str = "never two open servers";
pub const OPEN_BY_LEASE: &str = "open only while the deadline lies ahead";
pub const TAKEN_WHEN_FREE: &str = "taken only after a release or a ttl of silence";
pub const TERMS_RISE: &str = "terms only rise";
pub const PROMISE_KEPT: &str = "who promised a term receives nothing of an earlier one";

impl Model for Lease {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::first(self.losses).under_its_first_names()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend([Action::Tick, Action::StrayArrives]);
        for at in 0..NODES {
            if world.nodes[at].frozen {
                actions.extend([Action::Arrive(at), Action::Resume(at), Action::Crash(at)]);
                continue;
            }
            actions.extend([
                Action::Renew { at, raise: false },
                Action::Renew { at, raise: true },
                Action::Release(at),
                Action::Accept(at),
                Action::Take { at, by_an_old_read: false },
                Action::Take { at, by_an_old_read: true },
                Action::Arrive(at),
                Action::Reply(at),
                Action::GiveUp(at),
                Action::Read(at),
                Action::Promise(at),
                Action::Open(at),
                Action::Freeze(at),
                Action::Crash(at),
            ]);
            for other in (0..NODES).filter(|other| *other != at) {
                actions.push(Action::Offer { at, to: other });
                actions.push(Action::Follow { at, from: other });
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        self.prepare();
        let mut next = last.clone();
        match action {
            Action::Tick => self.tick(&mut next),
            Action::Renew { at, raise } => self.renew(&mut next, at, raise),
            Action::Release(at) => self.release(&mut next, at),
            Action::Offer { at, to } => next.offer(at, to),
            Action::Accept(at) => next.accept(at),
            Action::Take { at, by_an_old_read } => next.take(at, by_an_old_read),
            Action::Arrive(at) => self.arrive(&mut next, at),
            Action::StrayArrives => self.stray_arrives(&mut next),
            Action::Reply(at) => self.reply(&mut next, at),
            Action::GiveUp(at) => next.give_up(at),
            Action::Read(at) => next.read(at),
            Action::Promise(at) => self.promise(&mut next, at),
            Action::Open(at) => self.open(&mut next, at),
            Action::Follow { at, from } => next.follow(at, from),
            Action::Freeze(at) => next.freeze(at),
            Action::Resume(at) => self.resume(&mut next, at),
            Action::Crash(at) => next.crash(at),
        }?;
        let next = next.under_its_first_names();
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_WRITER, |_, world: &World| {
                world.nodes.iter().filter(|node| node.open).count() <= 1
            }),
            Property::always(OPEN_BY_LEASE, |_, world: &World| {
                world.nodes.iter().all(|node| !node.open || node.lease > 0)
            }),
            Property::always(TAKEN_WHEN_FREE, |_, world: &World| {
                world.broken != Some(Broken::TookEarly)
            }),
            Property::always(TERMS_RISE, |_, world: &World| {
                world.broken != Some(Broken::TermFell) && world.store.term <= LAST_TERM
            }),
            Property::always(PROMISE_KEPT, |_, world: &World| {
                world.nodes.iter().all(|node| {
                    node.from.is_none_or(|from| world.nodes[from].term >= node.promised)
                })
            }),
        ]
    }
}
