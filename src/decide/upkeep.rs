//! The side work of a leader: slots, checkpoint, and the keys that Patroni's readers look at.

use crate::cluster::{Initialize, Lineage, PrimaryFacts};

use super::decision::Effect;
use super::view::View;
use super::{carried, failsafe, replaced, slots, synchronous};

/// What is missing right now; empty while the last of it is still under way.
pub fn of_a_leader(view: &View, facts: &PrimaryFacts) -> Vec<Effect> {
    if view.upkeep_running {
        return Vec::new();
    }
    let cluster = view.cluster();
    let mut effects: Vec<Effect> = carried::left_over(view).into_iter().collect();
    effects.extend(slots::of_a_leader(view, facts));
    effects.extend(replaced::to_remember(view));
    if facts.checkpoint_timeline < facts.position.timeline {
        effects.push(Effect::Checkpoint);
    }
    if cluster.initialize.as_ref().map(|key| key.value) != Some(Initialize::Done(facts.system_id)) {
        effects.push(Effect::RepairInitialize(facts.system_id));
    }
    if cluster.config.is_none() {
        effects.push(Effect::RepairConfig);
    }
    if history_is_behind(&cluster.lineage(), view) {
        effects.push(Effect::WriteHistory);
    }
    effects.extend(failsafe::list_is_due(view));
    if status_is_due(view, facts) {
        let (positions, retained) = (slots::positions(view, facts), slots::retained(view));
        let optime = facts.position.lsn;
        effects.push(Effect::WriteStatus { optime, slots: positions, retained });
    }
    effects.extend(synchronous::admission_to_remember(view));
    // Last: one that cannot be made, for want of `wal_level` or a database, takes its time each time.
    effects.extend(slots::logical_to_make(view, facts));
    effects
}

fn history_is_behind(lineage: &Lineage, view: &View) -> bool {
    let Some(left) = lineage.current().and_then(|promotion| promotion.parent) else { return false };
    let cluster = view.cluster();
    let last = cluster.history.as_ref().and_then(|history| history.value.last());
    last.is_none_or(|entry| entry.timeline != left.0)
}

fn status_is_due(view: &View, facts: &PrimaryFacts) -> bool {
    match view.memory.status_written {
        None => true,
        Some((at, lsn)) => {
            let cluster = view.cluster();
            let is_told = lsn == facts.position.lsn
                && cluster.slot_positions == slots::positions(view, facts)
                && cluster.retained_slots == slots::retained(view);
            !is_told && view.now.since(at) >= view.settings.times.renewal_period
        }
    }
}
