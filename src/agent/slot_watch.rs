//! Says when a replication slot keeps much log, or has lost what it needs: once, and again only after
//! it was well in between. And which logical slots would go on here after a failover.

use std::collections::BTreeSet;

use crate::cluster::{PrimaryFacts, Slot, SlotLog, State};
use crate::decide::{View, carried_along, missed_slots};
use crate::values::Lsn;

/// What was said of which slot.
#[derive(Debug, Default)]
pub(super) struct SlotWatch {
    complaints: BTreeSet<(String, &'static str)>,
    carried: BTreeSet<String>,
}

const LOST: &str = "the log that it needs is gone: its consumer has to begin anew";
const UNRESERVED: &str = "the log that it needs goes with the next checkpoint";
const MISSED: &str = "it is gone (with an earlier leader, or dropped), and not made anew, for its consumer would miss changes \
     without a word: bring the consumer up to date, then make the slot (pg_create_logical_replication_slot)";
const LEFT_BEHIND: &str =
    "it was made without `failover`, so that no standby keeps it: ALTER_REPLICATION_SLOT";
const MUCH: &str = "it keeps more than half of what slots may keep (max_slot_wal_keep_size)";

impl SlotWatch {
    /// Looks at the server's slots.
    pub fn look(&mut self, view: &View) {
        let mut found = complaints(&view.server, view.settings.slots_may_keep);
        if let State::Primary(facts) = &*view.server {
            found.extend(missed_slots(view, facts).into_keys().map(|name| (name, MISSED)));
            found.extend(left_behind(view, facts).map(|name| (name, LEFT_BEHIND)));
        }
        if view.server.slots().is_some() {
            self.complain(&view.server, found);
        }
        let State::Standby(facts) = &*view.server else { return };
        let carried: BTreeSet<String> = carried_along(view, facts).collect();
        for slot in carried.difference(&self.carried) {
            tracing::info!(slot, "a logical slot is carried along: its consumer can go on here");
        }
        for slot in self.carried.difference(&carried) {
            tracing::warn!(
                slot,
                "a logical slot is not carried along: its consumer cannot go on here"
            );
        }
        self.carried = carried;
    }

    fn complain(&mut self, server: &State, found: BTreeSet<(String, &'static str)>) {
        let slots = server.slots().unwrap_or_default();
        let end = server.position().map(|position| position.lsn).unwrap_or_default();
        for (name, what) in found.difference(&self.complaints) {
            let keeps = slots.iter().find(|slot| slot.name == *name).map(|slot| slot.keeps(end));
            tracing::warn!(slot = name, keeps_bytes = keeps, "{what}");
        }
        self.complaints = found;
    }
}

fn complaints(server: &State, may_keep: u64) -> BTreeSet<(String, &'static str)> {
    let (Some(slots), Some(position)) = (server.slots(), server.position()) else {
        return BTreeSet::new();
    };
    let complaint = |slot: &Slot| complaint(slot, position.lsn, may_keep);
    slots.iter().filter_map(|slot| Some((slot.name.clone(), complaint(slot)?))).collect()
}

/// The permanent logical slots that no standby keeps.
fn left_behind<'a>(
    view: &'a View,
    facts: &'a PrimaryFacts,
) -> impl Iterator<Item = String> + use<'a> {
    let is_permanent = |slot: &&Slot| {
        let mut permanent = view.settings.dynamic.slots.iter();
        permanent.any(|one| one.name == slot.name && one.logical.is_some())
    };
    let without = facts.slots.iter().filter(|slot| slot.has_failover == Some(false));
    without.filter(is_permanent).map(|slot| slot.name.clone())
}

fn complaint(slot: &Slot, end: Lsn, may_keep: u64) -> Option<&'static str> {
    match slot.log {
        SlotLog::Lost => Some(LOST),
        SlotLog::Unreserved => Some(UNRESERVED),
        SlotLog::Kept => (slot.keeps(end) > may_keep / 2).then_some(MUCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_complained_of_by_what_it_keeps_and_has_lost() {
        let slot = Slot { restart: Some(Lsn(1000)), ..Slot::physical("a") };
        assert_eq!(complaint(&slot, Lsn(1500), 1000), None);
        assert_eq!(complaint(&slot, Lsn(1501), 1000), Some(MUCH));
        let lost = Slot { log: SlotLog::Lost, restart: None, ..slot };
        assert_eq!(complaint(&lost, Lsn(9000), 1000), Some(LOST));
    }
}
