//! Who holds the seat, from what the store showed and what this node's own lease says.

use std::sync::Arc;

use crate::cluster::{BatonState, Cluster};
use crate::mutants::{Mutant, planted};
use crate::values::{Incarnation, LeaseDeadline, LeaseTimes, Monotonic, Revision, Term};

use super::view::{Seat, Vacancy};

/// The store as this node last saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What it held.
    pub cluster: Arc<Cluster>,
    /// When this node learned the baton's last change; counted anew from the first linearizable read
    /// after a gap, so that a holder that could not renew through an outage gets its chance.
    pub baton_learned_at: Monotonic,
    /// When the last linearizable read that was answered had been sent.
    pub read_at: Monotonic,
    /// The durations that were in force then: they say when the next read is due, and so how old this
    /// one may become. A `ttl` that is made shorter does not make a good read a bad one.
    pub read_under: LeaseTimes,
}

impl Sight {
    /// Whether the store was read lately enough for a decision to build on it.
    pub fn is_fresh(&self, now: Monotonic) -> bool {
        now.since(self.read_at) < self.read_under.proof_of_life
    }

    /// Until when what was read may be shown as the state of the cluster.
    pub fn shown_until(&self) -> Monotonic {
        self.read_at + self.read_under.ttl
    }
}

/// What this node's own lease says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseSight {
    /// The lease, while this agent holds one.
    pub held: Option<HeldLease>,
    /// The store holds nothing of the cluster any more.
    pub emptied: bool,
    /// Somebody else was found in this agent's place, at this revision.
    pub lost_at: Option<Revision>,
}

/// A lease this agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// Its term.
    pub term: Term,
    /// Until when.
    pub deadline: LeaseDeadline,
    /// Until when by the store alone; the deadline lies later while the members carry the lease.
    pub renewed: LeaseDeadline,
    /// From when on the members are asked if the store does not renew it.
    pub ask_from: Monotonic,
    /// The baton's revision.
    pub revision: Revision,
    /// The baton's revision when this agent began to hold it.
    pub since: Revision,
}

/// Who holds the seat now.
pub fn seat(
    sight: Option<&Sight>,
    lease: &LeaseSight,
    me: Incarnation,
    times: &LeaseTimes,
    now: Monotonic,
) -> Seat {
    if let Some(held) = lease.held {
        return Seat::Mine(held.deadline);
    }
    let unknown = if planted(Mutant::UnknownAsVacant) {
        Seat::Vacant(Vacancy::Silent)
    } else {
        Seat::Unknown
    };
    let Some(sight) = sight.filter(|sight| sight.is_fresh(now)) else {
        return unknown;
    };
    let Some(baton) = &sight.cluster.baton else {
        return Seat::Vacant(Vacancy::NeverHeld);
    };
    let changed_at = sight.baton_learned_at;
    let silent = now.since(changed_at) >= times.ttl.max(baton.value.ttl);
    // A silence is only as good as the read that shows it, and by a shorter ttl that one is old sooner.
    if silent
        && baton.value.state != BatonState::Released
        && now.since(sight.read_at) >= times.ttl / 2
    {
        return unknown;
    }
    match baton.value.state {
        BatonState::Released => Seat::Vacant(Vacancy::Released),
        BatonState::Offered if !silent && baton.value.incarnation == me => Seat::Offered,
        BatonState::Held | BatonState::Offered if silent => Seat::Vacant(Vacancy::Silent),
        BatonState::Held | BatonState::Offered => Seat::Held { changed_at },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::{Baton, Versioned};

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_boot(Duration::from_millis(millis))
    }

    fn sight(state: BatonState, learned_at: Monotonic, read_at: Monotonic) -> Sight {
        let baton = Baton {
            term: Term(3),
            incarnation: Incarnation(7),
            holder: "a".into(),
            sequence: 1,
            nonce: 1,
            position: None,
            ttl: std::time::Duration::ZERO,
            state,
        };
        let baton = Some(Versioned { value: baton, revision: Revision(9) });
        let cluster = Arc::new(Cluster { baton, ..Cluster::default() });
        let read_under = LeaseTimes::for_ttl(Duration::from_secs(5));
        Sight { cluster, baton_learned_at: learned_at, read_at, read_under }
    }

    #[track_caller]
    fn check(sight: Option<Sight>, me: u64, now: Monotonic, expected: Seat) {
        let times = LeaseTimes::for_ttl(Duration::from_secs(5));
        let found = seat(sight.as_ref(), &LeaseSight::default(), Incarnation(me), &times, now);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_store_that_was_not_read_lately_says_nothing() {
        check(None, 1, at(0), Seat::Unknown);
        let old = sight(BatonState::Released, at(0), at(0));
        check(Some(old), 1, at(2_500), Seat::Unknown);
    }

    #[test]
    fn a_read_does_not_age_by_a_ttl_that_was_made_shorter_since() {
        let read = sight(BatonState::Released, at(0), at(0));
        let shorter = LeaseTimes::for_ttl(Duration::from_secs(1));
        let found =
            |now| seat(Some(&read), &LeaseSight::default(), Incarnation(1), &shorter, at(now));
        assert_eq!(found(2_400), Seat::Vacant(Vacancy::Released));
        assert_eq!(found(2_500), Seat::Unknown);
    }

    #[test]
    fn by_a_shorter_ttl_an_old_read_shows_no_silence() {
        let shorter = LeaseTimes::for_ttl(Duration::from_secs(1));
        let found = |read, now| {
            let sight = sight(BatonState::Held, at(1_000), at(read));
            seat(Some(&sight), &LeaseSight::default(), Incarnation(1), &shorter, at(now))
        };
        assert_eq!(found(1_000, 1_999), Seat::Held { changed_at: at(1_000) });
        assert_eq!(found(1_000, 2_000), Seat::Unknown);
        assert_eq!(found(1_501, 2_000), Seat::Vacant(Vacancy::Silent));
    }

    #[test]
    fn a_holder_is_silent_after_a_whole_ttl_of_our_own_clock() {
        let held = |read| Some(sight(BatonState::Held, at(1_000), at(read)));
        check(held(5_900), 1, at(5_999), Seat::Held { changed_at: at(1_000) });
        check(held(5_900), 1, at(6_000), Seat::Vacant(Vacancy::Silent));
    }

    #[test]
    fn an_offer_is_for_one_start_of_one_agent() {
        let offered = || Some(sight(BatonState::Offered, at(1_000), at(1_000)));
        check(offered(), 7, at(1_100), Seat::Offered);
        check(offered(), 8, at(1_100), Seat::Held { changed_at: at(1_000) });
    }

    #[test]
    fn a_released_baton_is_free_at_once() {
        let released = Some(sight(BatonState::Released, at(1_000), at(1_000)));
        check(released, 1, at(1_001), Seat::Vacant(Vacancy::Released));
    }
}
