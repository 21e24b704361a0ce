//! Permanent logical slots on a standby whose server does not keep them by itself (before PostgreSQL 17): copied
//! from the leader, moved on to where the consumer is there, and left out of a promotion as long as a row that they
//! need to read the log by may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{
    BatonState, Cluster, MAJOR_THAT_SYNCS, Slot, SlotKind, SlotLog, StandbyFacts, State, StopMode,
    Upstream,
};
use crate::config::PermanentSlot;
use crate::values::{Lsn, MemberName, Monotonic, Term};

use super::decision::{Carry, Decision, Effect, Reason};
use super::upstream;
use super::view::{JobKind, View};

/// How long after a copy slots are copied again: each time the standby is restarted.
const COPY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often the leader is asked what it keeps: a standby tells what it needs every 10 s
/// (`wal_receiver_status_interval`).
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What this agent knows of the logical slots that it carries along. Each turn's view shares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarriedMemory {
    /// Whom the following was asked of: another leader may have let go what this one keeps.
    term: Term,
    /// By slot: rows that this transaction or a later one needs, the leader keeps for this node.
    kept_from: Arc<BTreeMap<String, u32>>,
    copied_at: Option<Monotonic>,
    asked_at: Option<Monotonic>,
}

impl CarriedMemory {
    /// Takes in who leads.
    pub fn observe(&mut self, me: &MemberName, cluster: Option<&Cluster>) {
        let baton = cluster.and_then(|cluster| cluster.baton.as_ref()).map(|baton| &baton.value);
        let Some(baton) = baton.filter(|baton| baton.state == BatonState::Held) else { return };
        if baton.holder != *me && baton.term > self.term {
            self.term = baton.term;
            (self.kept_from, self.asked_at) = (Arc::default(), None);
        }
    }

    /// Slots are about to be copied.
    pub fn copies(&mut self, now: Monotonic, names: &[String]) {
        self.copied_at = Some(now);
        Arc::make_mut(&mut self.kept_from).retain(|name, _| !names.contains(name));
    }

    /// The leader was asked.
    pub fn asked(&mut self, now: Monotonic, kept_from: BTreeMap<String, u32>) {
        self.asked_at = Some(now);
        Arc::make_mut(&mut self.kept_from).extend(kept_from);
    }

    /// Whether all that a slot needs is there, and its consumer has confirmed nothing that is missing here.
    fn is_ready(&self, slot: &Slot, replayed: Lsn) -> bool {
        let needs = slot.catalog_xmin.zip(self.kept_from.get(&slot.name));
        needs.is_some_and(|(needs, kept_from)| !precedes(needs, *kept_from))
            && slot.confirmed.is_some_and(|confirmed| confirmed <= replayed)
            && slot.log != SlotLog::Lost
    }
}

/// Whether a transaction is older than another; their numbers wrap around.
fn precedes(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

/// The slots that this standby is to carry along.
fn wanted<'a>(
    view: &'a View,
    facts: &StandbyFacts,
) -> impl Iterator<Item = &'a PermanentSlot> + use<'a> {
    let carries = view.settings.use_slots
        && view.me.may_lead
        && !view.me.nostream
        && facts.major < MAJOR_THAT_SYNCS;
    let slots = view.settings.dynamic.slots.iter();
    slots.filter(move |slot| carries && slot.logical.is_some())
}

/// The slots here that are carried along, and whether each is of any use after a promotion.
fn carried<'a>(view: &'a View, facts: &'a StandbyFacts) -> impl Iterator<Item = (&'a Slot, bool)> {
    let mine = facts.slots.iter().filter(|slot| view.journal.carried.contains(&slot.name));
    let logical = mine.filter(|slot| matches!(slot.kind, SlotKind::Logical { .. }));
    logical.map(|slot| (slot, view.memory.carried.is_ready(slot, facts.replayed)))
}

/// Whether a slot stays on this standby.
pub fn keeps(view: &View, facts: &StandbyFacts, slot: &Slot) -> bool {
    let SlotKind::Logical { database, plugin } = &slot.kind else { return false };
    let is_it = |one: &PermanentSlot| {
        let of = one.logical.as_ref();
        one.name == slot.name && of.is_some_and(|of| (&of.0, &of.1) == (database, plugin))
    };
    view.journal.carried.contains(&slot.name)
        && slot.log != SlotLog::Lost
        && wanted(view, facts).any(is_it)
}

/// Copies the slots that the leader has and this standby lacks: the server reads them when it starts.
pub fn copy(view: &View, facts: &StandbyFacts, leader: &Upstream) -> Option<Decision> {
    let streams_from_it = facts.is_streaming() && facts.upstream == Some(upstream::address(leader));
    let copied_at = view.memory.carried.copied_at;
    let rests = view.resting_until(JobKind::Stop).is_some()
        || copied_at.is_some_and(|at| view.now < at + COPY_AGAIN_AFTER);
    if !streams_from_it || rests {
        return None;
    }
    let cluster = view.cluster();
    let is_missing = |slot: &&PermanentSlot| {
        cluster.slot_positions.contains_key(&slot.name)
            && !facts.slots.iter().any(|here| here.name == slot.name)
    };
    let missing: Vec<String> =
        wanted(view, facts).filter(is_missing).map(|slot| slot.name.clone()).collect();
    if missing.is_empty() {
        return None;
    }
    let label = "restart: logical slots of the leader are taken along";
    let reason = Reason::with(label, missing.join(", "));
    let stop = Effect::Stop { mode: StopMode::Restart, within: view.settings.start_within };
    let effects = vec![Effect::Carry(Carry::Copy { from: leader.clone(), names: missing }), stop];
    Some(Decision::act(reason, JobKind::Stop, effects))
}

/// Moves them on, and finds out what the leader keeps for them.
pub fn upkeep(view: &View, facts: &StandbyFacts) -> Vec<Effect> {
    let cluster = view.cluster();
    let mut effects = Vec::new();
    let memory = &view.memory.carried;
    let unknown =
        carried(view, facts).filter(|(slot, _)| !memory.kept_from.contains_key(&slot.name));
    let unknown: Vec<String> = unknown.map(|(slot, _)| slot.name.clone()).collect();
    let is_time = memory.asked_at.is_none_or(|at| view.now.since(at) >= ASK_EVERY);
    if !unknown.is_empty()
        && is_time
        && let Some(leader) = upstream::of_leader(view)
    {
        effects.push(Effect::Carry(Carry::AskWhatIsKept { of: leader, names: unknown }));
    }
    let moves =
        carried(view, facts).filter(|(slot, _)| !slot.is_active && keeps(view, facts, slot));
    let moves: Vec<(String, String, Lsn)> = moves
        .filter_map(|(slot, _)| {
            let SlotKind::Logical { database, .. } = &slot.kind else { return None };
            let to = (*cluster.slot_positions.get(&slot.name)?).min(facts.replayed);
            let is_due = slot.confirmed.is_some_and(|confirmed| confirmed < to);
            is_due.then(|| (slot.name.clone(), database.clone(), to))
        })
        .collect();
    if !moves.is_empty() {
        effects.push(Effect::Carry(Carry::Advance(moves)));
    }
    effects
}

/// The logical slots whose consumers could go on here, were this standby promoted now.
pub fn carried_along<'a>(
    view: &'a View,
    facts: &'a StandbyFacts,
) -> impl Iterator<Item = String> + use<'a> {
    carried(view, facts).filter(|(_, is_ready)| *is_ready).map(|(slot, _)| slot.name.clone())
}

/// What a promotion must not open to consumers: they would miss changes without a word.
pub fn of_no_use(view: &View) -> Vec<String> {
    let State::Standby(facts) = &*view.server else { return Vec::new() };
    let unready = carried(view, facts).filter(|(_, is_ready)| !is_ready);
    unready.map(|(slot, _)| slot.name.clone()).collect()
}

/// A leader's slots are its own: when it is a standby again, they are copied anew.
pub fn to_forget(view: &View) -> Option<Effect> {
    (!view.journal.carried.is_empty()).then_some(Effect::Carry(Carry::Forget))
}
