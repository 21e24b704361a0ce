//! Permanent logical slots on a standby whose server does not keep them by itself (before PostgreSQL 17): copied
//! from the leader, moved on to where the consumer is there, and left out of a promotion as long as a row that they
//! need to read the log by may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{
    BatonState, Cluster, MAJOR_THAT_SYNCS, MemberState, PrimaryFacts, ReplicationState, Role, Slot,
    SlotKind, SlotLog, StandbyFacts, State, StopMode, Upstream,
};
use crate::config::PermanentSlot;
use crate::values::{Lsn, MemberName, Monotonic, Term, is_earlier_transaction};

use super::decision::{Carry, Decision, Effect, Reason};
use super::upstream;
use super::view::{JobKind, View};

/// How long after a first try a slot is copied again; twice as long after each further one. Each time the standby is
/// restarted.
const COPY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The longest such pause.
const COPY_AGAIN_AT_LAST: Duration = Duration::from_secs(1800);
/// Standbys take their turns, so that not all are away at once: each has so long.
const TURN: Duration = Duration::from_secs(3);
/// So long a standby waits for the others to be there.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(600);
/// How often the leader is asked what it keeps: a standby tells what it needs every 10 s
/// (`wal_receiver_status_interval`).
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What this agent knows of the logical slots that it carries along. Each turn's view shares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarriedMemory {
    /// Whom the following was asked of: another leader may have let go what this one keeps.
    term: Term,
    /// Whether the standby streamed at the last look: while it does not, it tells the leader nothing.
    streamed: bool,
    /// By slot: rows that this transaction or a later one needs, the leader keeps for this node.
    kept_from: Arc<BTreeMap<String, u32>>,
    asked_at: Option<Monotonic>,
    /// By slot: how often it was tried to copy it, and when last.
    tried: Arc<BTreeMap<String, (u32, Monotonic)>>,
    /// By slot: since when the leader tells of it.
    told_since: Arc<BTreeMap<String, Monotonic>>,
}

impl CarriedMemory {
    /// Takes in who leads, and what the server does.
    pub fn observe(
        &mut self,
        now: Monotonic,
        server: &State,
        me: &MemberName,
        cluster: Option<&Cluster>,
    ) {
        let Some(cluster) = cluster else { return };
        let baton = cluster.baton.as_ref().map(|baton| &baton.value);
        let held = baton.filter(|baton| baton.state == BatonState::Held && baton.holder != *me);
        let streams = matches!(server, State::Standby(facts) if facts.is_streaming());
        let begins_anew = streams && !self.streamed;
        self.streamed = streams;
        if held.is_some_and(|baton| baton.term > self.term) || begins_anew {
            self.term = held.map_or(self.term, |baton| baton.term.max(self.term));
            (self.kept_from, self.asked_at) = (Arc::default(), None);
        }
        if !cluster.slot_positions.keys().eq(self.told_since.keys()) {
            let since = |name| self.told_since.get(name).copied().unwrap_or(now);
            let told = cluster.slot_positions.keys().map(|name| (name.clone(), since(name)));
            self.told_since = Arc::new(told.collect());
        }
    }

    /// It is tried to copy these.
    pub fn tries(&mut self, now: Monotonic, names: &[String]) {
        let tried = Arc::make_mut(&mut self.tried);
        for name in names {
            let times = tried.get(name).map_or(0, |(times, _)| *times);
            tried.insert(name.clone(), (times + 1, now));
        }
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
        needs.is_some_and(|(needs, kept_from)| !is_earlier_transaction(needs, *kept_from))
            && slot.confirmed.is_some_and(|confirmed| confirmed <= replayed)
            && slot.log != SlotLog::Lost
    }

    /// When a slot may be copied, by the `rank`th of the standbys.
    fn may_be_copied_at(&self, name: &str, rank: u32) -> Option<Monotonic> {
        let turn = *self.told_since.get(name)? + TURN * rank;
        let rest = self.tried.get(name).map(|(times, at)| {
            let pause = COPY_AGAIN_AFTER * 2_u32.saturating_pow(times.saturating_sub(1).min(16));
            *at + pause.min(COPY_AGAIN_AT_LAST)
        });
        Some(rest.map_or(turn, |rest| rest.max(turn)))
    }
}

/// The slots that this standby is to carry along.
fn wanted<'a>(
    view: &'a View,
    facts: &StandbyFacts,
) -> impl Iterator<Item = &'a PermanentSlot> + use<'a> {
    let carries = view.settings.carries_logical_slots
        && view.me.may_lead
        && !view.me.nostream
        && facts.major < MAJOR_THAT_SYNCS;
    let slots = view.settings.dynamic.slots.iter();
    slots.filter(move |slot| carries && slot.logical.is_some())
}

/// The slots here that are carried along, and whether each is of any use after a promotion.
fn carried<'a>(view: &'a View, facts: &'a StandbyFacts) -> impl Iterator<Item = (&'a Slot, bool)> {
    let mine = facts.slots.iter().filter(|slot| view.journal.carried.contains(&slot.name));
    let is_copy = |slot: &&Slot| matches!(slot.kind, SlotKind::Logical { .. }) && !slot.is_synced;
    let logical = mine.filter(is_copy);
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
    let rank = streams_from_it.then(|| turn_of(view))??;
    let is_due = |slot: &&PermanentSlot| {
        let at = view.memory.carried.may_be_copied_at(&slot.name, rank);
        at.is_some_and(|at| view.now >= at)
            && !facts.slots.iter().any(|here| here.name == slot.name)
    };
    let missing: Vec<PermanentSlot> = wanted(view, facts).filter(is_due).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<&str> = missing.iter().map(|slot| slot.name.as_str()).collect();
    let label = "restart: logical slots of the leader are taken along";
    let reason = Reason::with(label, names.join(", "));
    let stop = Effect::Stop { mode: StopMode::Restart, within: view.settings.start_within };
    let copy = Effect::Carry(Carry::Copy { from: leader.clone(), slots: missing });
    Some(Decision::act(reason, JobKind::Stop, vec![copy, stop]))
}

/// The place of this standby among those that may lead; `None` while one of the others is away.
fn turn_of(view: &View) -> Option<u32> {
    let cluster = view.cluster();
    let holder = cluster.baton.as_ref().map(|baton| &baton.value.holder);
    let others = cluster.members.values().filter(|one| {
        one.name != view.me.name
            && Some(&one.name) != holder
            && one.may_lead()
            && !one.is_fed_from_the_archive()
    });
    // One that stays away must not keep the others from it for good.
    let told_since = view.memory.carried.told_since.values().max();
    let waited_long = told_since.is_some_and(|since| view.now.since(*since) >= WAIT_FOR_OTHERS);
    let mut before = 0;
    for other in others {
        let is_there = other.state == MemberState::Running
            && other.role == Role::Replica
            && other.replication_state == Some(ReplicationState::Streaming);
        if !is_there && !waited_long {
            return None;
        }
        before += u32::from(other.name < view.me.name);
    }
    Some(before)
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

/// Before a promotion: what is of use is this node's own from now on, and what is not goes, for its consumer would miss
/// changes without a word.
pub fn before_promotion(view: &View) -> Option<Effect> {
    let State::Standby(facts) = &*view.server else { return None };
    let unready = carried(view, facts).filter(|(_, is_ready)| !is_ready);
    let unready: Vec<String> = unready.map(|(slot, _)| slot.name.clone()).collect();
    (!view.journal.carried.is_empty()).then_some(Effect::Carry(Carry::KeepNoneBut(unready)))
}

/// What a leader still has of slots that were of no use when it was promoted, and could not be dropped then.
pub fn left_over(view: &View) -> Option<Effect> {
    let left: Vec<String> = view.journal.carried.iter().cloned().collect();
    (!left.is_empty()).then_some(Effect::Carry(Carry::KeepNoneBut(left)))
}

/// The permanent logical slots that are gone with an earlier leader, and how far their consumers were: a new one under
/// the same name would have its consumer go on past what it has missed. A person has to make it.
pub fn missed(view: &View, facts: &PrimaryFacts) -> BTreeMap<String, Lsn> {
    let cluster = view.cluster();
    let logical = view.settings.dynamic.slots.iter().filter(|slot| slot.logical.is_some());
    let gone = logical.filter(|slot| !facts.slots.iter().any(|here| here.name == slot.name));
    gone.filter_map(|slot| Some((slot.name.clone(), *cluster.slot_positions.get(&slot.name)?)))
        .collect()
}
