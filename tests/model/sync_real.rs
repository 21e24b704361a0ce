//! Between the model of the synchronous set and the product's own values.

use std::collections::BTreeSet;

use pgbaton::cluster::{Lineage, Promotion, PromotionState, SyncNames, SyncState, Voters};
use pgbaton::decide::SyncMemory;
use pgbaton::values::{Lsn, MemberName, Term, Timeline, WalPosition};

use super::sync_state::{Agent, Branch, Names, Record, State, name, names_of, node};

impl State {
    /// The recorded history.
    pub fn lineage(&self) -> Lineage {
        let promotion = |(index, one): (usize, &Branch)| Promotion {
            term: Term(index as u64 + 1),
            timeline: Timeline(index as u32 + 1),
            parent: one.parent.map(|parent| Timeline(u32::from(parent))),
            switched_at: Lsn(u64::from(one.at)),
            node: name(one.node),
            state: PromotionState::Done,
        };
        Lineage { promotions: self.branches.iter().enumerate().map(promotion).collect() }
    }

    /// Where a node's log ends.
    pub fn position(&self, at: usize) -> WalPosition {
        WalPosition { timeline: Timeline(u32::from(self.timelines[at])), lsn: self.end(at) }
    }

    /// The end of its log; the first commit ends at 2.
    pub fn end(&self, at: usize) -> Lsn {
        Lsn(self.logs[at].len() as u64 + 1)
    }
}

impl Record {
    /// As the race reads it.
    pub fn state(&self) -> SyncState {
        self.voters().to_state(&name(self.leader))
    }

    /// Who is heard.
    pub fn voters(&self) -> Voters {
        Voters { need: self.need.into(), of: names_of(self.of) }
    }

    /// What these are written down as.
    pub fn of(leader: usize, voters: &Voters) -> Self {
        let of = voters.of.iter().fold(0, |mask, one: &MemberName| mask | 1 << node(one));
        Self { leader, need: voters.need as u8, of, open: None }
    }
}

impl Names {
    /// As the product has them.
    pub fn real(self) -> SyncNames {
        match self {
            Names::Nobody => SyncNames::Nobody,
            Names::Closed => SyncNames::Closed,
            Names::AnyOf(count, of) => SyncNames::AnyOf { count: count.into(), of: names_of(of) },
        }
    }

    /// From the product's.
    pub fn of(names: &SyncNames) -> Self {
        match names {
            SyncNames::Nobody => Names::Nobody,
            SyncNames::Closed => Names::Closed,
            SyncNames::AnyOf { count, of } => {
                let of: &BTreeSet<MemberName> = of;
                Names::AnyOf(*count as u8, of.iter().fold(0, |mask, one| mask | 1 << node(one)))
            }
        }
    }
}

impl Agent {
    /// As the product has it.
    pub fn memory(&self) -> SyncMemory {
        SyncMemory {
            possible: self.possible.iter().map(|one| one.real()).collect(),
            in_force_at: self.in_force_at.map(|at| Lsn(at.into())),
            caught_up: self.caught_up,
            ..SyncMemory::default()
        }
    }

    /// What of it matters here.
    pub fn of(memory: &SyncMemory) -> Self {
        let mut possible: Vec<Names> = memory.possible.iter().map(Names::of).collect();
        // The order of all but the last says nothing.
        if let Some((_, before)) = possible.split_last_mut() {
            before.sort_unstable();
        }
        Self {
            possible,
            in_force_at: memory.in_force_at.map(|at| at.0 as u8),
            caught_up: memory.caught_up,
        }
    }
}
