//! Those that are on a timeline which was intended and never recorded as done, and after which others were
//! intended: leaders that died one after the other before they could record their promotion.
//!
//! Such a branch is burnt: whoever is on it goes by what it has in common with the recorded history. Where nobody
//! else may lead, and that much is enough, the branch is taken up: its promotion counts as done, and those intended
//! after it stay burnt. What only it has was acknowledged by nobody that the proof, or the bound on the lag,
//! asks for; it does no harm.

use std::cmp::Reverse;

use crate::cluster::{Ballot, Lineage, Vote};
use crate::mutants::{Mutant, planted};
use crate::values::{Lsn, WalPosition};

use super::candidates::{Standings, rank};
use super::proof;
use super::view::View;

/// Takes a branch up where somebody on it is fit then. To be asked only where nobody is without it.
pub fn take_up<'a>(
    view: &View,
    ballot: &'a Ballot,
    standings: Standings<'a>,
    published: Option<WalPosition>,
    lag_bytes_max: u64,
) -> Standings<'a> {
    if planted(Mutant::BurntBranchLeft) {
        return standings;
    }
    // The latest one first: every voter that counts the same votes takes up the same one.
    let mut votes: Vec<&Vote> = ballot.votes.iter().collect();
    votes.sort_by_key(|vote| Reverse(vote.position.timeline));
    let taken_up = votes.into_iter().find_map(|vote| {
        let lineage = standings.lineage.taken_up(vote.position.timeline, &vote.ancestors)?;
        // Up to where it is on the history without its branch.
        let in_common = standings.lineage.left_at(vote.position, &vote.ancestors)?;
        let told = published.map_or(Lsn::ZERO, |published| published.lsn);
        if in_common.bytes_behind(told) > lag_bytes_max {
            return None;
        }
        let ranked = rank(ballot, lineage, published, lag_bytes_max);
        let ranked = proof::only_proven(view, ballot, ranked);
        let is_on_it = |fit: &&Vote| fit.position.timeline == vote.position.timeline;
        ranked.fit.first().is_some_and(is_on_it).then_some(ranked)
    });
    taken_up.unwrap_or(standings)
}

/// The record from which this voter can be promoted, whatever else was promoted meanwhile: its timeline is
/// done there, or was intended and is taken as done. `None` where it is not on a record that tells of any.
pub fn record_of(lineage: &Lineage, vote: &Vote) -> Option<Lineage> {
    let timeline = vote.position.timeline;
    let is_known = lineage.promotions.iter().any(|one| one.timeline == timeline);
    let fits = lineage.current().is_none() || is_known && !lineage.is_burnt(timeline);
    let as_it_is = || fits.then(|| lineage.clone());
    lineage.with_parent(timeline, &vote.ancestors).or_else(as_it_is)
}
