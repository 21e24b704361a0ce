//! Members differ by their names alone: of the states that are the same but for names, one is looked at.

use super::sync_state::{Agent, Branch, Leading, NODES, Names, Primary, Record, State};

/// Every way to rename the members: who takes whose place.
pub const RENAMINGS: [[usize; NODES]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn mask(of: u8, to: [usize; NODES]) -> u8 {
    (0..NODES).filter(|at| of & 1 << at != 0).fold(0, |renamed, at| renamed | 1 << to[at])
}

fn names(names: Names, to: [usize; NODES]) -> Names {
    match names {
        Names::Nobody | Names::Closed => names,
        Names::AnyOf(count, of) => Names::AnyOf(count, mask(of, to)),
    }
}

/// What stood at each place stands where it is renamed to.
pub fn moved<T: Clone>(all: &[T; NODES], to: [usize; NODES]) -> [T; NODES] {
    let mut moved = all.clone();
    for at in 0..NODES {
        moved[to[at]] = all[at].clone();
    }
    moved
}

impl State {
    /// The first of all states that differ from this one by names.
    pub fn under_its_first_names(self) -> State {
        let renamed = RENAMINGS.into_iter().skip(1).map(|to| self.renamed(to)).min();
        match renamed {
            Some(renamed) if renamed < self => renamed,
            _ => self,
        }
    }

    fn renamed(&self, to: [usize; NODES]) -> State {
        let primary = |one: &Option<Primary>| {
            one.as_ref().map(|one| {
                let mut before: Vec<Names> = one.before.iter().map(|one| names(*one, to)).collect();
                before.sort_unstable();
                Primary { told: names(one.told, to), before }
            })
        };
        let mut possible: Vec<Names> =
            self.agent.possible.iter().map(|one| names(*one, to)).collect();
        if let Some((_, before)) = possible.split_last_mut() {
            before.sort_unstable();
        }
        let branch = |one: &Branch| Branch { node: to[one.node], ..one.clone() };
        let open = self.record.open.map(|(need, of)| (need, mask(of, to)));
        State {
            logs: moved(&self.logs, to),
            timelines: moved(&self.timelines, to),
            up: moved(&self.up, to),
            follows: moved(&self.follows.map(|from| from.map(|from| to[from])), to),
            promised: moved(&self.promised, to),
            floor: moved(&self.floor, to),
            primaries: moved(&self.primaries.each_ref().map(primary), to),
            leading: match self.leading {
                Leading::Nobody => Leading::Nobody,
                Leading::By(at, phase) => Leading::By(
                    to[at],
                    match phase {
                        super::sync_state::Phase::Recorded(one) => {
                            super::sync_state::Phase::Recorded(names(one, to))
                        }
                        other => other,
                    },
                ),
            },
            record: Record {
                leader: to[self.record.leader],
                of: mask(self.record.of, to),
                open,
                ..self.record.clone()
            },
            agent: Agent { possible, ..self.agent.clone() },
            branches: self.branches.iter().map(branch).collect(),
            written: self.written,
            acknowledged: self.acknowledged.clone(),
            happened: self.happened.clone(),
            settings: self.settings,
            failures: self.failures,
        }
    }
}
