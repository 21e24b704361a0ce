//! Opening and closing the server to writes, and what has to be written down around that.

use std::time::Duration;

use super::context::{Context, Note};
use super::effects::EffectError;
use super::lease::{Fence, LeaseError};
use super::ports::Ports;
use super::until;
use crate::cluster::{
    Basis, ControlState, Lineage, Promotion, PromotionState, StartAs, State, StopMode, Versioned,
};
use crate::dcs::{Compare, Store, codec, keys, txns};
use crate::mutants::{Mutant, planted};
use crate::observe::{Peer, Peers};
use crate::postgres::Server;
use crate::publish::{Event, EventKind};
use crate::values::{Clock, Incarnation, LeaseDeadline, MemberName, Revision, Term, WalPosition};

/// A promotion takes some 40 ms; three times that has to be left of the lease.
const TO_PROMOTE: Duration = Duration::from_millis(120);
/// How long a guardian that has died may take to be replaced.
const GUARDIAN_BACK_WITHIN: Duration = Duration::from_secs(1);
/// How long a guardian may take to set its timers: it is woken for that, and takes less than a millisecond.
const TO_TAKE_IN: Duration = Duration::from_millis(100);
/// How long a look may take where an effect needs one.
const A_LOOK: Duration = Duration::from_secs(2);

/// The deadline of the lease that is held, if enough of it is left to open the server.
fn lease_left<P: Ports>(context: &Context<P>) -> Result<LeaseDeadline, EffectError> {
    let held = context.lease_sight.borrow().held.ok_or(LeaseError::NotHeld)?;
    if held.deadline.left(context.clock.now()) < TO_PROMOTE {
        return Err(EffectError::Refused("too little is left of the lease".to_owned()));
    }
    Ok(held.deadline)
}

/// Nothing is opened to writes without somebody outside of this process who would close it in time. One
/// that has just died is being replaced.
async fn guarded<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let is_alive = async |_| context.exposure.fence().is_alive();
    if !until::became(context, GUARDIAN_BACK_WITHIN, is_alive).await {
        let why = "there is no living guardian, so the server is not opened to writes";
        return Err(EffectError::Refused(why.to_owned()));
    }
    watched(context).await
}

/// Marks the server as open until the lease's deadline, once the guardian goes by that: from then on it is
/// closed in time whatever becomes of this process. Nothing is opened under one that is stopped or starved.
async fn expose<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let deadline = lease_left(context)?;
    let was_exposed = context.exposure.is_exposed();
    context.exposure.expose(deadline);
    let follows = async |_| context.exposure.fence().follows();
    if until::became(context, TO_TAKE_IN, follows).await {
        return Ok(());
    }
    if !was_exposed {
        context.exposure.cover();
    }
    let why = "the guardian does not take the lease's deadline in (it is stopped, or starved), so the server is \
               not opened to writes";
    Err(EffectError::Refused(why.to_owned()))
}

/// Where a watchdog device is required, nothing is opened to writes without it.
async fn watched<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let Err(why) = context.exposure.fence().arm_watchdog().await else { return Ok(()) };
    if context.me().needs_watchdog {
        let why = format!("the watchdog is required (watchdog.mode) and cannot be armed: {why}");
        return Err(EffectError::Refused(why));
    }
    tracing::info!(why, "no watchdog device is armed");
    Ok(())
}

/// Replaces the baton; the promise of its term goes first.
pub async fn take<P: Ports>(
    context: &Context<P>,
    baton: Revision,
    term: Term,
    basis: Basis,
) -> Result<(), EffectError> {
    context.notebook.promise(term).await?;
    Ok(context.lease.take(baton, term, basis).await.map(drop)?)
}

/// Accepts the offered baton. The promise goes first, as in a race: an earlier leader is not followed
/// any more.
pub async fn accept<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let offered = context.cluster().baton.as_ref().map(|baton| baton.value.term);
    context.notebook.promise(offered.ok_or(LeaseError::NotHeld)?).await?;
    Ok(context.lease.accept().await.map(drop)?)
}

/// Writes down what is about to be promoted; an intent of this term that is there already is kept.
pub async fn record_intent<P: Ports>(
    context: &Context<P>,
    known: &Versioned<Lineage>,
) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let me = context.me();
    let written = context.kept.written_lineage.borrow().clone();
    let newer = written.filter(|written| written.revision > known.revision);
    let Versioned { value: mut lineage, revision } = newer.unwrap_or_else(|| known.clone());
    let within = context.settings().dynamic.retry_timeout;
    let settled = context.server.settle(within).await?;
    let parent = settled.position.timeline;
    // This server is on a timeline that was intended: it was promoted, and nobody heard of it.
    if !planted(Mutant::PromotionForgotten) {
        if let Some(taken_up) = lineage.taken_up(parent, &settled.ancestors) {
            lineage = taken_up;
        } else if lineage.is_burnt(parent) {
            let why = format!("its timeline {parent} was given up, and the history has gone on");
            return Err(EffectError::Refused(why));
        }
    }
    let again = lineage.latest().is_some_and(|latest| {
        latest.term == guard.term
            && latest.node == me.name
            && latest.state == PromotionState::Intended
    });
    if again {
        lineage.promotions.pop();
    }
    let again = planted(Mutant::BurntTimelineAgain);
    let timeline = if again { parent.next() } else { lineage.next_timeline(parent) };
    lineage.promotions.push(Promotion {
        term: guard.term,
        timeline,
        parent: Some(parent),
        switched_at: settled.position.lsn,
        node: me.name.clone(),
        state: PromotionState::Intended,
    });
    write_lineage(context, lineage.clone(), revision).await?;
    lineage.promotions.pop();
    let burnt = lineage.burnt_after(parent);
    if !burnt.is_empty() && !planted(Mutant::BurntTimelineAgain) {
        context.server.burn_timelines(parent, &burnt).await?;
    }
    Ok(())
}

/// Writes the record, guarded, over the one that was read at `over`: an earlier write of this agent's
/// own that arrives late must not undo a later one.
async fn write_lineage<P: Ports>(
    context: &Context<P>,
    lineage: Lineage,
    over: Revision,
) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let put = txns::put(keys::LINEAGE, codec::lineage(&lineage));
    let mut txn = txns::guarded(&guard, vec![put]);
    txn.compares.push(Compare::ModRevision(keys::LINEAGE.to_owned(), over));
    let within = context.settings().times.one_try;
    let reply = context.store.commit(txn, within).await?;
    if !reply.succeeded {
        return Err(EffectError::Conflict("the guard or the record of promotions"));
    }
    let revision = reply.revision;
    context.note(Note::Wrote(revision));
    context.kept.written_lineage.replace(Some(Versioned { value: lineage, revision }));
    Ok(())
}

/// Promotes the standby under the lease that is held.
pub async fn promote<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    guarded(context).await?;
    context.kept.standing_vote.replace(None);
    expose(context).await?;
    let promoted = context.server.promote(context.settings().dynamic.retry_timeout).await?;
    context.note(Note::Promoted(promoted.timeline));
    let mut event = Event::new(context.clock.wall_micros(), EventKind::Promotion, "promoted")
        .fact("timeline", promoted.timeline.0);
    if let Some(guard) = context.guard() {
        event = event.fact("term", guard.term.0);
    }
    context.events.note(event);
    Ok(())
}

/// Takes up the lease of this node's earlier agent. What that one had sent may have arrived up to then: nothing is
/// decided by what was seen before.
pub async fn resume<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    context.lease.resume().await?;
    let since = context.lease_sight.borrow().held.map(|held| held.since);
    context.note(Note::Wrote(since.ok_or(LeaseError::NotHeld)?));
    Ok(())
}

/// Records the promotion as done, from what the server itself says of its timeline.
pub async fn record_done<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let State::Primary(facts) = context.server.look(A_LOOK).await.state else {
        return Err(EffectError::Refused("the server is not a primary".to_owned()));
    };
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let Some(Versioned { value: mut lineage, revision }) = newest_lineage(context) else {
        return Ok(());
    };
    let me = context.me();
    let Some(latest) = lineage.promotions.last_mut() else { return Ok(()) };
    if latest.state == PromotionState::Done {
        return Ok(());
    }
    if latest.node != me.name || latest.timeline != facts.position.timeline {
        // Somebody's intent that came to nothing: this primary is on the timeline it was on.
        lineage.promotions.pop();
    } else {
        latest.state = PromotionState::Done;
        latest.term = guard.term;
        if let Some(parent) = facts.ancestors.last() {
            latest.parent = Some(parent.timeline);
            latest.switched_at = parent.ended_at;
        }
    }
    write_lineage(context, lineage, revision).await
}

/// The record as this agent wrote it last, or as the store has shown it since.
fn newest_lineage<P: Ports>(context: &Context<P>) -> Option<Versioned<Lineage>> {
    let written = context.kept.written_lineage.borrow().clone();
    let shown = context.cluster().lineage.clone();
    written.into_iter().chain(shown).max_by_key(|one| one.revision)
}

/// Starts the server; as a primary only under a lease.
pub async fn start<P: Ports>(
    context: &Context<P>,
    start_as: &StartAs,
    within: Duration,
) -> Result<(), EffectError> {
    context.kept.standing_vote.replace(None);
    if *start_as == StartAs::Primary {
        guarded(context).await?;
        expose(context).await?;
    }
    Ok(context.server.start(start_as, within).await?)
}

/// Stops the server; one that has ended cannot accept writes.
pub async fn stop<P: Ports>(
    context: &Context<P>,
    mode: StopMode,
    within: Duration,
) -> Result<(), EffectError> {
    context.server.stop(mode, within).await?;
    // The postmaster has ended; a backend that outlived it has to go before anything relies on that.
    kill(context).await
}

/// Kills every process of the server.
pub async fn kill<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let killed = context.server.kill().await;
    context.exposure.cover();
    if killed.processes > 0 {
        tracing::info!(processes = killed.processes, all_gone = killed.all_gone, "killed");
    }
    Ok(())
}

/// Where the log ends; `None` where that is not known: the files of a server that was not stopped
/// cleanly tell no more than a lower bound.
async fn end_of_log<P: Ports>(context: &Context<P>) -> Option<WalPosition> {
    match context.server.look(A_LOOK).await.state {
        State::Down(control) => (control.state == ControlState::ShutDown)
            .then_some(WalPosition { timeline: control.timeline, lsn: control.end }),
        State::Standby(facts) => Some(facts.position()),
        State::Empty
        | State::Unusable(_)
        | State::Starting
        | State::Stopping
        | State::Primary(_)
        | State::Silent => None,
    }
}

/// The baton is given up only when nothing can accept a write any more.
fn assert_covered<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    if context.exposure.is_exposed() && !planted(Mutant::ReleaseBeforeStop) {
        let why = "the lease is not given up while the server may accept writes".to_owned();
        return Err(EffectError::Refused(why));
    }
    Ok(())
}

/// Gives the baton up.
pub async fn release<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    assert_covered(context)?;
    let position = end_of_log(context).await;
    give_up(context, position).await
}

/// Gives the baton up without touching the server's disk: what was published last stands.
pub async fn release_unread<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    assert_covered(context)?;
    give_up(context, None).await
}

async fn give_up<P: Ports>(
    context: &Context<P>,
    position: Option<WalPosition>,
) -> Result<(), EffectError> {
    let held = context.lease_sight.borrow().held.map(|held| held.term);
    match context.lease.release(position).await {
        Ok(()) => {
            told_given_up(context, "released", held, None);
            Ok(())
        }
        // Nothing is held: there is nothing to give up.
        Err(LeaseError::NotHeld) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Notes that the lease was given up on purpose, so that nobody calls it lost.
fn told_given_up<P: Ports>(
    context: &Context<P>,
    how: &'static str,
    term: Option<Term>,
    to: Option<&MemberName>,
) {
    context.kept.lease_told.set(None);
    let mut event = Event::new(context.clock.wall_micros(), EventKind::Lease, how);
    if let Some(term) = term {
        event = event.fact("term", term.0);
    }
    if let Some(to) = to {
        event = event.fact("to", to.as_str());
    }
    context.events.note(event);
}

/// Waits until the candidate has everything.
pub async fn await_received<P: Ports>(
    context: &Context<P>,
    candidate: &MemberName,
    within: Duration,
) -> Result<(), EffectError> {
    let Some(end) = end_of_log(context).await.map(|end| end.lsn) else {
        let why =
            "the server was not stopped cleanly: how far its log goes is not known".to_owned();
        return Err(EffectError::Refused(why));
    };
    let cluster = context.cluster();
    let api_url = cluster.members.get(candidate).and_then(|member| member.api_url.clone());
    let Some(api_url) = api_url else {
        return Err(EffectError::Refused(format!("{candidate} has not said where its agent is")));
    };
    let peer = Peer { name: candidate.clone(), api_url };
    let has_all = async |left: Duration| {
        let answer = context.peers.status(&peer, left.min(context.settings().times.one_try)).await;
        answer
            .is_ok_and(|answer| answer.name == peer.name && answer.in_recovery && answer.lsn >= end)
    };
    if until::became(context, within, has_all).await {
        return Ok(());
    }
    let why = format!("{candidate} did not receive the log up to {end} within {within:?}");
    Err(EffectError::Refused(why))
}

/// Hands the baton over, by name.
pub async fn offer<P: Ports>(
    context: &Context<P>,
    to: &MemberName,
    incarnation: Incarnation,
) -> Result<(), EffectError> {
    assert_covered(context)?;
    let position = end_of_log(context).await;
    let held = context.lease_sight.borrow().held.map(|held| held.term);
    context.lease.offer(to.clone(), incarnation, position).await?;
    told_given_up(context, "offered", held, Some(to));
    Ok(())
}
