//! Which of the voters should lead: by the recorded history first, then by how far they are.

use std::cmp::Reverse;

use crate::cluster::{Ballot, Lineage, Standing, Vote};
use crate::mutants::{Mutant, planted};
use crate::values::{MemberName, WalPosition};

/// The voters in order, with why the others do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings<'a> {
    /// Those who may lead, best first.
    pub fit: Vec<&'a Vote>,
    /// Those who may not, with why.
    pub unfit: Vec<(&'a MemberName, String)>,
    /// The record, with an intended promotion that some voter has witnessed taken as done.
    pub lineage: Lineage,
}

/// Puts the voters in order.
///
/// `published` is the last position the former holder told anybody; nobody who lacks more than
/// `lag_bytes_max` of it may lead.
pub fn rank<'a>(
    ballot: &'a Ballot,
    lineage: Lineage,
    published: Option<WalPosition>,
    lag_bytes_max: u64,
) -> Standings<'a> {
    let lineage = ballot
        .votes
        .iter()
        .fold(lineage, |lineage, vote| lineage.witnessed(vote.position.timeline, &vote.ancestors));
    let mut fit = Vec::new();
    let mut unfit = Vec::new();
    for vote in &ballot.votes {
        match epoch(&lineage, vote) {
            Err(why) => unfit.push((&vote.name, why)),
            Ok(_) if !vote.may_lead => unfit.push((&vote.name, "tagged nofailover".to_owned())),
            Ok(epoch) => {
                let missing = missing(&lineage, vote, published);
                if missing > lag_bytes_max {
                    unfit.push((&vote.name, format!("lacks {missing} bytes")));
                } else {
                    fit.push((epoch, vote));
                }
            }
        }
    }
    fit.sort_by_key(|(epoch, vote)| {
        let epoch = if planted(Mutant::LsnWithoutEpoch) { 0 } else { *epoch };
        (Reverse((epoch, vote.position.lsn, vote.priority)), vote.name.clone())
    });
    Standings { fit: fit.into_iter().map(|(_, vote)| vote).collect(), unfit, lineage }
}

/// How many bytes a voter lacks of what the former holder told. Its log past where the two parted makes up for
/// nothing.
fn missing(lineage: &Lineage, vote: &Vote, published: Option<WalPosition>) -> u64 {
    let Some(published) = published else { return 0 };
    let parted = lineage.parted_from(vote.position, &vote.ancestors, published.timeline);
    let parted = parted.filter(|_| !planted(Mutant::LsnWithoutEpoch));
    parted.unwrap_or(vote.position.lsn).bytes_behind(published.lsn)
}

/// The epoch of a vote on the recorded history; without a record, its timeline's number.
fn epoch(lineage: &Lineage, vote: &Vote) -> Result<u32, String> {
    if planted(Mutant::LsnWithoutEpoch) {
        return Ok(0);
    }
    match lineage.standing(vote.position) {
        Standing::OnPath { epoch } => Ok(epoch),
        Standing::NoRecord => Ok(vote.position.timeline.0),
        Standing::PastTheFork { forked_at } => {
            Err(format!("its log goes past the fork at {forked_at}"))
        }
        Standing::OffPath => {
            Err(format!("its timeline {} is not on the history", vote.position.timeline))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Promotion, PromotionState};
    use crate::values::{Lsn, Monotonic, Revision, Term, Timeline};

    fn vote(name: &str, timeline: u32, lsn: u64) -> Vote {
        Vote {
            name: name.into(),
            position: WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) },
            ancestors: Vec::new(),
            may_lead: true,
            priority: 1,
        }
    }

    fn ballot(votes: Vec<Vote>) -> Ballot {
        Ballot {
            term: Term(3),
            baton: Revision(1),
            word: None,
            counted_at: Monotonic::ZERO,
            round: 1,
            votes,
            refusals: Vec::new(),
            silent: Vec::new(),
        }
    }

    /// Timeline 2 left 1 at 100.
    fn lineage() -> Lineage {
        let promotion = |term, timeline, parent: Option<u32>, at| Promotion {
            term: Term(term),
            timeline: Timeline(timeline),
            parent: parent.map(Timeline),
            switched_at: Lsn(at),
            node: "a".into(),
            state: PromotionState::Done,
        };
        Lineage { promotions: vec![promotion(1, 1, None, 0), promotion(2, 2, Some(1), 100)] }
    }

    #[track_caller]
    fn check(votes: Vec<Vote>, published: u64, expected: &[&str]) {
        let published = WalPosition { timeline: Timeline(2), lsn: Lsn(published) };
        let ballot = ballot(votes);
        let standings = rank(&ballot, lineage(), Some(published), 50);
        let names: Vec<&str> = standings.fit.iter().map(|vote| vote.name.as_str()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_dead_branch_does_not_win_by_its_lsn() {
        check(vec![vote("b", 1, 900), vote("c", 2, 150)], 150, &["c"]);
    }

    #[test]
    fn a_newer_epoch_wins_then_the_lsn_then_the_priority_then_the_name() {
        check(vec![vote("b", 1, 100), vote("c", 2, 101)], 100, &["c", "b"]);
        check(vec![vote("b", 2, 150), vote("c", 2, 151)], 150, &["c", "b"]);
        let preferred = Vote { priority: 2, ..vote("c", 2, 150) };
        check(vec![vote("b", 2, 150), preferred], 150, &["c", "b"]);
        check(vec![vote("c", 2, 150), vote("b", 2, 150)], 150, &["b", "c"]);
    }

    #[test]
    fn who_lacks_too_much_or_may_not_lead_is_not_fit() {
        let tagged = Vote { may_lead: false, ..vote("d", 2, 500) };
        check(vec![vote("b", 2, 449), vote("c", 2, 450), tagged], 500, &["c"]);
    }

    /// `a` was promoted to 3 at 60, told so far as 120 there, and never recorded it.
    #[test]
    fn log_past_where_the_last_leader_left_makes_up_for_nothing() {
        let mut lineage = lineage();
        lineage.promotions.push(Promotion {
            term: Term(3),
            timeline: Timeline(3),
            parent: Some(Timeline(1)),
            switched_at: Lsn(60),
            node: "a".into(),
            state: PromotionState::Intended,
        });
        let published = WalPosition { timeline: Timeline(3), lsn: Lsn(120) };
        let ballot = ballot(vec![vote("b", 1, 100)]);
        let lacks = |allowed| rank(&ballot, lineage.clone(), Some(published), allowed).unfit;
        assert_eq!(lacks(59), [(&"b".into(), "lacks 60 bytes".to_owned())]);
        assert_eq!(lacks(60), []);
    }
}
