//! What is in the log, apart from its numbering: a tree of branches, so that two servers on one
//! timeline id with different histories are told apart although PostgreSQL cannot.

use pgbaton::cluster::Ancestor;
use pgbaton::values::{Lsn, SystemId, Timeline, WalPosition};

/// The end of a log: on which branch, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// The branch.
    pub branch: usize,
    /// How far.
    pub lsn: Lsn,
}

/// One history of one timeline.
pub struct Branch {
    /// The data it belongs to.
    pub system: SystemId,
    /// The id it goes by.
    pub timeline: Timeline,
    /// Where it left another branch.
    pub parent: Option<At>,
    /// What its history file says.
    pub ancestors: Vec<Ancestor>,
    /// How far anybody has written on it.
    pub end: Lsn,
}

/// All logs of a world.
#[derive(Default)]
pub struct Wal {
    branches: Vec<Branch>,
}

/// Where a new server's log begins.
const FIRST_LSN: Lsn = Lsn(0x0100_0000);

impl Wal {
    /// The log of a newly initialized server.
    pub fn found(&mut self, system: SystemId) -> At {
        self.branches.push(Branch {
            system,
            timeline: Timeline::FIRST,
            parent: None,
            ancestors: Vec::new(),
            end: FIRST_LSN,
        });
        At { branch: self.branches.len() - 1, lsn: FIRST_LSN }
    }

    /// A branch.
    pub fn branch(&self, at: At) -> &Branch {
        &self.branches[at.branch]
    }

    /// The timeline id that a position goes by.
    pub fn position(&self, at: At) -> WalPosition {
        WalPosition { timeline: self.branch(at).timeline, lsn: at.lsn }
    }

    /// Leaves a branch for a new timeline.
    pub fn fork(&mut self, from: At, timeline: Timeline) -> At {
        let left = self.branch(from);
        let mut ancestors = left.ancestors.clone();
        if timeline != left.timeline {
            ancestors.push(Ancestor { timeline: left.timeline, ended_at: from.lsn });
        }
        let system = left.system;
        let end = from.lsn;
        self.branches.push(Branch { system, timeline, parent: Some(from), ancestors, end });
        At { branch: self.branches.len() - 1, lsn: end }
    }

    /// Appends to a log; whoever is not at the end of its branch starts a branch of the same id.
    pub fn append(&mut self, at: At, bytes: u64) -> At {
        let at = if at.lsn < self.branch(at).end {
            let timeline = self.branch(at).timeline;
            self.fork(at, timeline)
        } else {
            at
        };
        let lsn = Lsn(at.lsn.0 + bytes);
        self.branches[at.branch].end = lsn;
        At { lsn, ..at }
    }

    /// Whether `log` has everything up to `what`.
    pub fn holds(&self, log: At, what: At) -> bool {
        let mut at = log;
        loop {
            if at.branch == what.branch {
                return what.lsn <= at.lsn;
            }
            match self.branch(at).parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// Where two logs part; `None` where they have nothing in common.
    pub fn common(&self, one: At, other: At) -> Option<Lsn> {
        let mut at = one;
        while !self.holds(other, At { branch: at.branch, lsn: Lsn::ZERO }) {
            at = self.branch(at).parent?;
        }
        // The other log has this branch up to some place.
        let mut up_to = other;
        while up_to.branch != at.branch {
            up_to = self.branch(up_to).parent?;
        }
        Some(at.lsn.min(up_to.lsn))
    }

    /// The place `lsn` on the timeline `timeline` of the path to `log`.
    pub fn place(&self, log: At, position: WalPosition) -> Option<At> {
        let mut at = log;
        while self.branch(at).timeline != position.timeline {
            at = self.branch(at).parent?;
        }
        let lsn = position.lsn.min(at.lsn);
        // What lies before the place where a timeline began is its parent's.
        while let Some(parent) = self.branch(at).parent.filter(|parent| lsn <= parent.lsn) {
            at = parent;
        }
        Some(At { branch: at.branch, lsn })
    }

    /// Another history of the same data that goes by the same timeline id.
    pub fn twin(&self, of: At) -> Option<usize> {
        let branch = self.branch(of);
        (0..self.branches.len()).find(|other| {
            let one = &self.branches[*other];
            *other != of.branch && one.system == branch.system && one.timeline == branch.timeline
        })
    }

    /// Whether a standby at `mine` is let stream from a server at `theirs`, by what PostgreSQL itself
    /// can see.
    pub fn may_stream(&self, mine: At, theirs: At) -> bool {
        let (own, other) = (self.branch(mine), self.branch(theirs));
        if own.system != other.system {
            return false;
        }
        if own.timeline == other.timeline {
            return mine.lsn <= theirs.lsn;
        }
        let left = other.ancestors.iter().find(|one| one.timeline == own.timeline);
        left.is_some_and(|left| mine.lsn <= left.ended_at)
    }
}
