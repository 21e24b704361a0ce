//! Which lists may be in force, and until when the lease is carried by one. Both change under one
//! lock: a list must not be written while a lease rests on another one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::{Listed, Versioned, acceptances_needed, accepting};
use crate::mutants::{Mutant, planted};
use crate::values::{LeaseDeadline, MemberName, Revision};

/// The lists. Cheap to clone; held for a few instructions only.
#[derive(Clone, Debug, Default)]
pub struct FailsafeLists(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Writes that were sent: over which revision, and what; `None` removes the list.
    sent: Vec<(Revision, Option<Listed>)>,
    until: Option<LeaseDeadline>,
    by: Vec<MemberName>,
}

impl FailsafeLists {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new list is about to be written over the one at `read_at`. Refused while the lease rests on
    /// acceptances: who takes over counts by the new list, and these were counted by the old one.
    pub fn may_be_written(
        &self,
        read_at: Revision,
        list: Option<&Listed>,
        renewed: LeaseDeadline,
    ) -> bool {
        let mut inner = self.lock();
        if inner.until.is_some_and(|until| until > renewed) {
            return false;
        }
        let sent = (read_at, list.cloned());
        if !inner.sent.contains(&sent) {
            inner.sent.push(sent);
        }
        true
    }

    /// The lists that may be in the store right now, `shown` being what it last showed: an unanswered
    /// write may have been applied. `None` when it may hold no list.
    pub fn in_force(&self, shown: Option<&Versioned<Listed>>) -> Option<Vec<Listed>> {
        self.lock().in_force(shown)
    }

    /// Whether these acceptances carry the lease by every list that may be in force; if so, it is
    /// carried until then.
    pub fn count(
        &self,
        shown: Option<&Versioned<Listed>>,
        accepted: &BTreeSet<MemberName>,
        asked_of_all: bool,
        until: LeaseDeadline,
    ) -> bool {
        let mut inner = self.lock();
        let Some(lists) = inner.in_force(shown) else { return false };
        if !lists.iter().all(|list| is_carried(list, accepted, asked_of_all)) {
            return false;
        }
        if inner.until < Some(until) {
            inner.until = Some(until);
        }
        inner.by = accepted.iter().cloned().collect();
        true
    }

    /// Who accepted in the last round that was enough.
    pub fn carried_by(&self) -> Vec<MemberName> {
        self.lock().by.clone()
    }
}

impl Inner {
    fn in_force(&mut self, shown: Option<&Versioned<Listed>>) -> Option<Vec<Listed>> {
        let shown = shown?;
        // What was sent over another revision was applied by now, and is shown, or never will be.
        self.sent.retain(|(over, _)| *over >= shown.revision);
        let mut lists = vec![shown.value.clone()];
        for (over, list) in &self.sent {
            if *over == shown.revision {
                lists.push(list.clone()?);
            }
        }
        Some(lists)
    }
}

/// Whether `accepted` is enough of this list.
fn is_carried(listed: &Listed, accepted: &BTreeSet<MemberName>, asked_of_all: bool) -> bool {
    let needed = acceptances_needed(listed.len(), asked_of_all);
    let too_few = planted(Mutant::OneAcceptanceTooFew);
    let needed = if too_few { needed.saturating_sub(1).max(1) } else { needed };
    let accepting = accepting(listed, accepted);
    accepting > 0 && accepting >= needed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::values::Monotonic;

    fn at(seconds: u64) -> LeaseDeadline {
        LeaseDeadline::at(Monotonic::from_boot(Duration::from_secs(seconds)))
    }

    fn listed(names: &[&str]) -> Listed {
        names.iter().map(|name| ((*name).into(), String::new())).collect()
    }

    fn shown(names: &[&str], revision: i64) -> Versioned<Listed> {
        Versioned { value: listed(names), revision: Revision(revision) }
    }

    fn names(names: &[&str]) -> BTreeSet<MemberName> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn a_list_that_may_have_been_written_counts_too() {
        let lists = FailsafeLists::default();
        let old = shown(&["a", "b", "c"], 5);
        assert!(lists.count(Some(&old), &names(&["a", "b"]), false, at(10)));
        assert!(lists.may_be_written(Revision(5), Some(&listed(&["a", "c"])), at(10)));
        assert!(!lists.count(Some(&old), &names(&["a", "b"]), false, at(11)));
        assert!(lists.count(Some(&old), &names(&["a", "c"]), false, at(11)));
        let new = shown(&["a", "b", "c", "d"], 7);
        assert!(lists.count(Some(&new), &names(&["a", "b", "d"]), false, at(12)));
        assert_eq!(lists.carried_by().len(), 3);
    }

    #[test]
    fn no_list_is_written_while_a_lease_rests_on_another() {
        let lists = FailsafeLists::default();
        let old = shown(&["a", "b", "c"], 5);
        assert!(lists.count(Some(&old), &names(&["a", "b"]), false, at(10)));
        assert!(!lists.may_be_written(Revision(5), Some(&listed(&["a", "c"])), at(9)));
        assert!(lists.count(Some(&old), &names(&["a", "b"]), false, at(11)));
    }

    #[test]
    fn a_list_that_may_have_been_removed_carries_nobody() {
        let lists = FailsafeLists::default();
        let old = shown(&["a"], 5);
        assert!(lists.may_be_written(Revision(5), None, at(1)));
        assert!(!lists.count(Some(&old), &names(&["a"]), false, at(10)));
        assert!(!lists.count(None, &names(&["a"]), false, at(10)));
    }
}
