//! What the model of the lease is made of: three nodes, the baton in the store, and writes that are on
//! their way. Times are in ticks, of which a `ttl` has [`TICKS`].

use std::time::Duration;

use pgbaton::values::{LeaseTimes, Monotonic};

/// How many members there are.
pub const NODES: usize = 3;
/// How many ticks a `ttl` has.
pub const TICKS: u8 = 4;
/// The highest term that is looked at.
pub const LAST_TERM: u8 = 3;

/// What a node knows of the baton.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sight {
    /// It has changed since: no write that compares with what was seen is applied.
    Stale,
    /// As it is, learned this many ticks ago.
    Current(u8),
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Renew,
    Take,
    Release,
    Offer(usize),
    Accept,
}

/// How far a write is that its sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// On its way to the store.
    Pending,
    /// Applied; the answer is on its way.
    Applied,
    /// What it compares with is gone: it was refused, or will be.
    Refused,
}

/// A write that its sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    pub kind: Kind,
    pub phase: Phase,
    pub term: u8,
    /// Ticks since it was sent.
    pub age: u8,
}

/// A write that nobody waits for any more, and that may still be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stray {
    pub node: usize,
    pub kind: Kind,
    pub term: u8,
    /// Its sender was started anew since.
    pub former: bool,
}

/// What the baton says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    Held,
    Offered,
    Released,
}

/// The baton. Its revision is told by who has a current sight of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Store {
    pub term: u8,
    pub holder: usize,
    /// It names an earlier start of the holder's agent.
    pub former: bool,
    pub claim: Claim,
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Its server takes writes; else it is a standby.
    pub open: bool,
    /// Ticks until the lease has passed; none is held at 0.
    pub lease: u8,
    /// Ticks until the guardian ends an open server.
    pub guardian: u8,
    /// The term of the lease.
    pub term: u8,
    pub sight: Sight,
    pub promised: u8,
    /// Whose log it receives.
    pub from: Option<usize>,
    /// Its agent is stopped. The guardian and the server go on.
    pub frozen: bool,
    pub write: Option<Write>,
}

/// A rule about a step that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Broken {
    TookEarly,
    TermFell,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    pub nodes: [Node; NODES],
    pub store: Store,
    pub stray: Option<Stray>,
    /// How often a node may still crash, an agent be stopped, a write be given up.
    pub crashes: u8,
    pub freezes: u8,
    pub losses: u8,
    pub broken: Option<Broken>,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A quarter of a `ttl` goes by on every clock.
    Tick,
    /// The holder renews, in its own term or in one that was promised.
    Renew { at: usize, raise: bool },
    /// The server is stopped, then the baton released.
    Release(usize),
    /// The server is stopped, then the baton offered.
    Offer { at: usize, to: usize },
    Accept(usize),
    /// A candidate takes the baton, by a read of now or by one as old as what it knows.
    Take { at: usize, by_an_old_read: bool },
    /// The store comes to a write that is on its way.
    Arrive(usize),
    StrayArrives,
    /// The store's answer arrives, or the sender reads what became of its write.
    Reply(usize),
    /// The sender waits no longer for a write that has not been applied.
    GiveUp(usize),
    Read(usize),
    Promise(usize),
    Open(usize),
    /// A standby begins to receive.
    Follow { at: usize, from: usize },
    Freeze(usize),
    Resume(usize),
    /// A node fails and is back as a standby, with another start of its agent.
    Crash(usize),
}

/// The durations, for a `ttl` of ten seconds.
pub fn times() -> LeaseTimes {
    LeaseTimes::for_ttl(Duration::from_secs(10))
}

/// The moment this many ticks before now.
pub fn ago(ticks: u8) -> Monotonic {
    let now = Monotonic::from_boot(Duration::from_secs(1000));
    now - times().ttl / u32::from(TICKS) * u32::from(ticks)
}

/// After how many ticks the deadline has passed that a write gives which was sent so long ago.
pub fn left_of(age: u8) -> u8 {
    let deadline = times().deadline(ago(age));
    let tick = times().ttl / u32::from(TICKS);
    let passed = |ticks: &u8| deadline.has_passed(ago(0) + tick * u32::from(*ticks));
    (0..=TICKS).find(passed).expect("a deadline lies within a ttl of the send")
}

impl World {
    /// One holder, whom the others have heard of just now.
    pub fn first(losses: u8) -> Self {
        let standby = Node {
            open: false,
            lease: 0,
            guardian: 0,
            term: 0,
            sight: Sight::Current(0),
            promised: 1,
            from: Some(0),
            frozen: false,
            write: None,
        };
        let lease = left_of(0);
        let leader = Node { open: true, lease, guardian: lease, term: 1, from: None, ..standby };
        Self {
            nodes: [leader, standby, standby],
            store: Store { term: 1, holder: 0, former: false, claim: Claim::Held },
            stray: None,
            crashes: 1,
            freezes: 1,
            losses,
            broken: None,
        }
    }

    /// The server takes no writes any more, and sends nothing.
    pub fn close(&mut self, at: usize) {
        (self.nodes[at].open, self.nodes[at].guardian) = (false, 0);
        for node in &mut self.nodes {
            if node.from == Some(at) {
                node.from = None;
            }
        }
    }

    /// Whether the baton names this start of this node's agent.
    pub fn names(&self, at: usize) -> bool {
        self.store.holder == at && !self.store.former
    }

    /// Drops what makes no difference to anything that can follow.
    fn simplified(mut self) -> Self {
        let no_race = self.store.claim != Claim::Offered && self.store.term == LAST_TERM;
        let ages_matter = !no_race && self.store.claim != Claim::Released;
        for node in &mut self.nodes {
            if !ages_matter || node.lease > 0 {
                if let Sight::Current(age) = &mut node.sight {
                    *age = 0;
                }
            }
        }
        self
    }

    /// The first of all worlds that differ from this one by the names of the nodes.
    pub fn under_its_first_names(self) -> Self {
        let simple = self.simplified();
        let others = super::symmetry::RENAMINGS.into_iter().skip(1);
        others.map(|to| simple.renamed(to)).fold(simple.clone(), Self::min)
    }

    fn renamed(&self, to: [usize; NODES]) -> Self {
        let kind = |kind| match kind {
            Kind::Offer(one) => Kind::Offer(to[one]),
            Kind::Renew | Kind::Take | Kind::Release | Kind::Accept => kind,
        };
        let node = |node: Node| Node {
            from: node.from.map(|from| to[from]),
            write: node.write.map(|write| Write { kind: kind(write.kind), ..write }),
            ..node
        };
        let stray = |one: Stray| Stray { node: to[one.node], kind: kind(one.kind), ..one };
        Self {
            nodes: super::symmetry::moved(&self.nodes.map(node), to),
            store: Store { holder: to[self.store.holder], ..self.store },
            stray: self.stray.map(stray),
            ..*self
        }
    }
}
