//! The record of promotions: which timeline came from which, where, and in whose term. It decides
//! what a position is worth; the number of a timeline alone decides nothing.

use crate::values::{Lsn, MemberName, Term, Timeline, WalPosition};

/// One timeline's end as a server's own history file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The timeline that ended.
    pub timeline: Timeline,
    /// Where the next one left it.
    pub ended_at: Lsn,
}

/// How far a promotion came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotionState {
    /// Written down before the server was promoted; it may or may not have happened.
    Intended,
    /// The server reported the new timeline.
    Done,
}

/// One promotion, recorded before it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The leadership it belongs to.
    pub term: Term,
    /// The new timeline.
    pub timeline: Timeline,
    /// The timeline it leaves; `None` for the first one of the cluster.
    pub parent: Option<Timeline>,
    /// Where it leaves its parent. While intended: where the node stood.
    pub switched_at: Lsn,
    /// The node that was to be promoted.
    pub node: MemberName,
    /// How far it came.
    pub state: PromotionState,
}

/// All recorded promotions, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The record.
    pub promotions: Vec<Promotion>,
}

/// What a position is worth on the recorded history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On the path to the current timeline; a higher epoch is newer whatever the LSN.
    OnPath {
        /// The index of its timeline on that path.
        epoch: u32,
    },
    /// On a timeline of the path, but past the point where the path left it.
    PastTheFork {
        /// Where the path left the timeline.
        forked_at: Lsn,
    },
    /// On a timeline that is not on the path.
    OffPath,
    /// Nothing is recorded.
    NoRecord,
}

impl Lineage {
    /// The promotion that made the current timeline: the last one that is done.
    pub fn current(&self) -> Option<&Promotion> {
        self.promotions.iter().rev().find(|promotion| promotion.state == PromotionState::Done)
    }

    /// The promotion recorded last, done or not.
    pub fn latest(&self) -> Option<&Promotion> {
        self.promotions.last()
    }

    /// The timelines that lead to the current one, oldest first, with where each was left.
    fn path(&self) -> Vec<(Timeline, Option<Lsn>)> {
        let mut path = Vec::new();
        let mut next = self.current();
        let mut left_at = None;
        while let Some(promotion) = next {
            path.push((promotion.timeline, left_at));
            if path.len() > self.promotions.len() {
                break;
            }
            left_at = Some(promotion.switched_at);
            next = promotion.parent.and_then(|parent| {
                let done =
                    |one: &&Promotion| one.timeline == parent && one.state == PromotionState::Done;
                self.promotions.iter().rev().find(done)
            });
        }
        path.reverse();
        path
    }

    /// The finished timelines of the path, oldest first: which, where it was left, and by which
    /// promotion.
    pub fn finished(&self) -> Vec<(Timeline, Lsn, &Promotion)> {
        let path = self.path();
        let ends = path.iter().zip(path.iter().skip(1));
        ends.filter_map(|((timeline, left_at), (next, _))| {
            let done =
                |one: &&Promotion| one.timeline == *next && one.state == PromotionState::Done;
            let by = self.promotions.iter().rev().find(done)?;
            Some((*timeline, (*left_at)?, by))
        })
        .collect()
    }

    /// Whether a promotion to this timeline, or to a later one, is recorded: it is before it is done, so a
    /// record without it is an old one.
    pub fn knows(&self, timeline: Timeline) -> bool {
        self.promotions.iter().any(|promotion| promotion.timeline >= timeline)
    }

    /// Whether a timeline leads to the current one, or is it.
    pub fn is_on_its_way(&self, timeline: Timeline) -> bool {
        self.path().iter().any(|(known, _)| *known == timeline)
    }

    /// Whether the cluster's history is known to have gone on without this timeline.
    pub fn has_left_out(&self, timeline: Timeline) -> bool {
        self.knows(timeline) && !self.is_on_its_way(timeline)
    }

    /// What a position is worth.
    pub fn standing(&self, position: WalPosition) -> Standing {
        let path = self.path();
        if path.is_empty() {
            return Standing::NoRecord;
        }
        let Some(epoch) = path.iter().position(|(timeline, _)| *timeline == position.timeline)
        else {
            return Standing::OffPath;
        };
        match path[epoch].1 {
            Some(forked_at) if position.lsn > forked_at => Standing::PastTheFork { forked_at },
            _ => Standing::OnPath { epoch: epoch as u32 },
        }
    }

    /// Where a history of somebody's own left the recorded one; `None` where they never meet.
    pub fn left_at(&self, end: WalPosition, ancestors: &[Ancestor]) -> Option<Lsn> {
        let path = self.path();
        let own = ancestors.iter().map(|one| (one.timeline, one.ended_at));
        own.chain([(end.timeline, end.lsn)]).rev().find_map(|(timeline, ended_at)| {
            let (_, left_at) = path.iter().find(|(known, _)| *known == timeline)?;
            Some(left_at.map_or(ended_at, |left_at| left_at.min(ended_at)))
        })
    }

    /// The record with the intended promotion of `timeline` taken as done, because somebody was seen
    /// on that timeline. Only the latest intent can have been followed: a later one burns the others.
    pub fn witnessed(self, timeline: Timeline, ancestors: &[Ancestor]) -> Self {
        if self.latest().is_none_or(|latest| latest.timeline != timeline) {
            return self;
        }
        self.taken_up(timeline, ancestors).unwrap_or(self)
    }

    /// The same although others were intended after it: their ids stay burnt. `None` where one of those was
    /// done: then the history goes by that one.
    pub fn taken_up(&self, timeline: Timeline, ancestors: &[Ancestor]) -> Option<Self> {
        let lineage = self.with_parent(timeline, ancestors)?;
        let leads_there = lineage.current().is_some_and(|current| current.timeline == timeline);
        leads_there.then_some(lineage)
    }

    /// The same whatever was intended or done after it, so that a promotion from there has its parent in the
    /// record: a person's word may go back to it. `None` where nothing of the kind is intended, or where the
    /// history that leads there is another one.
    pub fn with_parent(&self, timeline: Timeline, ancestors: &[Ancestor]) -> Option<Self> {
        let parent = ancestors.last()?;
        let is_done =
            |one: &&Promotion| one.timeline == parent.timeline && one.state == PromotionState::Done;
        // A record that begins with a standby's promotion does not tell where that came from.
        if self.current().is_some() {
            self.promotions.iter().find(is_done)?;
        }
        let mut lineage = self.clone();
        let undone = lineage.promotions.iter_mut().rev().find(|one| {
            one.timeline == timeline
                && one.state == PromotionState::Intended
                && one.parent == Some(parent.timeline)
        })?;
        undone.state = PromotionState::Done;
        undone.switched_at = parent.ended_at;
        Some(lineage)
    }

    /// Where a history of somebody's own parted from that of `other`, a timeline that is not part of it, by the
    /// promotions that are recorded, intended ones among them; `None` where that is not recorded.
    pub fn parted_from(
        &self,
        end: WalPosition,
        ancestors: &[Ancestor],
        other: Timeline,
    ) -> Option<Lsn> {
        let own = |timeline: Timeline| match ancestors.iter().find(|one| one.timeline == timeline) {
            Some(ancestor) => Some(ancestor.ended_at),
            None => (end.timeline == timeline).then_some(end.lsn),
        };
        let mut timeline = other;
        let mut left_at = None;
        // Each timeline comes from an earlier one; a record that says otherwise ends nowhere.
        for _ in 0..=self.promotions.len() {
            if let Some(ended_at) = own(timeline) {
                return left_at.map(|left_at| ended_at.min(left_at));
            }
            let made = self.promotions.iter().rev().find(|one| one.timeline == timeline)?;
            timeline = made.parent?;
            left_at = Some(left_at.map_or(made.switched_at, |at: Lsn| at.min(made.switched_at)));
        }
        None
    }

    /// Whether a promotion to this timeline was recorded as intended, and never as done, while others were.
    pub fn is_burnt(&self, timeline: Timeline) -> bool {
        let is = |state| {
            self.promotions.iter().any(|one| one.timeline == timeline && one.state == state)
        };
        is(PromotionState::Intended) && !is(PromotionState::Done) && self.current().is_some()
    }

    /// The ids between `parent` and the next promotion's: none of them may be used again.
    pub fn burnt_after(&self, parent: Timeline) -> Vec<Timeline> {
        (parent.0 + 1..self.next_timeline(parent).0).map(Timeline).collect()
    }

    /// The id that the next promotion from `parent` is to get.
    pub fn next_timeline(&self, parent: Timeline) -> Timeline {
        self.promotions
            .iter()
            .map(|promotion| promotion.timeline)
            .fold(parent, Timeline::max)
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromotionState::{Done, Intended};

    fn promotion(
        term: u64,
        timeline: u32,
        from: Option<(u32, u64)>,
        state: PromotionState,
    ) -> Promotion {
        Promotion {
            term: Term(term),
            timeline: Timeline(timeline),
            parent: from.map(|(parent, _)| Timeline(parent)),
            switched_at: Lsn(from.map_or(0, |(_, lsn)| lsn)),
            node: "a".into(),
            state,
        }
    }

    fn at(timeline: u32, lsn: u64) -> WalPosition {
        WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    /// Timeline 2 was intended and burnt; 3 left 1 at 100.
    fn with_a_burnt_id() -> Lineage {
        Lineage {
            promotions: vec![
                promotion(1, 1, None, Done),
                promotion(2, 2, Some((1, 90)), Intended),
                promotion(3, 3, Some((1, 100)), Done),
            ],
        }
    }

    #[test]
    fn a_newer_epoch_is_worth_more_than_a_larger_lsn() {
        let lineage = with_a_burnt_id();
        assert_eq!(lineage.standing(at(3, 101)), Standing::OnPath { epoch: 1 });
        assert_eq!(lineage.standing(at(1, 100)), Standing::OnPath { epoch: 0 });
    }

    #[test]
    fn past_the_fork_and_off_the_path_are_worth_nothing() {
        let lineage = with_a_burnt_id();
        assert_eq!(lineage.standing(at(1, 101)), Standing::PastTheFork { forked_at: Lsn(100) });
        assert_eq!(lineage.standing(at(2, 500)), Standing::OffPath);
        assert_eq!(Lineage::default().standing(at(1, 1)), Standing::NoRecord);
    }

    #[test]
    fn a_burnt_id_is_not_used_again() {
        let mut lineage = with_a_burnt_id();
        lineage.promotions.push(promotion(4, 4, Some((3, 200)), Intended));
        assert_eq!(lineage.next_timeline(Timeline(3)), Timeline(5));
        assert_eq!(lineage.burnt_after(Timeline(3)), [Timeline(4)]);
        assert_eq!(lineage.burnt_after(Timeline(1)), [2, 3, 4].map(Timeline));
    }

    #[test]
    fn where_a_history_left_is_found_by_its_newest_timeline_that_is_known() {
        let lineage = with_a_burnt_id();
        assert_eq!(lineage.left_at(at(1, 140), &[]), Some(Lsn(100)));
        let own = [Ancestor { timeline: Timeline(1), ended_at: Lsn(90) }];
        assert_eq!(lineage.left_at(at(2, 500), &own), Some(Lsn(90)));
        assert_eq!(lineage.left_at(at(7, 500), &[]), None);
    }

    #[test]
    fn an_intent_that_somebody_followed_was_done() {
        let mut lineage = with_a_burnt_id();
        lineage.promotions.push(promotion(4, 4, Some((3, 200)), Intended));
        let seen = [
            Ancestor { timeline: Timeline(1), ended_at: Lsn(100) },
            Ancestor { timeline: Timeline(3), ended_at: Lsn(208) },
        ];
        let lineage = lineage.witnessed(Timeline(4), &seen);
        assert_eq!(lineage.standing(at(4, 300)), Standing::OnPath { epoch: 2 });
        assert_eq!(lineage.standing(at(3, 209)), Standing::PastTheFork { forked_at: Lsn(208) });
    }

    #[test]
    fn an_intent_that_later_ones_followed_is_taken_up_while_none_of_them_was_done() {
        let mut lineage = with_a_burnt_id();
        lineage.promotions.push(promotion(4, 4, Some((3, 200)), Intended));
        lineage.promotions.push(promotion(5, 5, Some((3, 220)), Intended));
        let left_at =
            |timeline, lsn| [Ancestor { timeline: Timeline(timeline), ended_at: Lsn(lsn) }];
        assert_eq!(
            lineage.clone().witnessed(Timeline(4), &left_at(3, 208)),
            lineage,
            "not by itself"
        );
        let taken_up =
            lineage.taken_up(Timeline(4), &left_at(3, 208)).expect("nothing later was done");
        assert_eq!(taken_up.standing(at(4, 300)), Standing::OnPath { epoch: 2 });
        assert_eq!(taken_up.standing(at(3, 220)), Standing::PastTheFork { forked_at: Lsn(208) });
        assert_eq!(taken_up.standing(at(5, 230)), Standing::OffPath);
        assert_eq!(taken_up.next_timeline(Timeline(4)), Timeline(6), "5 stays burnt");
        assert_eq!(lineage.taken_up(Timeline(4), &left_at(1, 100)), None, "another parent");
        assert_eq!(lineage.taken_up(Timeline(2), &left_at(1, 90)), None, "3 was done after it");
        let parent = lineage.with_parent(Timeline(2), &left_at(1, 90)).expect("it is intended");
        assert_eq!(parent.current().map(|one| one.timeline), Some(Timeline(3)));
        assert_eq!(lineage.taken_up(Timeline(9), &left_at(3, 208)), None, "never recorded");
        assert!(lineage.is_burnt(Timeline(4)) && !lineage.is_burnt(Timeline(3)));
        assert!(!lineage.is_burnt(Timeline(9)));
    }

    /// As after the store was emptied, or where a stopped cluster was taken over.
    #[test]
    fn a_record_may_begin_with_a_standbys_promotion() {
        let lineage = Lineage { promotions: vec![promotion(7, 6, Some((5, 500)), Intended)] };
        assert!(!lineage.is_burnt(Timeline(6)));
        let seen = [Ancestor { timeline: Timeline(5), ended_at: Lsn(508) }];
        let lineage = lineage.witnessed(Timeline(6), &seen);
        assert_eq!(lineage.standing(at(6, 600)), Standing::OnPath { epoch: 0 });
    }

    #[test]
    fn two_histories_part_where_the_first_of_them_left() {
        let mut lineage = with_a_burnt_id();
        lineage.promotions.push(promotion(4, 4, Some((3, 200)), Intended));
        lineage.promotions.push(promotion(5, 5, Some((3, 150)), Intended));
        let from_3 = |lsn| [Ancestor { timeline: Timeline(3), ended_at: Lsn(lsn) }];
        let parted = |end, own: &[Ancestor], other| lineage.parted_from(end, own, Timeline(other));
        assert_eq!(parted(at(4, 900), &from_3(208), 5), Some(Lsn(150)), "5 left it earlier");
        assert_eq!(parted(at(5, 900), &from_3(150), 4), Some(Lsn(150)), "5 is shorter");
        assert_eq!(parted(at(3, 120), &[], 5), Some(Lsn(120)), "it ends before");
        assert_eq!(parted(at(1, 140), &[], 5), Some(Lsn(100)), "3 left 1 there");
        assert_eq!(parted(at(4, 900), &from_3(208), 3), None, "3 is part of it");
        assert_eq!(parted(at(4, 900), &from_3(208), 9), None, "nobody knows of 9");
    }
}
