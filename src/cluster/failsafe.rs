//! What stands in for the store while it is away: the listed members, and how many of them have to
//! carry a primary's lease, or not to, before somebody else may take it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::values::{Incarnation, MemberName, Term};

/// The listed members with the addresses of their agents, as Patroni's `failsafe` key has them.
pub type Listed = BTreeMap<MemberName, String>;

/// A primary's question while the store is away: "do you still take me for the leader?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailsafeAsk {
    /// Who asks.
    pub name: MemberName,
    /// Where its server is.
    pub conn_url: String,
    /// Where its agent is.
    pub api_url: String,
    /// The term of its lease and the start of its agent; an agent of Patroni's kind tells none.
    pub lease: Option<(Term, Incarnation)>,
    /// For how long an acceptance has to be kept, at the least.
    pub ttl: Duration,
}

/// Why a member did not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// `failsafe_mode` is off here.
    SwitchedOff,
    /// The member leads itself.
    Leads,
    /// It must not; the text says why.
    MustNot(String),
}

/// How many of `listed` members, itself included, have to accept a primary. One that is gone does not
/// count against it from three on, unless every member is `asked_of_all`: an agent of Patroni's kind
/// takes over alone.
pub const fn acceptances_needed(listed: usize, asked_of_all: bool) -> usize {
    if asked_of_all || listed < 3 { listed } else { listed - 1 }
}

/// How many of `listed` members have to be known not to carry the holder before another may take over:
/// so many that together with those who could be carrying it they would be too many.
pub const fn strangers_needed(listed: usize) -> usize {
    if listed < 3 { 1 } else { 2 }
}

/// How many of this list have accepted.
pub fn accepting(listed: &Listed, accepted: &BTreeSet<MemberName>) -> usize {
    listed.keys().filter(|name| accepted.contains(*name)).count()
}

/// How many of this list are among those who do not carry the holder, and how many it takes.
pub fn strangers<'a>(
    listed: &Listed,
    known: impl IntoIterator<Item = &'a MemberName>,
) -> (usize, usize) {
    let known: BTreeSet<&MemberName> = known.into_iter().collect();
    let found = listed.keys().filter(|name| known.contains(name)).count();
    (found, strangers_needed(listed.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_carries_and_who_takes_over_always_share_a_member() {
        for listed in 1..=9 {
            let needed = acceptances_needed(listed, false);
            assert!(needed + strangers_needed(listed) > listed, "{listed} listed");
            assert!(acceptances_needed(listed, true) >= needed, "{listed} listed");
        }
    }

    #[test]
    fn from_three_on_one_may_be_gone() {
        let needed: Vec<usize> = (1..=5).map(|listed| acceptances_needed(listed, false)).collect();
        assert_eq!(needed, [1, 2, 2, 3, 4]);
        let all: Vec<usize> = (1..=5).map(|listed| acceptances_needed(listed, true)).collect();
        assert_eq!(all, [1, 2, 3, 4, 5]);
    }

    fn names(names: &[&str]) -> BTreeSet<MemberName> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn listed(all: &[&str]) -> Listed {
        all.iter().map(|name| ((*name).into(), format!("http://{name}:8008/patroni"))).collect()
    }

    #[test]
    fn only_listed_members_count() {
        let three = listed(&["a", "b", "c"]);
        assert_eq!(accepting(&three, &names(&["a", "c"])), 2);
        assert_eq!(accepting(&three, &names(&["a", "d"])), 1);
        assert_eq!(accepting(&listed(&[]), &names(&["a"])), 0);
        assert_eq!(strangers(&three, &names(&["b", "d"])), (1, 2));
        assert_eq!(strangers(&listed(&["a"]), &names(&["b"])), (0, 1));
    }
}
