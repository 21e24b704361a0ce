//! Nodes without data, and clusters without any: the first data, and copies of it.

use crate::cluster::{Basis, Control, Initialize, StartAs, State, StopMode};
use crate::values::{SystemId, Term};

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, Unfinished, Vacancy, View};
use super::{upstream, voting};

/// No leader and no data here: makes the cluster's first data, if nobody else does.
pub fn claim_or_wait(view: &View, vacancy: Vacancy) -> Decision {
    let cluster = view.cluster();
    match (vacancy, cluster.initialize.as_ref().map(|key| key.value)) {
        (_, Some(Initialize::Claimed)) if cluster.claimant == Some(view.me.incarnation) => {
            let reason = Reason::plain("give the claim up: the bootstrap it was for is over");
            Decision::act(reason, JobKind::Other, vec![Effect::DropClaim])
        }
        (_, Some(Initialize::Claimed)) => {
            Decision::wait(Reason::plain("wait: another node is bootstrapping the cluster"))
        }
        (_, Some(Initialize::Done(_))) => {
            Decision::wait(Reason::plain("wait for a leader to copy from"))
        }
        (Vacancy::Released | Vacancy::Silent | Vacancy::NeverHeld, None) => claim(view),
    }
}

fn claim(view: &View) -> Decision {
    if !view.me.can_bootstrap {
        let reason = Reason::plain("wait for a leader: the file has no bootstrap section");
        return Decision::wait(reason);
    }
    if let Some(reason) = may_not_lead(view) {
        return Decision::wait(reason);
    }
    if let Some(until) = view.resting_until(JobKind::Bootstrap) {
        return Decision::wait(Reason::plain("wait: another node was quicker to bootstrap"))
            .and_look_again_at(until);
    }
    let effects = vec![
        Effect::ClaimInitialize,
        Effect::Begin(Unfinished::Bootstrap),
        Effect::InitializeData,
        take_first_baton(view),
        Effect::Start { start_as: StartAs::Primary, within: view.settings.start_within },
        Effect::CreateAccounts,
        Effect::FinishBootstrap,
        Effect::Finish,
    ];
    Decision::act(Reason::plain("bootstrap a new cluster"), JobKind::Bootstrap, effects)
}

fn may_not_lead(view: &View) -> Option<Reason> {
    let tagged = "wait for a leader: this node is tagged nofailover";
    view.me.why_it_may_not_lead(tagged, "wait for a leader: this node cannot be fenced")
}

fn take_first_baton(view: &View) -> Effect {
    let cluster = view.cluster();
    let baton = cluster.baton.as_ref().map(|baton| baton.revision).unwrap_or_default();
    let term = cluster.highest_term().max(view.journal.promised).next().max(Term(1));
    Effect::TakeBaton { baton, term, basis: Basis::default() }
}

/// A stopped standalone server becomes the first leader of a cluster that has no data yet.
pub fn adopt(view: &View, control: &Control) -> Decision {
    if control.state.was_standby() {
        let reason = Reason::plain("wait for a leader: a standby's data cannot found a cluster");
        return Decision::wait(reason);
    }
    if let Some(reason) = may_not_lead(view) {
        return Decision::wait(reason);
    }
    let effects = vec![
        Effect::ClaimInitialize,
        take_first_baton(view),
        Effect::Start { start_as: StartAs::Primary, within: view.settings.start_within },
        Effect::FinishBootstrap,
    ];
    let reason = Reason::plain("adopt the existing data as the cluster's first");
    Decision::act(reason, JobKind::Start, effects)
}

/// A running standalone server: it is stopped first, so that it runs under this agent from then on.
pub fn take_in(view: &View, vacancy: Vacancy) -> Decision {
    if vacancy != Vacancy::NeverHeld {
        let reason = Reason::plain("step down: nobody holds the lease");
        return Decision::act(reason, JobKind::Stop, vec![Effect::Kill]);
    }
    let within = view.settings.start_within;
    let stop = Effect::Stop { mode: StopMode::Fast, within };
    let reason = Reason::plain("stop the running server in order to adopt it");
    Decision::act(reason, JobKind::Stop, vec![stop])
}

/// Somebody leads and there is no data here: copies theirs, once there is something to copy.
pub fn copy_or_wait(view: &View) -> Decision {
    let cluster = view.cluster();
    if let Some(until) = view.resting_until(JobKind::Copy) {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        return Decision::wait(Reason::with("pause before the next copy", why))
            .and_look_again_at(until);
    }
    if cluster.system_id().is_none() {
        return Decision::wait(Reason::plain("wait: another node is bootstrapping the cluster"));
    }
    if let Some(why) = voting::why_no_log(view) {
        let reason = Reason::with("wait: this node has promised a later term", why);
        return Decision::wait(reason);
    }
    let Some(leader) = upstream::of_leader(view) else {
        return Decision::wait(Reason::plain("wait: the leader has not said where it is"));
    };
    if !upstream::serves(view, &leader) {
        let reason = Reason::with("wait: the leader does not serve yet", leader.name.as_str());
        return Decision::wait(reason);
    }
    let source = upstream::to_copy_from(view, &leader);
    let reason = if source.name == leader.name {
        Reason::with("copy the leader's data", leader.name.as_str())
    } else {
        Reason::with("copy a standby's data", source.name.as_str())
    };
    let effects = vec![
        Effect::Begin(Unfinished::Copy),
        Effect::CopyFrom(source),
        Effect::Finish,
        Effect::Start {
            start_as: StartAs::Standby(upstream::to_stream_from(view, leader)),
            within: view.settings.start_within,
        },
    ];
    Decision::act(reason, JobKind::Copy, effects)
}

/// A bootstrap of this node's that was not finished. Its claim goes first: after that nothing that is
/// still on its way to the store can make the cluster's what is about to be removed.
pub fn undo(view: &View) -> Decision {
    if let Some(until) = view.resting_until(JobKind::Stop) {
        let reason = Reason::plain("pause before undoing the bootstrap");
        return Decision::wait(reason).and_look_again_at(until);
    }
    if view.cluster.is_none() {
        // What was sent last may have been applied, and may still be.
        let reason = Reason::plain("wait for the store before undoing the bootstrap");
        return Decision::wait(reason);
    }
    let cluster = view.cluster();
    let claimed_by_me = cluster.claimant == Some(view.me.incarnation);
    match (cluster.initialize.as_ref().map(|key| key.value), own_system_id(view)) {
        (Some(Initialize::Done(theirs)), Some(ours)) if theirs == ours => {
            let reason = Reason::plain("keep the bootstrap: it was written down after all");
            return Decision::act(reason, JobKind::Other, vec![Effect::Finish]);
        }
        (Some(Initialize::Claimed), _) if !claimed_by_me => {
            let reason = Reason::plain("wait: an earlier claim to bootstrap may still be finished");
            return Decision::act(reason, JobKind::Stop, kill_if_running(view));
        }
        (Some(Initialize::Claimed | Initialize::Done(_)) | None, _) => {}
    }
    let mut effects = vec![Effect::Kill, Effect::DropClaim, Effect::RemoveData, Effect::Finish];
    if matches!(view.seat, Seat::Mine(_)) {
        effects.push(Effect::Release);
    }
    let failure = view.memory.failure.as_ref();
    let mine = failure.filter(|failure| failure.kind == JobKind::Bootstrap);
    if let Some(failure) = mine {
        effects.push(Effect::Exit(format!("bootstrap failed: {}", failure.reason)));
    }
    let why = mine.map_or(String::new(), |failure| failure.reason.clone());
    let reason = Reason::with("undo the bootstrap that was not finished", why);
    Decision::act(reason, JobKind::Stop, effects)
}

fn kill_if_running(view: &View) -> Vec<Effect> {
    match &*view.server {
        State::Empty | State::Unusable(_) | State::Down(_) => Vec::new(),
        State::Starting
        | State::Stopping
        | State::Primary(_)
        | State::Standby(_)
        | State::Silent => vec![Effect::Kill],
    }
}

fn own_system_id(view: &View) -> Option<SystemId> {
    match &*view.server {
        State::Primary(facts) => Some(facts.system_id),
        State::Standby(facts) => Some(facts.system_id),
        State::Down(control) => Some(control.system_id),
        State::Empty | State::Unusable(_) | State::Starting | State::Stopping | State::Silent => {
            None
        }
    }
}
