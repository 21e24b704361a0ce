//! The side work of a leader: slots, checkpoint, and the keys that Patroni's readers look at.

use crate::cluster::{Initialize, Lineage, PrimaryFacts, StandbyFacts};

use super::decision::Effect;
use super::view::View;
use super::{failsafe, replaced};

/// What is missing right now; empty while the last of it is still under way.
pub fn of_a_leader(view: &View, facts: &PrimaryFacts) -> Vec<Effect> {
    if view.upkeep_running {
        return Vec::new();
    }
    let cluster = view.cluster();
    let mut effects: Vec<Effect> = replaced::to_remember(view).into_iter().collect();
    if facts.checkpoint_timeline < facts.position.timeline {
        effects.push(Effect::Checkpoint);
    }
    let missing: Vec<String> =
        member_slots(view).into_iter().filter(|slot| !facts.slots.contains(slot)).collect();
    if view.settings.use_slots && !missing.is_empty() {
        effects.insert(0, Effect::ArrangeSlots { wanted: missing, unwanted: Vec::new() });
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
        effects.push(Effect::WriteStatus(facts.position.lsn));
    }
    effects
}

/// What a former primary still has of its leading: members' slots, which nobody moves on any more, so
/// that they would keep the log for ever. A successor makes its own before it is promoted.
pub fn of_a_standby(view: &View, facts: &StandbyFacts) -> Vec<Effect> {
    if view.upkeep_running {
        return Vec::new();
    }
    let mut effects: Vec<Effect> = replaced::to_remember(view).into_iter().collect();
    if !view.settings.use_slots || !facts.is_streaming() {
        return effects;
    }
    let members = member_slots(view);
    let left: Vec<String> =
        facts.slots.iter().filter(|slot| members.contains(slot)).cloned().collect();
    if !left.is_empty() {
        effects.push(Effect::ArrangeSlots { wanted: Vec::new(), unwanted: left });
    }
    effects
}

/// The slots of all other members.
pub fn member_slots(view: &View) -> Vec<String> {
    let cluster = view.cluster();
    let others = cluster.members.keys().filter(|name| **name != view.me.name);
    others.map(|name| name.slot_name()).collect()
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
            lsn != facts.position.lsn && view.now.since(at) >= view.settings.times.renewal_period
        }
    }
}
