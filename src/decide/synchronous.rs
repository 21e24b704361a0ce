//! Leading in synchronous mode: whom commits wait for, and who may be promoted, one step at a time.
//! The arithmetic is `cluster::quorum`'s; here is who is fit, and what a step is made of.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::cluster::{
    Downstream, MemberState, PrimaryFacts, Role, Step, SyncNames, SyncState, Voters, next_step,
    on_promotion, resumed,
};
use crate::config::{SynchronousMode, Tags};
use crate::mutants::{Mutant, planted};
use crate::values::{Lsn, MemberName, Monotonic, Revision};

use super::decision::{Decision, Effect, Reason, SyncChange};
use super::proof::record;
use super::sync_memory::{StandbyRules, by_name, of_member};
use super::view::{JobKind, SyncMemory, View};

/// What there is to do for synchronous replication.
pub enum Next {
    /// This.
    Act(Decision),
    /// Nothing, for a reason that people should see.
    Say(Decision),
    /// Nothing.
    Nothing,
}

/// The next thing that a leader does for synchronous replication.
pub fn next(view: &View, facts: &PrimaryFacts) -> Next {
    let managed = view.settings.dynamic.manages_synchronous_standbys();
    if !managed && record(view).is_none() && view.memory.sync.possible.is_empty() {
        return Next::Nothing;
    }
    if let Some(until) = view.resting_until(JobKind::Other) {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        let reason = Reason::with("lead: pause before the synchronous standbys are changed", why);
        return Next::Say(Decision::wait(reason).and_look_again_at(until));
    }
    if !managed {
        return leave(view);
    }
    let Some(state) = record(view).filter(|state| state.leader.as_ref() == Some(&view.me.name))
    else {
        return act(
            view,
            "lead: nobody else may, until there is a synchronous standby",
            vec![write_down(view, &Voters::leader_only(), Vec::new())],
        );
    };
    let recorded = Voters::recorded(&state);
    if write_is_open(view) {
        let again = write_down(view, &recorded, Vec::new());
        return act(view, "lead: write the record of synchronous standbys again", vec![again]);
    }
    if view.health.disk.is_suspicious() {
        // Standbys that this node has lost are its own loss then: it must not shut them out.
        let label = "lead: keep the synchronous standbys while the disk does not answer well";
        return Next::Say(Decision::wait(Reason::plain(label)));
    }
    let memory = &view.memory.sync;
    match possible_names(memory, facts.sync_names.as_ref(), &recorded) {
        Ok(possible) => step_on(view, facts, &recorded, possible),
        Err(step) => carry_out(view, step, Vec::new()),
    }
}

/// Synchronous mode was switched off: the record goes first.
fn leave(view: &View) -> Next {
    let revision = view.cluster().sync.as_ref().map(|sync| sync.revision);
    let forget = |revision| Effect::Sync(SyncChange::Forget(revision));
    let mut effects: Vec<Effect> = revision.map(forget).into_iter().collect();
    effects.push(Effect::Sync(SyncChange::LeaveNames));
    act(view, "lead: synchronous mode was switched off", effects)
}

/// The names under which something may have been acknowledged, where the server goes by `effective`.
///
/// # Errors
/// With the step that has to go first.
pub fn possible_names(
    memory: &SyncMemory,
    effective: Option<&SyncNames>,
    recorded: &Voters,
) -> Result<Vec<SyncNames>, Step> {
    match effective {
        _ if !memory.possible.is_empty() => Ok(memory.possible.clone()),
        Some(effective) => resumed(effective, recorded),
        // Somebody else's: whom it lets acknowledge is not known.
        None if recorded.of.is_empty() => Ok(Vec::new()),
        None => Err(Step::Record(Voters::leader_only())),
    }
}

fn step_on(view: &View, facts: &PrimaryFacts, recorded: &Voters, possible: Vec<SyncNames>) -> Next {
    let (wanted, look_again_at) = wanted(view, facts, possible.last());
    let in_doubt = possible.last().is_some_and(|names| is_in_doubt(view, facts, names));
    let step = if wanted == SyncNames::Closed && in_doubt && !recorded.of.is_empty() {
        // What was acknowledged meanwhile may be nowhere but here.
        Step::Record(Voters::leader_only())
    } else {
        step_towards(&view.memory.sync, &possible, recorded, &wanted)
    };
    let next = carry_out(view, step, possible);
    match (next, look_again_at) {
        (Next::Say(decision), Some(at)) => Next::Say(decision.and_look_again_at(at)),
        (Next::Nothing, _) => all_is_well(view, facts, &wanted, look_again_at),
        (next, _) => next,
    }
}

/// The next step towards `wanted`, as far as this agent knows what is in force.
pub fn step_towards(
    memory: &SyncMemory,
    possible: &[SyncNames],
    recorded: &Voters,
    wanted: &SyncNames,
) -> Step {
    let caught_up = memory.caught_up || planted(Mutant::SyncPublishedEarly);
    let mut step = next_step(possible, recorded, wanted, caught_up);
    let wrong_way = match wanted {
        SyncNames::Nobody => planted(Mutant::SyncNamesEmptiedFirst),
        SyncNames::Closed => false,
        SyncNames::AnyOf { .. } => planted(Mutant::SyncNamesWidenedFirst),
    };
    if wrong_way && possible.last() != Some(wanted) {
        step = Step::Set(wanted.clone());
    }
    let told = memory.in_force_at.is_some() && memory.possible == possible;
    if !told && matches!(step, Step::AwaitCaughtUp | Step::Settled) {
        // Found like this, or half done: whether it has reached everybody is not known.
        step = Step::Set(wanted.clone());
    }
    step
}

fn carry_out(view: &View, step: Step, possible: Vec<SyncNames>) -> Next {
    match step {
        Step::Record(voters) => {
            let label = "lead: record who has every acknowledged commit";
            let effect = write_down(view, &voters, possible);
            act(view, label, vec![effect])
        }
        Step::Set(names) => {
            let count = count_of(&names);
            // Names that were found: whoever told them may have died before the last walsender read them.
            let is_told =
                !view.memory.sync.possible.is_empty() || planted(Mutant::FoundNamesTrusted);
            let before = possible.iter().map(count_of).min().filter(|_| is_told);
            let raises_count = count > 1 && before.is_none_or(|before| before < count);
            let label = "lead: change whom commits wait for";
            act(
                view,
                label,
                vec![Effect::Sync(SyncChange::SetNames { names, possible, raises_count })],
            )
        }
        Step::AwaitCaughtUp => {
            let label = "lead: wait until enough synchronous standbys have caught up";
            Next::Say(Decision::wait(Reason::plain(label)))
        }
        Step::Settled => Next::Nothing,
    }
}

fn all_is_well(
    view: &View,
    facts: &PrimaryFacts,
    wanted: &SyncNames,
    look_again_at: Option<Monotonic>,
) -> Next {
    let reason = if let Some(reason) = unproven(view, facts) {
        reason
    } else if *wanted == SyncNames::Closed {
        Reason::plain("lead: writes wait for a synchronous standby, and there is none")
    } else if let Some(at) = look_again_at {
        let reason = Reason::plain("lead: wait a moment for the lost synchronous standbys");
        return Next::Say(Decision::wait(reason).and_look_again_at(at));
    } else {
        return Next::Nothing;
    };
    Next::Say(Decision::wait(reason))
}

/// Connections under members' names of which it cannot be told that they are the members'.
fn unproven(view: &View, facts: &PrimaryFacts) -> Option<Reason> {
    let cluster = view.cluster();
    let (rows, rules) = (by_name(facts), StandbyRules::of(&view.settings));
    let among_members = |of: &dyn Fn(&MemberName, &[&Downstream]) -> bool| {
        let names = cluster.members.keys().filter(|name| **name != view.me.name);
        let found = names.filter(|name| rows.get(name.as_str()).is_some_and(|rows| of(name, rows)));
        let found: Vec<&str> = found.map(MemberName::as_str).collect();
        (!found.is_empty()).then(|| found.join(", "))
    };
    if let Some(twice) = among_members(&|_, rows| rows.len() > 1) {
        let label = "lead: two connections with one name are no synchronous standby";
        return Some(Reason::with(label, twice));
    }
    let strange = among_members(&|name, rows| of_member(name, rows, rules).is_none())?;
    let label = "lead: a connection that does not hold its member's slot is no synchronous standby";
    Some(Reason::with(label, strange))
}

fn count_of(names: &SyncNames) -> usize {
    match names {
        SyncNames::Nobody | SyncNames::Closed => 0,
        SyncNames::AnyOf { count, .. } => *count,
    }
}

fn act(view: &View, label: &'static str, effects: Vec<Effect>) -> Next {
    let _ = view;
    Next::Act(Decision::act(Reason::plain(label), JobKind::Other, effects))
}

fn write_down(view: &View, voters: &Voters, possible: Vec<SyncNames>) -> Effect {
    let state = voters.to_state(&view.me.name);
    Effect::Sync(SyncChange::Record { state, over: revision(view), possible })
}

/// Whether a change of the record that was not answered may still be applied. The same record, written
/// once more, has a later revision: then it cannot.
fn write_is_open(view: &View) -> bool {
    view.memory.sync_write.is_some_and(|over| over == revision(view))
}

fn revision(view: &View) -> Revision {
    view.cluster().sync.as_ref().map_or(Revision::ABSENT, |sync| sync.revision)
}

/// What goes before a promotion. Whoever promotes has every acknowledged commit.
pub fn before_promotion(view: &View) -> Vec<Effect> {
    let me = &view.me.name;
    let managed = view.settings.dynamic.manages_synchronous_standbys();
    let set = |names| {
        let possible = Vec::new();
        Effect::Sync(SyncChange::SetNames { names, possible, raises_count: false })
    };
    let closed_if_strict = |names| match names {
        SyncNames::Nobody if managed && view.settings.dynamic.synchronous_mode_strict => {
            SyncNames::Closed
        }
        names => names,
    };
    match record(view) {
        // An earlier lease of this node may have left some, under a record that is gone.
        None if !managed => vec![Effect::Sync(SyncChange::LeaveNames)],
        None => vec![
            write_down(view, &Voters::leader_only(), Vec::new()),
            set(closed_if_strict(SyncNames::Nobody)),
        ],
        Some(SyncState { leader: Some(leader), standbys, quorum }) => {
            let recorded = SyncState { leader: None, standbys, quorum };
            let (voters, names) = on_promotion(&Voters::recorded(&recorded), &leader, me);
            let mut effects = Vec::new();
            if leader != *me || write_is_open(view) {
                effects.push(write_down(view, &voters, vec![names.clone()]));
            }
            effects.push(set(closed_if_strict(names)));
            effects
        }
        Some(SyncState { leader: None, .. }) => Vec::new(),
    }
}

/// Whether a server that went down under its leader has to come up as a standby, to be promoted again:
/// what its standbys lack must not be read before they have it.
pub fn comes_up_closed(view: &View) -> bool {
    view.settings.dynamic.manages_synchronous_standbys() || record(view).is_some()
}

/// That clients are let read this server's data, where a record of synchronous standbys makes that a question, and
/// the journal does not say so yet.
pub fn admission_to_remember(view: &View) -> Option<Effect> {
    let since = view.memory.sync.admitted?;
    (record(view).is_some() && view.journal.admitted != Some(since))
        .then_some(Effect::RememberAdmitted(since))
}

/// A standby that a commit could wait for.
struct Standby {
    name: MemberName,
    may_lead: bool,
    priority: i64,
    is_named: bool,
    lsn: Lsn,
}

/// Whom commits are to wait for, and when that may change by itself.
fn wanted(
    view: &View,
    facts: &PrimaryFacts,
    now: Option<&SyncNames>,
) -> (SyncNames, Option<Monotonic>) {
    let dynamic = &view.settings.dynamic;
    let fit = fit(view, facts, now);
    // Without slots one that connects anew while its first connection hangs would confirm a commit twice. With them
    // it cannot: the first connection holds its slot.
    let most = if view.settings.use_slots { dynamic.synchronous_node_count } else { 1 };
    let count = most.max(1);
    let chosen: BTreeSet<MemberName> = match dynamic.synchronous_mode {
        SynchronousMode::Off | SynchronousMode::On => {
            fit.iter().take(count).map(|one| one.name.clone()).collect()
        }
        SynchronousMode::Quorum => {
            let leaders = fit.iter().filter(|one| one.may_lead).count();
            let most = leaders.max(count);
            fit.iter().take(most).map(|one| one.name.clone()).collect()
        }
    };
    if !chosen.is_empty() {
        return (SyncNames::any_of(count, chosen), None);
    }
    let has_names = matches!(now, Some(SyncNames::AnyOf { .. }));
    if dynamic.synchronous_mode_strict {
        // Names that nobody answers to keep writes waiting as well as any other.
        let keeps = |now: &&SyncNames| has_names && !is_in_doubt(view, facts, now);
        let kept = now.filter(keeps).cloned();
        return (kept.unwrap_or(SyncNames::Closed), None);
    }
    let patience = view.settings.times.renewal_period;
    match (now, view.memory.sync.lonely_since) {
        (Some(names), Some(since)) if has_names && view.now < since + patience => {
            (names.clone(), Some(since + patience))
        }
        _ => (SyncNames::Nobody, None),
    }
}

/// Whether somebody goes under one of these names of whom it cannot be told that it is the member.
fn is_in_doubt(view: &View, facts: &PrimaryFacts, names: &SyncNames) -> bool {
    let (rows, rules) = (by_name(facts), StandbyRules::of(&view.settings));
    names.members().any(|name| {
        // No other state releases a commit: one that is only just connecting does not yet.
        let releases = |row: &&&Downstream| matches!(row.state.as_str(), "streaming" | "stopping");
        let under = rows.get(name.as_str()).into_iter().flatten().filter(releases);
        let under: Vec<&Downstream> = under.copied().collect();
        !under.is_empty() && of_member(name, &under, rules).is_none()
    })
}

/// The standbys that may be waited for, best first; those that may not lead come last.
fn fit(view: &View, facts: &PrimaryFacts, now: Option<&SyncNames>) -> Vec<Standby> {
    let cluster = view.cluster();
    let rules = StandbyRules::of(&view.settings);
    let rows = by_name(facts);
    let mut fit: Vec<Standby> = rows
        .iter()
        .filter_map(|(name, rows)| {
            let member = cluster.members.get(&MemberName::from(*name))?;
            let row = of_member(&member.name, rows, rules)?;
            let tags = Tags::from_map(&member.tags).0;
            let is_fit = row.state == "streaming"
                && rules.reached(row) > Lsn::ZERO
                && member.name != view.me.name
                && member.state == MemberState::Running
                && member.role == Role::Replica
                && member.unfit().is_none()
                && !tags.nosync;
            let is_named = now.is_some_and(|now| now.members().any(|one| *one == member.name));
            is_fit.then(|| Standby {
                name: member.name.clone(),
                may_lead: member.may_lead(),
                priority: tags.sync_priority,
                is_named,
                lsn: rules.reached(row),
            })
        })
        .collect();
    if let Some(most) = view.settings.dynamic.maximum_lag_on_syncnode {
        let alone = fit.len() == 1;
        let best = fit.iter().map(|one| one.lsn).max().filter(|_| !alone);
        let best = best.unwrap_or(facts.position.lsn);
        fit.retain(|one| one.lsn.bytes_behind(best) <= most);
    }
    fit.sort_by_key(|one| {
        (Reverse((one.may_lead, one.priority, one.is_named, one.lsn)), one.name.clone())
    });
    fit
}
