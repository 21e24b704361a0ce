//! What the model of the synchronous set is made of: three servers, their logs, and what each process of
//! a primary has read.

use std::collections::BTreeSet;

use pgbaton::mutants::{Mutant, planted};
use pgbaton::values::MemberName;

/// How many members there are.
pub const NODES: usize = 3;

/// The name of a member.
pub fn name(at: usize) -> MemberName {
    ["a", "b", "c"][at].into()
}

/// Which member has this name.
pub fn node(name: &MemberName) -> usize {
    usize::from(name.as_str().as_bytes()[0] - b'a')
}

/// The members of a mask.
pub fn names_of(mask: u8) -> BTreeSet<MemberName> {
    (0..NODES).filter(|at| mask & 1 << at != 0).map(name).collect()
}

/// `synchronous_standby_names`: how many, and of whom as a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Names {
    Nobody,
    Closed,
    AnyOf(u8, u8),
}

impl Names {
    /// All that a leader of three may come to want.
    pub fn all(leader: usize) -> impl Iterator<Item = Names> {
        let others = 0b111 & !(1_u8 << leader);
        let one = (0..NODES).filter(move |at| *at != leader).map(|at| Names::AnyOf(1, 1 << at));
        one.chain([Names::Nobody, Names::AnyOf(1, others), Names::AnyOf(2, others)])
    }

    fn count_for(self, at: usize) -> Option<u8> {
        match self {
            Names::AnyOf(count, of) if of & 1 << at != 0 => Some(count),
            Names::AnyOf(..) | Names::Nobody | Names::Closed => None,
        }
    }
}

/// A server that is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Primary {
    /// What its configuration file says.
    pub told: Names,
    /// What some process may still go by besides, having not read it again.
    pub before: Vec<Names>,
}

impl Primary {
    /// All that some process may go by.
    pub fn in_force(&self) -> impl Iterator<Item = Names> {
        self.before.iter().copied().chain([self.told])
    }

    /// The file says something else now.
    pub fn tell(&mut self, names: Names) {
        self.before.push(self.told);
        self.before.sort_unstable();
        self.before.dedup();
        self.before.retain(|one| *one != names);
        self.told = names;
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leading {
    Nobody,
    By(usize, Phase),
}

/// How far a leader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// It has the seat.
    Taken,
    /// It has written the record, and is to open with these names.
    Recorded(Names),
    /// Its server is open.
    Open,
}

/// `/sync`, and a write of it that may still arrive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub leader: usize,
    pub need: u8,
    pub of: u8,
    pub open: Option<(u8, u8)>,
}

/// What the leader's agent remembers; gone with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Agent {
    pub possible: Vec<Names>,
    pub in_force_at: Option<u8>,
    pub caught_up: bool,
}

impl Agent {
    /// Whether a change is half done.
    pub fn is_changing(&self) -> bool {
        self.possible.len() > 1
    }
}

/// A timeline: timeline `n` is the `n`-th of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch {
    pub parent: Option<u8>,
    pub at: u8,
    pub node: usize,
}

/// What the `sometimes` properties ask for and the rest of the state does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Happened {
    /// The last leader went while a change was half done.
    pub broke_off: bool,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    pub logs: [Vec<u8>; NODES],
    pub timelines: [u8; NODES],
    pub up: [bool; NODES],
    pub follows: [Option<usize>; NODES],
    pub promised: [bool; NODES],
    /// No leader of an earlier timeline is followed.
    pub floor: [u8; NODES],
    pub primaries: [Option<Primary>; NODES],
    pub leading: Leading,
    pub record: Record,
    pub agent: Agent,
    pub branches: Vec<Branch>,
    pub written: u8,
    pub acknowledged: Vec<u8>,
    pub happened: Happened,
    /// How often the names were changed, and how much has failed.
    pub settings: u8,
    pub failures: u8,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client writes at an open server.
    Write(usize),
    /// A standby connects, is rewound where it has to be, or gets the next commit.
    Receive { at: usize, from: usize },
    /// Every process of an open server has read its configuration; the leader's agent learns of it.
    ReadNames(usize),
    /// A host fails.
    Fail(usize),
    /// It is back, as a standby.
    Return(usize),
    /// A standby promises the next term.
    Promise(usize),
    /// The race breaks off: the holder raised its term.
    BreakOff,
    /// A candidate takes the seat.
    Take(usize),
    /// Who has the seat goes on with its promotion.
    GoOn,
    /// The leader's agent is started anew; the server runs on.
    AgentRestarts,
    /// A write of the record arrives whose sender was not answered.
    RecordArrives,
    /// The leader's agent does one step towards these; a write may get no answer.
    Towards { wanted: Names, answered: bool },
}

impl State {
    /// One leader, and nobody is waited for.
    pub fn first() -> Self {
        let nobody = Primary { told: Names::Nobody, before: Vec::new() };
        Self {
            logs: Default::default(),
            timelines: [1; NODES],
            up: [true; NODES],
            follows: [None, Some(0), Some(0)],
            promised: [false; NODES],
            floor: [1; NODES],
            primaries: [Some(nobody), None, None],
            leading: Leading::By(0, Phase::Open),
            record: Record { leader: 0, need: 1, of: 0, open: None },
            agent: Agent::default(),
            branches: vec![Branch { parent: None, at: 0, node: 0 }],
            written: 0,
            acknowledged: Vec::new(),
            happened: Happened::default(),
            settings: 0,
            failures: 0,
        }
    }

    pub fn write(&mut self, at: usize, most: u8) -> Option<()> {
        self.primaries[at].as_ref()?;
        if self.written == most {
            return None;
        }
        self.written += 1;
        self.logs[at].push(self.written);
        Some(())
    }

    pub fn receive(&mut self, at: usize, from: usize) -> Option<()> {
        let is_standby =
            self.up[at] && self.primaries[at].is_none() && self.leading_node() != Some(at);
        let timeline = self.timelines[from];
        let still_sends = planted(Mutant::VoteWhileReceiving) && self.promised[at];
        let may = timeline >= self.floor[at] || (still_sends && timeline + 1 >= self.floor[at]);
        if at == from || !is_standby || !may {
            return None;
        }
        self.primaries[from].as_ref()?;
        let leads = self.leading == Leading::By(from, Phase::Open);
        if !self.logs[from].starts_with(&self.logs[at]) {
            if !leads {
                return None;
            }
            let both =
                self.logs[at].iter().zip(&self.logs[from]).take_while(|(a, b)| a == b).count();
            self.logs[at].truncate(both);
        } else if self.follows[at] == Some(from) {
            let next = *self.logs[from].get(self.logs[at].len())?;
            self.logs[at].push(next);
        }
        if self.follows[at] != Some(from) {
            self.disconnect(at);
            self.follows[at] = Some(from);
        }
        self.timelines[at] = self.timeline_at(timeline, self.logs[at].len() as u8 + 1);
        Some(())
    }

    /// The timeline of the end of a log that is on the way to `timeline`.
    fn timeline_at(&self, timeline: u8, end: u8) -> u8 {
        let branch = &self.branches[usize::from(timeline) - 1];
        match branch.parent {
            Some(parent) if end < branch.at => self.timeline_at(parent, end),
            _ => timeline,
        }
    }

    pub fn read_names(&mut self, at: usize) -> Option<()> {
        let end = self.logs[at].len() as u8 + 1;
        let primary = self.primaries[at].as_mut()?;
        primary.before.clear();
        let is_known = self.agent.possible.last() == Some(&primary.told);
        if self.leading == Leading::By(at, Phase::Open) && is_known {
            self.agent.in_force_at.get_or_insert(end);
        }
        Some(())
    }

    pub fn fail(&mut self, at: usize) -> Option<()> {
        if !self.up[at] {
            return None;
        }
        self.up[at] = false;
        self.disconnect(at);
        self.primaries[at] = None;
        for one in 0..NODES {
            if self.follows[one] == Some(at) {
                self.follows[one] = None;
            }
        }
        if self.leading_node() == Some(at) {
            self.happened.broke_off = self.agent.is_changing() || self.record.open.is_some();
            self.leading = Leading::Nobody;
            self.agent = Agent::default();
        }
        Some(())
    }

    pub fn come_back(&mut self, at: usize) -> Option<()> {
        (!self.up[at]).then(|| self.up[at] = true)
    }

    pub fn promise(&mut self, at: usize, promotions: u8) -> Option<()> {
        let is_standby =
            self.up[at] && self.primaries[at].is_none() && self.leading_node() != Some(at);
        if !is_standby || self.promised[at] || self.branches.len() > usize::from(promotions) {
            return None;
        }
        self.promised[at] = true;
        self.floor[at] = self.branches.len() as u8 + 1;
        if !planted(Mutant::VoteWhileReceiving) {
            self.disconnect(at);
        }
        Some(())
    }

    pub fn break_off(&mut self) -> Option<()> {
        let Leading::By(_, Phase::Open) = self.leading else { return None };
        let now = self.branches.len() as u8;
        self.floor = self.floor.map(|floor| floor.min(now));
        self.promised = [false; NODES];
        Some(())
    }

    pub fn agent_restarts(&mut self) -> Option<()> {
        let Leading::By(_, Phase::Open) = self.leading else { return None };
        self.agent = Agent::default();
        Some(())
    }

    pub fn record_arrives(&mut self) -> Option<()> {
        let (need, of) = self.record.open.take()?;
        (self.record.need, self.record.of) = (need, of);
        Some(())
    }

    pub fn promote(&mut self, me: usize, primary: Primary) {
        self.disconnect(me);
        let (parent, at) = (Some(self.timelines[me]), self.logs[me].len() as u8 + 1);
        self.branches.push(Branch { parent, at, node: me });
        self.timelines[me] = self.branches.len() as u8;
        self.floor[me] = self.timelines[me];
        self.primaries[me] = Some(primary);
    }

    /// All that can be acknowledged is.
    pub fn acknowledge(&mut self) {
        for (at, primary) in self.primaries.iter().enumerate() {
            let Some(primary) = primary else { continue };
            let streams = |one: usize| self.follows[one] == Some(at);
            let all = || primary.in_force();
            let waits = all().all(|one| one != Names::Nobody);
            let counted = |length: usize| {
                let is_named = |one: &usize| all().any(|names| names.count_for(*one).is_some());
                let has = |one: &usize| streams(*one) && self.logs[*one].len() >= length;
                (0..NODES).filter(|one| has(one) && is_named(one)).count()
            };
            let released = |length: usize| {
                let mut walsenders = (0..NODES).filter(|one| streams(*one));
                walsenders.any(|one| {
                    let mut counts = all().filter_map(|names| names.count_for(one));
                    counts.any(|count| counted(length) >= usize::from(count))
                })
            };
            for (index, commit) in self.logs[at].iter().enumerate() {
                let is_new = !self.acknowledged.contains(commit);
                if is_new && (!waits || released(index + 1)) {
                    self.acknowledged.push(*commit);
                }
            }
        }
        self.acknowledged.sort_unstable();
    }

    /// Who has the seat.
    pub fn leading_node(&self) -> Option<usize> {
        match self.leading {
            Leading::Nobody => None,
            Leading::By(at, _) => Some(at),
        }
    }

    fn disconnect(&mut self, at: usize) {
        self.follows[at] = None;
    }
}
