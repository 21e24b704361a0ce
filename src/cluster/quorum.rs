//! The arithmetic of synchronous replication: whom a commit waits for, who may tell what was
//! committed, and in which order the two may change.
//!
//! A commit is acknowledged by `k` members of `S`; a race listens to `r` members of `V`. Whoever is
//! the best of those `r` has every acknowledged commit as long as the two always meet:
//! `r + k >= |V u S| + 1`. Pure; how the two are written down is not known here.

use std::collections::BTreeSet;

use super::SyncState;
use crate::values::MemberName;

/// Whom a commit of the primary waits for (`synchronous_standby_names`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncNames {
    /// For nobody.
    Nobody,
    /// For somebody who never comes: nothing is acknowledged.
    Closed,
    /// For so many of these.
    AnyOf {
        /// How many; at least one, and not more than there are.
        count: usize,
        /// Which members.
        of: BTreeSet<MemberName>,
    },
}

/// Who tells what was acknowledged, when the leader itself is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voters {
    /// So many of them have to be heard.
    pub need: usize,
    /// Which members. Of none at all nothing can be heard: only the leader may lead on.
    pub of: BTreeSet<MemberName>,
}

/// The next step from what is so to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these voters down first.
    Record(Voters),
    /// Have commits wait for these.
    Set(SyncNames),
    /// Nothing before enough of them have everything that was acknowledged under earlier names.
    AwaitCaughtUp,
    /// All is as it is wanted.
    Settled,
}

impl SyncNames {
    /// So many of these; nobody where that comes to none.
    pub fn any_of(count: usize, of: BTreeSet<MemberName>) -> Self {
        match count.min(of.len()) {
            0 => SyncNames::Nobody,
            count => SyncNames::AnyOf { count, of },
        }
    }

    /// Those that are waited for.
    pub fn members(&self) -> impl Iterator<Item = &MemberName> {
        let of = match self {
            SyncNames::Nobody | SyncNames::Closed => None,
            SyncNames::AnyOf { of, .. } => Some(of),
        };
        of.into_iter().flatten()
    }

    /// What may acknowledge while the names change from one of these to another: whom a commit may wait
    /// for is in shared memory, put there by each walsender for itself; for how many, each goes by what
    /// it has read itself. So the smallest number goes with all members.
    pub fn mixed(names: &[SyncNames]) -> Self {
        let mut all = BTreeSet::new();
        let mut fewest = None;
        for one in names {
            match one {
                SyncNames::Nobody => return SyncNames::Nobody,
                SyncNames::Closed => {}
                SyncNames::AnyOf { count, of } => {
                    all.extend(of.iter().cloned());
                    fewest = Some(fewest.map_or(*count, |fewest: usize| fewest.min(*count)));
                }
            }
        }
        fewest.map_or(SyncNames::Closed, |count| SyncNames::AnyOf { count, of: all })
    }

    /// Whether every member that is named has to have a commit.
    fn takes_all(&self) -> bool {
        matches!(self, SyncNames::AnyOf { count, of } if *count == of.len())
    }
}

impl Voters {
    /// Nobody but the leader may lead on.
    pub fn leader_only() -> Self {
        Self { need: 1, of: BTreeSet::new() }
    }

    /// What a record says. Patroni's number leaves the candidate itself out.
    pub fn recorded(state: &SyncState) -> Self {
        Self { need: state.quorum as usize + 1, of: state.standbys.iter().cloned().collect() }
    }

    /// The record that says this.
    pub fn to_state(&self, leader: &MemberName) -> SyncState {
        let quorum = if self.of.is_empty() { 0 } else { self.need.saturating_sub(1) };
        SyncState {
            leader: Some(leader.clone()),
            standbys: self.of.iter().cloned().collect(),
            quorum: u32::try_from(quorum).unwrap_or(u32::MAX),
        }
    }

    /// The fewest that have to be heard once enough of `names` have everything.
    pub fn fewest_for(names: &SyncNames) -> Self {
        match names {
            SyncNames::Nobody | SyncNames::Closed => Self::leader_only(),
            SyncNames::AnyOf { count, of } => Self { need: of.len() + 1 - count, of: of.clone() },
        }
    }

    /// Voters that hear of what is acknowledged while the names change from one of these to another.
    ///
    /// Where all members of each are waited for, Patroni's agents read the record so that any one voter
    /// is enough; of voters that change, none is.
    fn between(names: &[SyncNames]) -> Self {
        if names.iter().all(SyncNames::takes_all) {
            return Self::leader_only();
        }
        Self::fewest_for(&SyncNames::mixed(names))
    }

    /// The rule: every acknowledgement under `names` is heard of by whoever hears enough voters.
    pub fn hears(&self, names: &SyncNames) -> bool {
        if self.of.is_empty() {
            return true;
        }
        match names {
            SyncNames::Nobody => false,
            SyncNames::Closed => true,
            SyncNames::AnyOf { count, of } => self.need + count > self.of.union(of).count(),
        }
    }
}

/// The next step. `possible` are all names that some process may go by, or under which something may have
/// been acknowledged that not enough members of those in force are known to have; the last of them are
/// those told last.
pub fn next_step(
    possible: &[SyncNames],
    recorded: &Voters,
    wanted: &SyncNames,
    caught_up: bool,
) -> Step {
    if possible.last() != Some(wanted) {
        let with: Vec<SyncNames> = possible.iter().chain([wanted]).cloned().collect();
        if recorded.hears(&SyncNames::mixed(&with)) {
            return Step::Set(wanted.clone());
        }
        return Step::Record(Voters::between(&with));
    }
    let fewest = Voters::fewest_for(wanted);
    if *wanted == SyncNames::Closed || *recorded == fewest {
        return Step::Settled;
    }
    if caught_up || fewest.of.is_empty() {
        return Step::Record(fewest);
    }
    Step::AwaitCaughtUp
}

/// The names under which something may have been acknowledged, by whoever finds `effective` in force and
/// does not know what was before. What the record then does not already leave to them is the leader's
/// alone until they have caught up.
///
/// # Errors
/// With the step that has to go first.
pub fn resumed(effective: &SyncNames, recorded: &Voters) -> Result<Vec<SyncNames>, Step> {
    if recorded.of.is_empty() || *recorded == Voters::fewest_for(effective) {
        return Ok(vec![effective.clone()]);
    }
    Err(Step::Record(Voters::leader_only()))
}

/// What `me` records before it is promoted, having every acknowledged commit, and whom its commits
/// then wait for. The leader before it has everything too, and becomes a voter in its place.
pub fn on_promotion(
    recorded: &Voters,
    leader: &MemberName,
    me: &MemberName,
) -> (Voters, SyncNames) {
    let mut voters = recorded.clone();
    if leader != me {
        voters.of.insert(leader.clone());
        voters.of.remove(me);
    }
    if recorded.of.is_empty() || voters.need > voters.of.len() {
        // Nobody else was ever waited for.
        voters = Voters::leader_only();
    }
    let count = (voters.of.len() + 1).saturating_sub(voters.need);
    let names = SyncNames::any_of(count, voters.of.clone());
    (voters, names)
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
