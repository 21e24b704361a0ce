//! Which slots a server is to have: other members', for as long as they may come back; permanent ones; and
//! nobody's who is gone. A slot that this agent has never known as one of these is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Cluster, PrimaryFacts, Slot, SlotKind, SlotLog, StandbyFacts, State};
use crate::config::PermanentSlot;
use crate::mutants::{Mutant, planted};
use crate::values::{Lsn, MemberName, Monotonic};

use super::decision::Effect;
use super::view::View;
use super::{carried, replaced, upstream};

/// What this agent knows of slots that are not there for a member it sees. Each turn's view shares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotMemory {
    /// Members' slots, and when each member was last seen, by this node's clock.
    seen: Arc<BTreeMap<String, Monotonic>>,
    /// Names that were permanent slots or members' at some time: these may be dropped.
    managed: Arc<BTreeSet<String>>,
    /// Whether it was looked at what the agents before have left.
    looked_back: bool,
}

impl SlotMemory {
    /// Takes in who is there, and what is kept: by this node's leader, and by the one before it leads itself.
    pub fn observe(&mut self, now: Monotonic, me: &MemberName, cluster: Option<&Cluster>) {
        let Some(cluster) = cluster else { return };
        let seen = Arc::make_mut(&mut self.seen);
        for name in cluster.members.keys().filter(|name| *name != me) {
            seen.insert(name.slot_name(), now);
        }
        // Of what this node itself keeps it knows since when.
        let leads = cluster.baton.as_ref().is_some_and(|baton| baton.value.holder == *me);
        for slot in &cluster.retained_slots {
            let at = seen.entry(slot.clone()).or_insert(now);
            *at = if leads { *at } else { now };
        }
        let known = seen.keys().chain(cluster.slot_positions.keys());
        let new: Vec<String> =
            known.filter(|name| !self.managed.contains(*name)).cloned().collect();
        if !new.is_empty() {
            Arc::make_mut(&mut self.managed).extend(new);
        }
    }

    /// Takes in, once the server shows its slots, which of them the agents before this one have made. Whose they
    /// were is not known: they are kept as those of members that were just seen.
    pub fn look_back(
        &mut self,
        now: Monotonic,
        server: &State,
        made: &BTreeSet<String>,
        permanent: &[PermanentSlot],
    ) {
        let Some(there) = server.slots() else { return };
        if std::mem::replace(&mut self.looked_back, true) {
            return;
        }
        let is_permanent = |name: &String| permanent.iter().any(|slot| slot.name == *name);
        let names = there.iter().map(|slot| &slot.name);
        for name in names.filter(|name| made.contains(*name) && !is_permanent(name)) {
            Arc::make_mut(&mut self.seen).entry(name.clone()).or_insert(now);
        }
    }

    /// The slots of members that were seen within this time.
    fn retained(&self, now: Monotonic, within: Duration) -> impl Iterator<Item = &String> {
        self.seen.iter().filter(move |(_, seen)| now.since(**seen) < within).map(|(name, _)| name)
    }
}

/// What the leader keeps for members that are not there any more: told to whoever leads next.
pub fn retained(view: &View) -> Vec<String> {
    let members = slots_of_all_others(view);
    let permanent = permanent_names(view);
    let within = view.settings.dynamic.member_slots_ttl;
    let own = view.me.name.slot_name();
    let retained = view.memory.slots.retained(view.now, within);
    // Also those that are still there: else nobody would know them after the next failover.
    retained
        .filter(|name| {
            **name != own && !members.contains(name) && !permanent.contains(name.as_str())
        })
        .cloned()
        .collect()
}

/// The slots that all other members would have here, if they streamed from here.
fn slots_of_all_others(view: &View) -> Vec<String> {
    let cluster = view.cluster();
    let others = cluster.members.keys().filter(|name| **name != view.me.name);
    others.map(MemberName::slot_name).collect()
}

/// The slots of all other members that stream: also of those that stream through another one, which may be
/// gone any time.
pub fn member_slots(view: &View) -> Vec<String> {
    let cluster = view.cluster();
    let others = cluster.members.values().filter(|member| member.name != view.me.name);
    let streaming = others.filter(|member| !member.is_fed_from_the_archive());
    streaming.map(|member| member.name.slot_name()).collect()
}

/// The slots here of members that stream through another one, and up to where each of them has the log: nobody
/// else would move them on, and they would keep log for ever.
fn of_the_passed_on(view: &View, facts: &PrimaryFacts) -> Vec<(String, Lsn)> {
    let cluster = view.cluster();
    let others = cluster.members.values().filter(|member| member.name != view.me.name);
    let passed_on = others.filter(|member| upstream::of_member(&cluster, &member.name).is_some());
    passed_on
        .filter_map(|member| {
            let name = member.name.slot_name();
            let slot = facts.slots.iter().find(|slot| slot.name == name && !slot.is_active)?;
            let (kept, has) = (slot.restart?, member.replay_lsn?.min(facts.position.lsn));
            let is_due = kept.bytes_behind(has) >= MOVE_ON_BYTES;
            (is_due && slot.log != SlotLog::Lost).then_some((name, has))
        })
        .collect()
}

/// A slot keeps whole segments of log: moving it on by less frees nothing.
const MOVE_ON_BYTES: u64 = 16 << 20;

/// The slots of the members that stream from this standby.
fn slots_of_the_fed(view: &View) -> Vec<String> {
    let cluster = view.cluster();
    let others = cluster.members.values().filter(|member| member.name != view.me.name);
    let fed = others.filter(|member| {
        upstream::of_member(&cluster, &member.name).is_some_and(|it| it.name == view.me.name)
    });
    fed.map(|member| member.name.slot_name()).collect()
}

fn permanent_names(view: &View) -> BTreeSet<&str> {
    view.settings.dynamic.slots.iter().map(|slot| slot.name.as_str()).collect()
}

/// The permanent physical slots that this node has: not one of its own name, and none where it may not
/// lead.
fn permanent_physical(view: &View) -> Vec<String> {
    let own = view.me.name.slot_name();
    let all = view.settings.dynamic.slots.iter().filter(|slot| slot.logical.is_none());
    let here = all.filter(|slot| view.me.may_lead && slot.name != own);
    here.map(|slot| slot.name.clone()).collect()
}

/// The physical slots that a leader has, or is about to have.
pub fn of_whoever_leads(view: &View) -> Vec<String> {
    let mut wanted = member_slots(view);
    if !planted(Mutant::SlotDroppedAtOnce) {
        wanted.extend(retained(view));
    }
    wanted.extend(permanent_physical(view));
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// What a leader has to make and drop.
pub fn of_a_leader(view: &View, facts: &PrimaryFacts) -> Vec<Effect> {
    if !view.settings.use_slots {
        return Vec::new();
    }
    let wanted = of_whoever_leads(view);
    let permanent = permanent_names(view);
    let has = |name: &String| facts.slots.iter().any(|slot| slot.name == *name);
    let missing: Vec<String> = wanted.iter().filter(|name| !has(name)).cloned().collect();
    let is_wanted = |slot: &Slot| wanted.contains(&slot.name) || permanent.contains(&*slot.name);
    let may_go = |slot: &&Slot| {
        // A logical one that is made anew would have its consumer go on past what it has missed, without a word.
        let is_lost = slot.log == SlotLog::Lost && slot.kind == SlotKind::Physical;
        let is_known = view.memory.slots.managed.contains(&slot.name) || is_wanted(slot);
        !slot.is_active && is_known && !is_ignored(view, slot) && (is_lost || !is_wanted(slot))
    };
    let unwanted: Vec<String> =
        facts.slots.iter().filter(may_go).map(|slot| slot.name.clone()).collect();
    let mut effects = moved_on(of_the_passed_on(view, facts));
    effects.extend(arranged(missing, unwanted));
    effects
}

/// The permanent logical slots that a leader lacks.
pub fn logical_to_make(view: &View, facts: &PrimaryFacts) -> Vec<Effect> {
    if !view.settings.use_slots {
        return Vec::new();
    }
    let has = |name: &str| facts.slots.iter().any(|slot| slot.name == name);
    let missed = carried::missed(view, facts);
    let missing = view.settings.dynamic.slots.iter().filter(|slot| !has(&slot.name));
    missing
        .filter(|slot| !missed.contains_key(&slot.name))
        .filter_map(|slot| {
            let (database, plugin) = slot.logical.clone()?;
            Some(Effect::MakeLogicalSlot { name: slot.name.clone(), database, plugin })
        })
        .collect()
}

/// Moving on goes first: what cannot be made must not keep the others' log.
fn moved_on(to: Vec<(String, Lsn)>) -> Vec<Effect> {
    if to.is_empty() { Vec::new() } else { vec![Effect::AdvanceSlots(to)] }
}

fn arranged(wanted: Vec<String>, unwanted: Vec<String>) -> Option<Effect> {
    let anything = !wanted.is_empty() || !unwanted.is_empty();
    anything.then_some(Effect::ArrangeSlots { wanted, unwanted })
}

/// What a standby has to make, move on and drop: slots as far as their consumers are on the leader, and
/// nothing that nobody would move on, which would keep log for ever.
pub fn of_a_standby(view: &View, facts: &StandbyFacts) -> Vec<Effect> {
    if view.upkeep_running {
        return Vec::new();
    }
    let mut effects: Vec<Effect> = replaced::to_remember(view).into_iter().collect();
    let moves_on = view.settings.use_slots && !view.me.nostream;
    if moves_on && !facts.is_streaming() {
        return effects;
    }
    let wanted = Wanted::of_a_standby(view, moves_on);
    let may_go = |slot: &&Slot| {
        !slot.is_active
            && !slot.is_synced
            && !carried::keeps(view, facts, slot)
            && !is_ignored(view, slot)
            && wanted.lets_go(view, slot)
    };
    let unwanted: Vec<String> =
        facts.slots.iter().filter(may_go).map(|slot| slot.name.clone()).collect();
    if moves_on {
        let has = |name: &&String| facts.slots.iter().any(|slot| slot.name == **name);
        let missing = wanted.to_make(view).filter(|name| !has(name)).cloned().collect();
        effects.extend(moved_on(to_move_on(view, facts, &wanted)));
        effects.extend(arranged(missing, unwanted));
        effects.extend(carried::upkeep(view, facts));
    } else {
        effects.extend(arranged(Vec::new(), unwanted));
    }
    effects
}

/// The physical slots that a standby has.
struct Wanted {
    /// Permanent ones.
    permanent: Vec<String>,
    /// Of the members that stream from here.
    fed: Vec<String>,
    /// What it needs once it leads: a member that is behind finds its log there, too.
    of_the_others: Vec<String>,
    /// Whether it has slots at all, and a leader to go by.
    moves_on: bool,
}

impl Wanted {
    fn of_a_standby(view: &View, moves_on: bool) -> Self {
        let may_need_them = view.me.may_lead && !view.settings.dynamic.member_slots_ttl.is_zero();
        let of_the_others =
            if moves_on && may_need_them { of_whoever_leads(view) } else { Vec::new() };
        Self {
            permanent: permanent_physical(view),
            fed: if moves_on { slots_of_the_fed(view) } else { Vec::new() },
            of_the_others,
            moves_on,
        }
    }

    fn contains(&self, name: &String) -> bool {
        [&self.permanent, &self.fed, &self.of_the_others].iter().any(|some| some.contains(name))
    }

    /// Those that are to be there: of another member only while the leader tells where it is, because nothing
    /// else moves its slot on.
    fn to_make(&self, view: &View) -> impl Iterator<Item = &String> {
        let cluster = view.cluster();
        let mut told: Vec<&String> = self.permanent.iter().chain(&self.fed).collect();
        let others = self.of_the_others.iter();
        told.extend(others.filter(|name| cluster.slot_positions.contains_key(*name)));
        told.sort_unstable();
        told.dedup();
        told.into_iter()
    }

    /// Whether a slot that nobody uses is to be dropped, for good or to be made again.
    fn lets_go(&self, view: &View, slot: &Slot) -> bool {
        let is_permanent = permanent_names(view).contains(&*slot.name);
        let is_wanted = self.contains(&slot.name);
        let is_a_members = || slots_of_all_others(view).contains(&slot.name);
        let is_known = view.memory.slots.managed.contains(&slot.name) || is_a_members();
        match slot.kind {
            SlotKind::Logical { .. } => {
                let is_carried = view.journal.carried.contains(&slot.name);
                is_carried || self.moves_on && (is_known || is_permanent)
            }
            SlotKind::Physical if !is_wanted => is_known,
            // What its consumer told when this node led is told again to the leader, for ever.
            SlotKind::Physical => {
                let is_stale = slot.keeps_rows && !self.fed.contains(&slot.name);
                slot.log == SlotLog::Lost || is_stale
            }
        }
    }
}

/// Up to where the consumer is on the leader, and never past what is replayed here. Members move on all the time:
/// their slots follow by whole segments.
fn to_move_on(view: &View, facts: &StandbyFacts, wanted: &Wanted) -> Vec<(String, Lsn)> {
    let cluster = view.cluster();
    let mine = facts.slots.iter().filter(|slot| wanted.contains(&slot.name) && !slot.is_active);
    mine.filter_map(|slot| {
        let there = *cluster.slot_positions.get(&slot.name)?;
        let to = there.min(facts.replayed);
        let least = if wanted.permanent.contains(&slot.name) { 1 } else { MOVE_ON_BYTES };
        let is_due = slot.restart.is_some_and(|restart| restart.bytes_behind(to) >= least);
        (is_due && slot.log != SlotLog::Lost).then(|| (slot.name.clone(), to))
    })
    .collect()
}

fn is_ignored(view: &View, slot: &Slot) -> bool {
    let logical = match &slot.kind {
        SlotKind::Physical => None,
        SlotKind::Logical { database, plugin } => Some((database.as_str(), plugin.as_str())),
    };
    view.settings.dynamic.ignore_slots.iter().any(|one| one.fits(&slot.name, logical))
}

/// How far the consumer of each slot is: told to the standbys.
pub fn positions(view: &View, facts: &PrimaryFacts) -> BTreeMap<String, Lsn> {
    let permanent = permanent_names(view);
    let ours = of_whoever_leads(view);
    let told = |slot: &&Slot| ours.contains(&slot.name) || permanent.contains(&*slot.name);
    let mut positions: BTreeMap<String, Lsn> = facts
        .slots
        .iter()
        .filter(told)
        .filter_map(|slot| Some((slot.name.clone(), slot.position()?)))
        .collect();
    // Told on for whoever leads next, as long as nobody has made it anew.
    positions.extend(carried::missed(view, facts));
    if !positions.is_empty() {
        positions.insert(view.me.name.slot_name(), facts.position.lsn);
    }
    positions
}
