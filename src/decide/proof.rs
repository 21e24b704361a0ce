//! In synchronous mode: which of the voters are proven to have every acknowledged commit.

use std::cmp::Reverse;

use crate::cluster::{Ballot, Lineage, MemberState, Standing, SyncState, Vote, Voters};
use crate::mutants::{Mutant, planted};
use crate::values::{Lsn, MemberName};

use super::candidates::Standings;
use super::view::View;

/// The record of who may be promoted, while synchronous replication is managed.
pub fn record(view: &View) -> Option<SyncState> {
    let state = view.cluster.as_ref()?.sync.as_ref()?.value.clone();
    state.leader.is_some().then_some(state)
}

/// Whether a race without this node could prove who has every acknowledged commit: enough of the
/// synchronous standbys are there. Who lacks some of them, and may lead, gets them from who has them.
pub fn is_possible_without_me(view: &View) -> bool {
    let Some(state) = record(view) else { return true };
    let voters = Voters::recorded(&state);
    let cluster = view.cluster();
    let may_vote = |name: &MemberName| {
        cluster
            .members
            .get(name)
            .is_some_and(|member| member.state == MemberState::Running && member.unfit().is_none())
    };
    let there = voters.of.iter().filter(|name| **name != view.me.name && may_vote(name)).count();
    there >= voters.need && !voters.of.is_empty()
}

/// The voter that has every acknowledged commit, where this node may lead and lacks some of them.
pub fn ahead_of_me<'a>(
    view: &View,
    ballot: &'a Ballot,
    standings: &Standings<'_>,
) -> Option<&'a Vote> {
    let mine = standings.fit.iter().find(|vote| vote.name == view.me.name)?;
    ahead_of(view, ballot, &standings.lineage, &mine.name)
}

/// The voter that has every acknowledged commit, where this one lacks some of them.
pub fn ahead_of<'a>(
    view: &View,
    ballot: &'a Ballot,
    lineage: &Lineage,
    name: &MemberName,
) -> Option<&'a Vote> {
    let state = record(view)?;
    let (place, who) = least(&state, ballot, lineage).ok()?;
    let vote = |name: &MemberName| ballot.votes.iter().find(|vote| vote.name == *name);
    vote(who).filter(|_| vote(name).is_some_and(|vote| place_of(lineage, vote) < Some(place)))
}

/// Strikes out whoever may lack an acknowledged commit, with why.
pub fn only_proven<'a>(view: &View, ballot: &'a Ballot, standings: Standings<'a>) -> Standings<'a> {
    match record(view) {
        Some(state) => proven(&state, ballot, standings),
        None => standings,
    }
}

/// The same, by this record.
pub fn proven<'a>(
    state: &SyncState,
    ballot: &'a Ballot,
    standings: Standings<'a>,
) -> Standings<'a> {
    if planted(Mutant::SyncRecordIgnored) {
        return standings;
    }
    let Standings { fit, mut unfit, lineage } = standings;
    let least = least(state, ballot, &lineage);
    let mut proven = Vec::new();
    for vote in fit {
        match &least {
            Err(why) => unfit.push((&vote.name, format!("may lack acknowledged commits: {why}"))),
            Ok((place, who)) if place_of(&lineage, vote) < Some(*place) => {
                let why = format!("may lack acknowledged commits: {who} goes further");
                unfit.push((&vote.name, why));
            }
            Ok(_) => proven.push(vote),
        }
    }
    // Of those that are as far and as much preferred, who was waited for: that is whom people expect.
    let was_waited_for = |vote: &Vote| state.standbys.contains(&vote.name);
    proven.sort_by_key(|vote| {
        (Reverse((place_of(&lineage, vote), vote.priority)), !was_waited_for(vote))
    });
    Standings { fit: proven, unfit, lineage }
}

/// How far a candidate has to be, as the voters tell, and who tells it: the former leader itself, which
/// has all, or else the best of enough synchronous standbys.
fn least<'a>(
    state: &SyncState,
    ballot: &'a Ballot,
    lineage: &Lineage,
) -> Result<((u32, Lsn), &'a MemberName), String> {
    let voters = Voters::recorded(state);
    let placed = |vote: &'a Vote| Some((place_of(lineage, vote)?, &vote.name));
    let leader = ballot.votes.iter().find(|vote| Some(&vote.name) == state.leader.as_ref());
    if let Some(found) = leader.and_then(placed) {
        return Ok(found);
    }
    let heard: Vec<_> = ballot
        .votes
        .iter()
        .filter(|vote| voters.of.contains(&vote.name))
        .filter_map(placed)
        .collect();
    let leader = state.leader.as_ref().map_or("", MemberName::as_str);
    if voters.of.is_empty() {
        return Err(format!("only the last leader {leader} has them for certain"));
    }
    let need = match voters.need {
        need if planted(Mutant::SyncVotesTooFew) => need - 1,
        _ if planted(Mutant::SyncVotesOfAll) => voters.of.len(),
        need => need,
    };
    if heard.len() < need {
        let names: Vec<&str> = voters.of.iter().map(MemberName::as_str).collect();
        return Err(format!(
            "{} of {} had to answer, {} did, and the last leader {leader} did not",
            voters.need,
            names.join(", "),
            heard.len()
        ));
    }
    heard.into_iter().max().ok_or_else(|| "no synchronous standby answered".to_owned())
}

/// Where a vote stands on the recorded history; nowhere for one that went another way.
fn place_of(lineage: &Lineage, vote: &Vote) -> Option<(u32, Lsn)> {
    match lineage.standing(vote.position) {
        Standing::OnPath { epoch } => Some((epoch, vote.position.lsn)),
        Standing::NoRecord => Some((vote.position.timeline.0, vote.position.lsn)),
        Standing::PastTheFork { .. } | Standing::OffPath => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Monotonic, Revision, Term, Timeline, WalPosition};

    fn ballot(votes: &[(&str, u64)]) -> Ballot {
        let vote = |(name, lsn): &(&str, u64)| Vote {
            name: (*name).into(),
            position: WalPosition { timeline: Timeline(1), lsn: Lsn(*lsn) },
            ancestors: Vec::new(),
            may_lead: true,
            priority: 1,
        };
        Ballot {
            term: Term(3),
            baton: Revision(1),
            word: None,
            counted_at: Monotonic::ZERO,
            round: 1,
            votes: votes.iter().map(vote).collect(),
            refusals: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn state(need: u32, of: &[&str]) -> SyncState {
        let standbys = of.iter().map(|name| (*name).into()).collect();
        SyncState { leader: Some("a".into()), standbys, quorum: need - 1 }
    }

    #[track_caller]
    fn check(state: &SyncState, votes: &[(&str, u64)], expected: Result<(u64, &str), &str>) {
        let ballot = ballot(votes);
        let found = least(state, &ballot, &Lineage::default());
        match (found, expected) {
            (Ok(((_, lsn), who)), Ok((at, name))) => assert_eq!((lsn.0, who.as_str()), (at, name)),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, expected) => panic!("{found:?}, and not {expected:?}"),
        }
    }

    #[test]
    fn the_best_of_enough_voters_tells_what_was_acknowledged() {
        check(&state(2, &["b", "c"]), &[("b", 90), ("c", 100)], Ok((100, "c")));
        check(&state(1, &["b"]), &[("b", 90), ("c", 100)], Ok((90, "b")));
    }

    #[test]
    fn too_few_voters_tell_nothing() {
        check(&state(2, &["b", "c"]), &[("b", 90), ("d", 100)], Err("2 of b, c had to answer, 1"));
    }

    #[test]
    fn the_last_leader_knows_all_it_acknowledged() {
        check(&state(2, &["b", "c"]), &[("a", 95), ("b", 90)], Ok((95, "a")));
        check(&state(1, &[]), &[("a", 95), ("b", 99)], Ok((95, "a")));
    }

    #[test]
    fn where_nobody_was_waited_for_only_the_leader_may_lead_on() {
        check(&state(1, &[]), &[("b", 90), ("c", 90)], Err("only the last leader a"));
    }
}
