//! Says when a replication slot keeps much log, or has lost what it needs: once, and again only after
//! it was well in between. And which logical slots would go on here after a failover.

use std::collections::BTreeSet;

use crate::cluster::{Slot, SlotLog, State};
use crate::decide::{View, carried_along};
use crate::values::Lsn;

/// What was said of which slot.
#[derive(Debug, Default)]
pub(super) struct SlotWatch {
    complaints: BTreeSet<(String, &'static str)>,
    carried: BTreeSet<String>,
}

const LOST: &str = "the log that it needs is gone: its consumer has to begin anew";
const UNRESERVED: &str = "the log that it needs goes with the next checkpoint";
const MUCH: &str = "it keeps more than half of what slots may keep (max_slot_wal_keep_size)";

impl SlotWatch {
    /// Looks at the server's slots.
    pub fn look(&mut self, view: &View) {
        self.complain(&view.server, view.settings.slots_may_keep);
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

    fn complain(&mut self, server: &State, may_keep: u64) {
        let (Some(slots), Some(position)) = (server.slots(), server.position()) else { return };
        let end = position.lsn;
        let found: BTreeSet<_> = slots
            .iter()
            .filter_map(|slot| Some((slot.name.clone(), complaint(slot, end, may_keep)?)))
            .collect();
        for (name, what) in found.difference(&self.complaints) {
            let keeps = slots.iter().find(|slot| slot.name == *name).map(|slot| slot.keeps(end));
            tracing::warn!(slot = name, keeps_bytes = keeps, "{what}");
        }
        self.complaints = found;
    }
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
