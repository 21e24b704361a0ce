//! What goes before every row of the table, in order; the fence is first.

use crate::cluster::{BatonState, State};
use crate::mutants::{Mutant, planted};
use crate::values::Term;

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, Unfinished, View};
use super::{bootstrap, health, ladder, replaced, resuming, stopping, voting};

/// The first gate that is closed, with what it wants done.
pub fn first_closed(view: &View) -> Option<Decision> {
    fence(view)
        .or_else(|| soft_stop(view))
        .or_else(|| resuming::resume(view))
        .or_else(|| foreign_data(view))
        .or_else(|| stopping::stop_if_asked(view))
        .or_else(|| replaced::hold_still(view))
        .or_else(|| voting::answer(view))
        .or_else(|| health::stalled(view))
        .or_else(|| busy(view))
        .or_else(|| unfinished(view))
        .or_else(|| unusable(view))
        .or_else(|| restart_if_due(view))
        .or_else(|| lapsed(view))
}

/// A lease of this agent's that ran out unrenewed: nobody else can know that nothing of it can accept
/// a write any more, so it is given up here, and the race need not wait for silence.
fn lapsed(view: &View) -> Option<Decision> {
    let cluster = view.cluster.as_ref()?;
    let baton = &cluster.baton.as_ref()?.value;
    let ours = baton.incarnation == view.me.incarnation && baton.state == BatonState::Held;
    if !ours || view.exposed || !matches!(view.seat, Seat::Held { .. }) {
        return None;
    }
    let reason = Reason::plain("give the lapsed lease up: the server is closed");
    Some(Decision::act(reason, JobKind::Other, vec![Effect::Release]))
}

/// A server that may accept writes without a lease that lies ahead is killed, whatever it is doing.
fn fence(view: &View) -> Option<Decision> {
    let accepts_writes = view.exposed || matches!(&*view.server, State::Primary(_));
    if !accepts_writes || is_killing(view) || adopting(view) || resuming::may_resume(view) {
        return None;
    }
    let why = match view.seat {
        Seat::Mine(until) if !until.has_passed(view.now) => return None,
        Seat::Mine(_) => Reason::plain("fence: the lease ran out"),
        Seat::Offered => Reason::plain("fence: the lease was given away"),
        Seat::Held { .. } => Reason::with("fence: the lease is somebody else's", holder(view)),
        Seat::Vacant(_) => Reason::plain("fence: nobody holds the lease"),
        Seat::Unknown => Reason::plain("fence: no lease, and the store does not answer"),
    };
    let ending = matches!(&*view.server, State::Stopping | State::Down(_));
    let kind = JobKind::Stop;
    let kill = Decision::act(why, kind, vec![Effect::Kill]).interrupting();
    // A server that is already down cannot be writable; only the mark is taken off.
    (!ending || view.exposed).then_some(kill)
}

/// A server that ran before any cluster was: it is taken in by a row, not killed. A node that was ever
/// part of a cluster has promised a term.
fn adopting(view: &View) -> bool {
    !view.exposed
        && view.journal.promised == Term::ZERO
        && view.cluster.as_ref().is_none_or(|cluster| {
            cluster.baton.is_none() && cluster.initialize.is_none() && cluster.lineage.is_none()
        })
}

fn is_killing(view: &View) -> bool {
    view.job.is_some_and(|job| job.kind == JobKind::Stop)
        && !matches!(view.seat, Seat::Mine(until) if !until.has_passed(view.now))
}

/// Shortly before the deadline, a fast shutdown: what was acknowledged reaches the standbys.
fn soft_stop(view: &View) -> Option<Decision> {
    let Seat::Mine(until) = view.seat else { return None };
    let starts_at = until.moment() - view.settings.times.soft_stop;
    if view.now < starts_at || !matches!(&*view.server, State::Primary(_)) {
        return None;
    }
    if view.job.is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::HandOver)) {
        return Some(Decision::wait(Reason::plain("soft stop: the lease could not be renewed")));
    }
    let stop = Effect::Stop { mode: crate::cluster::StopMode::Fast, within: until.left(view.now) };
    let reason = Reason::plain("soft stop: the lease could not be renewed");
    Some(Decision::act(reason, JobKind::Stop, vec![stop]).interrupting())
}

/// Data of another cluster never joins this one.
fn foreign_data(view: &View) -> Option<Decision> {
    let theirs = view.cluster.as_ref()?.system_id()?;
    let ours = match &*view.server {
        State::Primary(facts) => facts.system_id,
        State::Standby(facts) => facts.system_id,
        State::Down(control) => control.system_id,
        State::Empty | State::Unusable(_) | State::Starting | State::Stopping | State::Silent => {
            return None;
        }
    };
    if ours == theirs || view.journal.unfinished.is_some() || view.job.is_some() {
        return None;
    }
    let text = format!(
        "the data directory belongs to the cluster with system identifier {ours}, this cluster's is \
         {theirs}; point postgresql.data_dir at an empty directory, or change scope"
    );
    let reason = Reason::with("refuse: the data is another cluster's", text.clone());
    let stop = Effect::Stop {
        mode: crate::cluster::StopMode::Fast,
        within: view.settings.dynamic.retry_timeout,
    };
    Some(Decision::act(reason, JobKind::Stop, vec![stop, Effect::Exit(text)]))
}

/// One thing at a time; what must not wait stands above this gate.
fn busy(view: &View) -> Option<Decision> {
    let job = view.job?;
    let what = match job.kind {
        JobKind::Bootstrap => "bootstrapping",
        JobKind::Copy => "copying the leader's data",
        JobKind::Rewind => "rewinding",
        JobKind::Start => "starting the server",
        JobKind::Stop => "stopping the server",
        JobKind::Promote => "taking the lead",
        JobKind::HandOver => "handing over",
        JobKind::Vote => "asking for votes",
        JobKind::Other => "at work",
    };
    Some(Decision::wait(Reason::with("busy", what)))
}

/// A directory that an unfinished step left unusable is never started.
fn unfinished(view: &View) -> Option<Decision> {
    match view.journal.unfinished? {
        Unfinished::Bootstrap => Some(bootstrap::undo(view)),
        Unfinished::Copy => {
            let reason = Reason::plain("remove the copy that was not finished");
            if let Some(until) = view.resting_until(JobKind::Copy) {
                let reason = Reason::plain("pause before the unfinished copy is removed");
                return Some(Decision::wait(reason).and_look_again_at(until));
            }
            let effects = vec![Effect::Kill, Effect::RemoveData, Effect::Finish];
            // A kind of its own: it must not wipe out that the copy failed, which makes the next one wait.
            Some(Decision::act(reason, JobKind::Other, effects))
        }
        Unfinished::Rewind if planted(Mutant::StartAfterBrokenRewind) => None,
        Unfinished::Rewind => Some(super::rejoin::repeat_rewind(view)),
        Unfinished::SetAside => {
            Some(super::rejoin::rest(view).unwrap_or_else(|| ladder::finish_setting_aside(view)))
        }
    }
}

fn unusable(view: &View) -> Option<Decision> {
    let State::Unusable(why) = &*view.server else { return None };
    if matches!(view.seat, Seat::Mine(_) | Seat::Offered) {
        return None;
    }
    Some(Decision::wait(Reason::with("stay down: the data directory cannot be used", why.clone())))
}

/// Stops a running server that somebody wants restarted, or that goes on only with other settings: what is down is
/// started by the rows.
fn restart_if_due(view: &View) -> Option<Decision> {
    let reason = match &*view.server {
        State::Primary(_) | State::Standby(_) if view.memory.restart_of.is_some() => {
            Reason::plain("restart: somebody asked for it")
        }
        State::Standby(facts) => {
            let why = facts.too_small.clone()?;
            Reason::with("restart: replay is paused for a setting that is too low", why)
        }
        State::Primary(_)
        | State::Empty
        | State::Unusable(_)
        | State::Down(_)
        | State::Starting
        | State::Stopping
        | State::Silent => return None,
    };
    if let Some(until) = view.resting_until(JobKind::Stop) {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        let reason = Reason::with("pause before trying to stop the server again", why);
        return Some(Decision::wait(reason).and_look_again_at(until));
    }
    let stop = Effect::Stop {
        mode: crate::cluster::StopMode::Restart,
        within: view.settings.start_within,
    };
    Some(Decision::act(reason, JobKind::Stop, vec![stop]))
}

/// The name in the baton, for people.
pub fn holder(view: &View) -> String {
    let baton = view.cluster.as_ref().and_then(|cluster| cluster.baton.as_ref());
    baton.map_or_else(String::new, |baton| baton.value.holder.to_string())
}
