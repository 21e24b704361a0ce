//! Holding the seat: keeping the server serving, or giving the seat up.

use crate::cluster::{Control, Member, MemberState, PrimaryFacts, StartAs, State};
use crate::values::MemberName;

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, View};
use super::{failsafe, handover, health, promotion, proof, rejoin, replaced, synchronous, upkeep};

/// Leads: carries out what was asked for, and keeps the cluster's state in order.
pub fn keep(view: &View, facts: &PrimaryFacts) -> Decision {
    if view.emptied {
        return replaced::take_again(view);
    }
    if !view.carried_by.is_empty() {
        return failsafe::lead_on(view, facts);
    }
    let highest = view.cluster().highest_term().max(view.journal.promised);
    if view.my_term.is_some_and(|mine| mine < highest) {
        let detail = format!("to {highest}");
        let reason = Reason::with("raise the term: a race broke off", detail);
        return Decision::act(reason, JobKind::Other, vec![Effect::RaiseTerm(highest)]);
    }
    if view.cluster().revision < view.memory.wrote {
        // What was just written is still missing here: doing it again would go round in circles.
        return Decision::wait(Reason::plain("lead"));
    }
    if view.cluster().lineage.is_none() && view.resting_until(JobKind::Other).is_none() {
        let reason = Reason::plain("write down what this cluster's data is");
        return Decision::act(reason, JobKind::Other, vec![Effect::FinishBootstrap]);
    }
    if !promotion::is_settled(&view.cluster().lineage()) {
        if let Some(until) = view.resting_until(JobKind::Other) {
            let reason = Reason::plain("pause before recording the promotion");
            return Decision::wait(reason).and_look_again_at(until);
        }
        if let Some(until) = view.resting_until(JobKind::Promote) {
            let reason = Reason::plain("pause before recording the promotion again");
            return Decision::wait(reason).and_look_again_at(until);
        }
        let reason = Reason::plain("record the promotion");
        return Decision::act(reason, JobKind::Promote, vec![Effect::RecordPromotion]);
    }
    let synchronous = synchronous::next(view, facts);
    if let synchronous::Next::Act(decision) = synchronous {
        return decision;
    }
    if let Some(decision) = handover::asked_for(view, facts) {
        return decision;
    }
    let decision = match synchronous {
        synchronous::Next::Act(decision) | synchronous::Next::Say(decision) => decision,
        synchronous::Next::Nothing => Decision::wait(Reason::plain("lead")),
    };
    decision.with_upkeep(upkeep::of_a_leader(view, facts))
}

/// The server is on its way up or down: waits for it, within `primary_start_timeout`.
pub fn wait_for_the_server(view: &View) -> Decision {
    if let Some(decision) = too_long(view) {
        return decision;
    }
    if let Some(decision) = rejoin::recover_what_lets_nobody_in(view) {
        return decision;
    }
    let stuck = view.memory.unserved_since.is_some_and(|since| {
        *view.server == State::Stopping && view.now.since(since) >= view.settings.times.ttl
    });
    if stuck {
        // A frozen standby or a stuck archiver can hold a shutdown for ever.
        let reason = Reason::plain("kill the server: its shutdown does not end");
        return Decision::act(reason, JobKind::Stop, vec![Effect::Kill]);
    }
    let limit = view.settings.dynamic.primary_start_timeout;
    let decision = Decision::wait(Reason::plain("lead: the server is not accepting writes yet"));
    match view.memory.unserved_since {
        Some(since) => decision.and_look_again_at(since + limit),
        None => decision,
    }
}

/// The server is down under this leader: starts it again, or hands over.
pub fn recover_or_give_up(view: &View, control: &Control) -> Decision {
    if let Some(decision) = too_long(view) {
        return decision;
    }
    if ends_soon(view) {
        return Decision::wait(Reason::plain("stay down: the lease could not be renewed"));
    }
    if health::waits_for_what_is_free(view) {
        let again_at = view.now + health::probe_period(view.settings.dynamic.primary_stall_timeout);
        return Decision::wait(Reason::plain("lead: ask whether the disk is full still"))
            .and_look_again_at(again_at);
    }
    if let Some(until) = view.resting_until(JobKind::Start) {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        return Decision::wait(Reason::with("pause before starting the server again", why))
            .and_look_again_at(until);
    }
    let as_standby = control.state.was_standby() || synchronous::comes_up_closed(view);
    let start_as = if as_standby { StartAs::Standby(None) } else { StartAs::Primary };
    let within = view.settings.dynamic.primary_start_timeout.max(view.settings.times.ttl);
    // What is left of the old server goes first: a busy backend outlives its postmaster.
    let effects = vec![Effect::Kill, Effect::Start { start_as, within }];
    let label = match control.state {
        crate::cluster::ControlState::InProduction => "restart in place: the server crashed",
        crate::cluster::ControlState::ShutDown
        | crate::cluster::ControlState::ShutDownInRecovery
        | crate::cluster::ControlState::InRecovery => "restart in place: the server was stopped",
    };
    Decision::act(Reason::plain(label), JobKind::Start, effects)
}

/// The soft stop has begun, or would as soon as the server were up: once begun, only a renewal undoes it.
fn ends_soon(view: &View) -> bool {
    let Seat::Mine(until) = view.seat else { return false };
    view.now >= until.moment() - view.settings.times.soft_stop
}

/// There is nothing to lead with.
pub fn give_up(view: &View) -> Decision {
    let _ = view;
    let reason = Reason::plain("give the lead up: the data directory is empty or unusable");
    Decision::act(reason, JobKind::Stop, vec![Effect::Kill, Effect::Release])
}

/// Hands over once the server was not serving for `primary_start_timeout`, if anybody could go on.
fn too_long(view: &View) -> Option<Decision> {
    let since = view.memory.unserved_since?;
    let limit = view.settings.dynamic.primary_start_timeout;
    // Somebody wants this very server restarted: not handed over, also where a crash would be at once.
    let asked = view.memory.restart_of.map(|_| view.settings.times.ttl);
    if view.now.since(since) < asked.map_or(limit, |least| limit.max(least)) {
        return None;
    }
    let successor = somebody_else(view)?;
    let reason = Reason::with(
        "hand over: the server did not come back within primary_start_timeout",
        format!("{successor} is there"),
    );
    let effects = vec![Effect::Kill, Effect::Release];
    Some(Decision::act(reason, JobKind::HandOver, effects).interrupting())
}

/// A member that says it could go on.
pub fn somebody_else(view: &View) -> Option<MemberName> {
    could_go_on(view).next().map(|member| member.name.clone())
}

/// Who says that it could go on: the running standbys that may lead and that nothing is wrong with; in
/// synchronous mode only where a race without this node could tell what was acknowledged.
pub fn could_go_on(view: &View) -> impl Iterator<Item = &Member> {
    let provable = proof::is_possible_without_me(view);
    let members = view.cluster.iter().flat_map(|cluster| cluster.each_member());
    members.filter(move |member| {
        provable
            && member.name != view.me.name
            && member.may_lead()
            && member.unfit().is_none()
            && member.state == MemberState::Running
            && member.role == crate::cluster::Role::Replica
    })
}
