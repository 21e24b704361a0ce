//! Giving the seat to somebody by name: the slow work while writes still run, then a stop, then one
//! transaction. Until the stop, breaking off costs nothing.

use std::cmp::Reverse;
use std::time::Duration;

use crate::cluster::{Outcome, PrimaryFacts, Request, StopMode};
use crate::mutants::{Mutant, planted};
use crate::values::{Incarnation, Lsn, MemberName, Monotonic, Revision};

use super::decision::{Decision, Effect, Reason};
use super::proof;
use super::view::{JobKind, View};

/// A stream that has begun tells its first position within moments. One that never does would keep
/// whoever asked without an answer, so a request waits for it no longer than this.
const FIRST_POSITION_WITHIN: Duration = Duration::from_secs(5);

/// What to do about the pending request, if there is one that is due.
pub fn asked_for(view: &View, facts: &PrimaryFacts) -> Option<Decision> {
    let cluster = view.cluster();
    let versioned = cluster.request.as_ref()?;
    let request = versioned.value.as_ref()?;
    let revision = versioned.revision;
    if request.scheduled_at.is_some() {
        let reason = "scheduled switchovers are not carried out yet; ask again when it is time";
        return Some(refuse(revision, reason.to_owned()));
    }
    if already_done(view, request) {
        let reason = format!("{} leads", view.me.name);
        return Some(answer(revision, true, reason));
    }
    if request.accepts_loss {
        let reason = format!("{} leads, so nothing need be lost", view.me.name);
        return Some(refuse(revision, reason));
    }
    if let Some(leader) = &request.leader
        && *leader != view.me.name
    {
        let reason = format!("{leader} does not lead, {} does", view.me.name);
        return Some(refuse(revision, reason));
    }
    if let Some((tried, why)) = &view.memory.request_tried
        && *tried == revision
    {
        return Some(refuse(revision, why.clone()));
    }
    let waits_until = first_position_until(view, revision);
    if let Some(name) = begins_to_stream(view, facts, request.candidate.as_ref())
        && view.now < waits_until
    {
        let reason = Reason::with("hand over: wait until it says how far it is", name);
        let again_at = view.now + view.settings.times.heartbeat;
        return Some(Decision::wait(reason).and_look_again_at(again_at.min(waits_until)));
    }
    match candidate(view, facts, request.candidate.as_ref()) {
        Ok((to, incarnation)) => Some(hand_over(view, to, incarnation, "somebody asked for it")),
        Err(why) => Some(refuse(revision, why)),
    }
}

/// Until when a request waits for a stream that has told no position yet.
fn first_position_until(view: &View, request: Revision) -> Monotonic {
    let since = view.memory.request_since.filter(|(known, _)| *known == request);
    let since = since.map_or(view.now, |(_, since)| since);
    since + FIRST_POSITION_WITHIN.min(view.settings.dynamic.retry_timeout)
}

/// A possible successor whose stream has just begun: it tells its position within moments.
fn begins_to_stream(
    view: &View,
    facts: &PrimaryFacts,
    wanted: Option<&MemberName>,
) -> Option<String> {
    let begins = |name: &&MemberName| {
        wanted.is_none_or(|wanted| wanted == *name)
            && facts.downstreams.iter().any(|stream| {
                stream.name == name.as_str()
                    && stream.state == "streaming"
                    && stream.flushed == Lsn::ZERO
            })
    };
    view.cluster().members.keys().find(begins).map(ToString::to_string)
}

/// A request is kept by the old leader and answered by the new one.
fn already_done(view: &View, request: &Request) -> bool {
    let me = Some(&view.me.name);
    request.leader.is_some() && request.leader.as_ref() != me && {
        request.candidate.is_none() || request.candidate.as_ref() == me
    } || request.leader.is_none() && request.candidate.as_ref() == me
}

fn refuse(request: Revision, reason: String) -> Decision {
    answer(request, false, reason)
}

fn answer(request: Revision, done: bool, reason: String) -> Decision {
    let label = if done { "the handover is complete" } else { "refuse to hand over" };
    let effects = vec![Effect::AnswerRequest(Outcome { request, done, reason: reason.clone() })];
    Decision::act(Reason::with(label, reason), JobKind::Other, effects)
}

/// Checkpoint and wait while writes run, then stop, then offer.
pub fn hand_over(view: &View, to: MemberName, incarnation: Incarnation, why: &str) -> Decision {
    let bound = view.settings.dynamic.retry_timeout;
    let reason = Reason::with("hand over", format!("to {to}, {why}"));
    if planted(Mutant::ReleaseBeforeStop) {
        let offer = Effect::Offer { to, incarnation };
        let stop = Effect::Stop { mode: StopMode::Fast, within: bound };
        return Decision::act(reason, JobKind::HandOver, vec![Effect::Checkpoint, offer, stop]);
    }
    let effects = vec![
        Effect::Checkpoint,
        Effect::Stop { mode: StopMode::Fast, within: bound.max(view.settings.times.ttl) },
        Effect::AwaitReceived { candidate: to.clone(), within: view.settings.times.ttl.min(bound) },
        Effect::Offer { to, incarnation },
    ];
    Decision::act(reason, JobKind::HandOver, effects)
}

/// The one to hand over to: the wanted one if it is fit, else the best that is.
///
/// # Errors
/// Why nobody, or not the wanted one, can take over: said to whoever asked.
pub fn candidate(
    view: &View,
    facts: &PrimaryFacts,
    wanted: Option<&MemberName>,
) -> Result<(MemberName, Incarnation), String> {
    let cluster = view.cluster();
    if let Some(wanted) = wanted {
        if *wanted == view.me.name {
            return Err(format!("{wanted} leads already"));
        }
        if !cluster.members.contains_key(wanted) {
            return Err(format!("{wanted} is not a member of this cluster"));
        }
        return fitness(view, facts, wanted).map(|(incarnation, _)| (wanted.clone(), incarnation));
    }
    let others = cluster.members.keys().filter(|name| **name != view.me.name);
    let synchronous = proof::record(view);
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for name in others {
        match fitness(view, facts, name) {
            Ok((incarnation, flushed)) => {
                let priority = cluster.members[name].failover_priority();
                let listed = synchronous.as_ref().is_some_and(|one| one.standbys.contains(name));
                fit.push((Reverse((listed, flushed, priority)), name.clone(), incarnation));
            }
            Err(why) => unfit.push(why),
        }
    }
    fit.sort();
    match fit.into_iter().next() {
        Some((_, name, incarnation)) => Ok((name, incarnation)),
        None if unfit.is_empty() => Err("there is no other member".to_owned()),
        None => Err(format!("no member is fit: {}", unfit.join("; "))),
    }
}

/// Whether one member could take over now.
fn fitness(
    view: &View,
    facts: &PrimaryFacts,
    name: &MemberName,
) -> Result<(Incarnation, crate::values::Lsn), String> {
    let cluster = view.cluster();
    let member = &cluster.members[name];
    if !member.may_lead() {
        return Err(format!("{name} is tagged nofailover"));
    }
    if let Some(why) = member.unfit() {
        return Err(format!("{name} is not well: {why}"));
    }
    let Some(presence) = cluster.presences.get(name) else {
        return Err(format!("{name} has no running agent"));
    };
    let stream = facts
        .downstreams
        .iter()
        .find(|downstream| downstream.name == name.as_str() && downstream.state == "streaming");
    let Some(stream) = stream else {
        return Err(format!("{name} is not streaming"));
    };
    if stream.flushed == Lsn::ZERO {
        return Err(format!("{name} is connected and has not confirmed any position"));
    }
    let lag = stream.flushed.bytes_behind(facts.position.lsn);
    let most = view.settings.dynamic.maximum_lag_on_failover;
    if lag > most {
        return Err(format!("{name} lags by {lag} bytes, {most} are allowed"));
    }
    Ok((presence.incarnation, stream.flushed))
}
