//! What the model of the lease is made of. Times are ages in ticks; a revision is only ever compared with
//! the store's, so that all that is kept of one is whether it still is the store's.

use super::symmetry::moved;
use super::sync_state::NODES;

/// The number of a try that nobody remembers.
pub const FORGOTTEN: u8 = 255;

/// A baton in the store or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    pub term: u8,
    pub holder: usize,
    /// Which start of the holder's agent.
    pub life: u8,
    pub state: Claimed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claimed {
    Held,
    Offered,
    Released,
}

/// A write on its way. It compares with the store's present revision, or is none any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    pub from: usize,
    pub nonce: u8,
    pub claim: Claim,
    pub age: u8,
}

/// What an agent has read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    pub claim: Claim,
    pub is_current: bool,
    pub learned: u8,
    pub read: u8,
}

/// A lease that an agent knows it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    pub term: u8,
    pub sent: u8,
    pub is_current: bool,
}

/// What a write that is not answered yet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aim {
    Renew,
    Become,
    Give,
    /// To shut an offer out that was not answered.
    Outbid,
}

/// The write that the agent waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Awaited {
    pub aim: Aim,
    pub nonce: u8,
    pub term: u8,
    pub is_applied: bool,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    pub life: u8,
    pub held: Option<Lease>,
    /// Tries that were not answered: number, and the age of the send.
    pub tries: Vec<(u8, u8)>,
    pub awaited: Option<Awaited>,
    /// The server is open, for so many ticks by the guardian.
    pub open: Option<u8>,
    pub promised: u8,
    /// The term of the leader it receives from; of none it is 0.
    pub follows: u8,
    /// The term that it and others have promised it, over the baton that it has seen.
    pub ballot: Option<u8>,
    pub seen: Option<Seen>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    pub claim: Claim,
    /// Which try of whom wrote it, if anybody remembers.
    pub writer: usize,
    pub nonce: u8,
    /// When that had been sent.
    pub sent: u8,
    pub writes: Vec<Write>,
    pub members: [Member; NODES],
    pub restarts: u8,
    /// Somebody took the baton while its holder could still be open.
    pub taken_early: bool,
    /// A term came after itself or a higher one.
    pub term_fell: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time goes on for everybody; guardians kill what is past its deadline.
    Tick,
    /// A linearizable read; a standby follows whom it shows.
    Read(usize),
    /// A write reaches the store.
    Arrive(usize),
    /// An agent gets the answer to its write.
    Answer(usize),
    /// An agent reads back what became of its writes.
    LookUp(usize),
    Renew(usize),
    /// The holder learned of a promise above its term.
    Raise(usize),
    Vote {
        voter: usize,
        candidate: usize,
    },
    Take(usize),
    Accept(usize),
    Release(usize),
    Offer {
        from: usize,
        to: usize,
    },
    Open(usize),
    Close(usize),
    /// The agent dies and is started again; an open server stays so.
    AgentRestarts(usize),
    /// The whole host does.
    HostRestarts(usize),
    /// A new agent goes on under the lease of the one before.
    Resume(usize),
}

impl Member {
    /// It holds nothing, and waits for nothing.
    pub fn drop_hold(&mut self) {
        (self.held, self.awaited) = (None, None);
        self.tries.clear();
    }
}

impl World {
    /// One leader that has just renewed, two standbys.
    pub fn first(ticks: u8) -> Self {
        let leader = Member {
            held: Some(Lease { term: 1, sent: 0, is_current: true }),
            open: Some(ticks),
            ..Member::default()
        };
        let standby = Member { follows: 1, ..Member::default() };
        Self {
            claim: Claim { term: 1, holder: 0, life: 0, state: Claimed::Held },
            writer: 0,
            nonce: FORGOTTEN,
            sent: 0,
            writes: Vec::new(),
            members: [leader, standby.clone(), standby],
            restarts: 0,
            taken_early: false,
            term_fell: false,
        }
    }

    /// The same, where a race has broken off before: one has promised the next term.
    pub fn promised(ticks: u8) -> Self {
        let mut world = Self::first(ticks);
        (world.members[1].promised, world.members[1].follows) = (2, 0);
        world
    }

    /// What tells nothing more is left out, and most worlds that differ by names become one.
    pub fn tidied(mut self, fresh_until: u8) -> Self {
        for member in &mut self.members {
            // An old read of what has changed since is worth nothing.
            member.seen.take_if(|seen| !seen.is_current && seen.read >= fresh_until);
        }
        self.forget_the_writer();
        self.renumber();
        for at in 0..NODES {
            self.forget_lives(at);
        }
        self.writes.sort_unstable();
        let mut order = [0, 1, 2];
        order.sort_by_key(|at| (self.claim.holder == *at, &self.members[*at]));
        let mut to = [0; NODES];
        for (place, at) in order.into_iter().enumerate() {
            to[at] = place;
        }
        if to == [0, 1, 2] { self } else { self.renamed(to) }
    }

    /// Of a try that nobody remembers neither the number nor the sender says anything.
    fn forget_the_writer(&mut self) {
        let tries = &self.members[self.writer].tries;
        if self.nonce == FORGOTTEN || !tries.iter().any(|one| one.0 == self.nonce) {
            (self.nonce, self.writer) = (FORGOTTEN, self.claim.holder);
        }
    }

    /// Starts of an agent that nothing speaks of any more are as if they had not been.
    fn forget_lives(&mut self, at: usize) {
        let own = self.members[at].life;
        let seen = self.members.iter_mut().filter_map(|one| one.seen.as_mut());
        let seen = seen.map(|seen| &mut seen.claim);
        let written = self.writes.iter_mut().map(|write| &mut write.claim);
        let claims = seen.chain(written).chain([&mut self.claim]).filter(|one| one.holder == at);
        let mut lives: Vec<&mut u8> = claims.map(|one| &mut one.life).collect();
        let least = lives.iter().map(|life| **life).min().unwrap_or(own).min(own);
        lives.iter_mut().for_each(|life| **life -= least);
        self.members[at].life = own - least;
    }

    /// Numbers are compared for being equal, and tell the order of one agent's tries.
    fn renumber(&mut self) {
        for at in 0..NODES {
            let mut known: Vec<u8> = self.members[at].tries.iter().map(|one| one.0).collect();
            known.extend(self.writes.iter().filter(|one| one.from == at).map(|one| one.nonce));
            known.sort_unstable();
            known.dedup();
            let place = |nonce: u8| known.iter().position(|one| *one == nonce);
            let rank = |nonce: u8| place(nonce).map_or(FORGOTTEN, |place| place as u8);
            for one in &mut self.members[at].tries {
                one.0 = rank(one.0);
            }
            if let Some(awaited) = &mut self.members[at].awaited {
                awaited.nonce = rank(awaited.nonce);
            }
            for one in self.writes.iter_mut().filter(|one| one.from == at) {
                one.nonce = rank(one.nonce);
            }
            if self.writer == at && self.nonce != FORGOTTEN {
                self.nonce = rank(self.nonce);
            }
        }
    }

    fn renamed(&self, to: [usize; NODES]) -> Self {
        let claim = |one: Claim| Claim { holder: to[one.holder], ..one };
        let mut members = moved(&self.members, to);
        for member in &mut members {
            if let Some(seen) = &mut member.seen {
                seen.claim = claim(seen.claim);
            }
        }
        let write =
            |one: &Write| Write { from: to[one.from], claim: claim(one.claim), ..one.clone() };
        let mut writes: Vec<Write> = self.writes.iter().map(write).collect();
        writes.sort_unstable();
        Self {
            claim: claim(self.claim),
            writer: to[self.writer],
            writes,
            members,
            nonce: self.nonce,
            sent: self.sent,
            restarts: self.restarts,
            taken_early: self.taken_early,
            term_fell: self.term_fell,
        }
    }
}
