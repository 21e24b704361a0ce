//! The lease, the race for it and the promises: three agents that are as slow as they like, a store that
//! answers late or never, guardians.
//!
//! Shared with the product: who holds the seat (`seat`), the times and deadlines (`LeaseTimes`), how an
//! unanswered try is recognised and what deadline it gives (`Tries`, `Sent`), and what the guardian is
//! told (`Exposure`).
//!
//! Modelled, after `act::lease`, `decide::voting` and `decide::election`: what is written when. A step of
//! an agent can come at any time or never; one that does not come is a frozen agent. A write may arrive
//! late or not at all, and so may its answer; of one agent the last is on its way. A read is answered at once,
//! and a standby then follows the holder at once; a holder does not read.
//!
//! Left out: failsafe mode, a changed `ttl`, an emptied store, positions (see `sync.rs`), and clocks of
//! different rates: ticks cannot tell a thousandth, which is what the margin in `LeaseTimes` is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pgbaton::mutants::{Mutant, plant};
use stateright::{Model, Property};

use super::lease_state::{Action, Claimed, World};
use super::search::Counted;
use super::sync_state::NODES;

/// The rules.
pub const ONE: &str = "one server at most can acknowledge";
pub const OWN: &str = "a server is open under its own lease alone";
pub const SILENCE: &str = "the baton is taken after silence or release";
pub const RISE: &str = "terms rise";
pub const KEPT: &str = "a promise is kept";

/// What the `sometimes` properties ask for, by the number of its bit.
#[derive(Clone, Copy)]
pub enum Seldom {
    TakenAfterSilence,
    ReleasedTaken,
    LateWriteRefused,
    AnswerAfterDeadline,
    OfferTaken,
    OfferShutOut,
    FrozenHolderResumed,
    LeaseAdopted,
    FoundByLookUp,
    TermRaised,
}

/// The model and its bounds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// How many ticks a `ttl` has.
    pub ticks: u8,
    /// The last term.
    pub terms: u8,
    /// Restarts of agents and hosts, all together.
    pub restarts: u8,
    /// Whether holders give the lease away.
    pub hands_over: bool,
    /// A mistake of the product's.
    pub mutant: Option<Mutant>,
    /// A mistake of the model's own: a ballot counts over a baton that has changed since.
    pub keeps_ballot: bool,
    /// Whether what has to happen sometimes has to have happened by now, in this search or one before.
    pub is_last: bool,
    /// What has happened in some state so far. No part of the states: those would be more for it.
    pub seen: Arc<AtomicU32>,
    /// Of how many states it was asked what can follow.
    pub expanded: Arc<AtomicUsize>,
}

impl Counted for Lease {
    fn expanded(&self) -> &AtomicUsize {
        &self.expanded
    }
}

impl Lease {
    /// Without handover, up to this term and with so many restarts.
    pub fn bounded(terms: u8, restarts: u8) -> Self {
        Self {
            ticks: 2,
            terms,
            restarts,
            hands_over: false,
            mutant: None,
            keeps_ballot: false,
            is_last: false,
            seen: Arc::default(),
            expanded: Arc::default(),
        }
    }

    pub fn note(&self, what: Seldom) {
        self.seen.fetch_or(1 << what as u32, Ordering::Relaxed);
    }

    fn happened(&self, what: Seldom) -> bool {
        self.seen.load(Ordering::Relaxed) & 1 << what as u32 != 0
    }
}

impl Model for Lease {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut worlds = vec![World::first(self.ticks)];
        if !self.hands_over {
            worlds.push(World::promised(self.ticks));
        }
        worlds.into_iter().map(|world| world.tidied(self.fresh_until())).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.expanded.fetch_add(1, Ordering::Relaxed);
        actions.push(Action::Tick);
        // What cannot be is not tried: that is most of the time.
        let mut when = |it_can_be: bool, action| it_can_be.then(|| actions.push(action));
        for (at, one) in world.members.iter().enumerate() {
            let (holds, waits) = (one.held.is_some(), one.awaited.is_some());
            when(!holds, Action::Read(at));
            when(waits, Action::Answer(at));
            when(waits, Action::LookUp(at));
            when(holds, Action::Renew(at));
            when(holds, Action::Raise(at));
            when(one.ballot.is_some(), Action::Take(at));
            when(one.seen.is_some() && !waits, Action::Accept(at));
            when(holds && self.hands_over, Action::Release(at));
            when(holds && one.open.is_none(), Action::Open(at));
            when(one.open.is_some(), Action::Close(at));
            when(one.open.is_some(), Action::AgentRestarts(at));
            when(one.open.is_some() && !holds, Action::Resume(at));
            when(true, Action::HostRestarts(at));
            for other in 0..NODES {
                let asks = one.seen.is_some() && !holds && !waits;
                when(asks, Action::Vote { voter: other, candidate: at });
                when(holds && self.hands_over, Action::Offer { from: at, to: other });
            }
        }
        for index in 0..world.writes.len() {
            actions.push(Action::Arrive(index));
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        plant(self.mutant);
        let mut next = last.clone();
        self.step(&mut next, action)?;
        let next = next.tidied(self.fresh_until());
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ONE, |_, world: &World| {
                world.members.iter().filter(|one| one.open.is_some()).count() <= 1
            }),
            Property::always(OWN, |_, world: &World| {
                let claim = &world.claim;
                world.members.iter().enumerate().all(|(at, one)| {
                    let is_own = claim.holder == at && claim.life == one.life;
                    one.open.is_none() || (is_own && claim.state == Claimed::Held)
                })
            }),
            Property::always(SILENCE, |_, world: &World| !world.taken_early),
            Property::always(RISE, |_, world: &World| !world.term_fell),
            Property::always(KEPT, |_, world: &World| {
                world.members.iter().all(|one| one.follows == 0 || one.follows >= one.promised)
            }),
        ];
        if self.is_last {
            all.extend(sometimes());
        }
        all
    }
}

fn sometimes() -> Vec<Property<Lease>> {
    macro_rules! seldom {
        ($($what:ident: $name:literal,)*) => {
            vec![$(Property::sometimes($name, |model: &Lease, _| model.happened(Seldom::$what)),)*]
        };
    }
    seldom! {
        TakenAfterSilence: "a silent holder is followed by another",
        ReleasedTaken: "a released baton is taken",
        LateWriteRefused: "a late renewal is refused",
        AnswerAfterDeadline: "an answer comes after the deadline",
        OfferTaken: "an offer is taken",
        OfferShutOut: "an offer that was not answered is shut out",
        FrozenHolderResumed: "a frozen holder goes on after another has led",
        LeaseAdopted: "a new agent goes on under the lease",
        FoundByLookUp: "a renewal that was not answered is found",
        TermRaised: "a holder outbids a race that broke off",
    }
}
