//! The agent was told to stop: the server is stopped cleanly, the lead handed over or given up.

use crate::cluster::{State, StopMode};

use super::decision::{Decision, Effect, Reason};
use super::handover;
use super::view::{JobKind, Seat, View};

/// What is left to do before this agent may end; `None` while nobody asked it to.
pub fn stop_if_asked(view: &View) -> Option<Decision> {
    if !view.memory.stop_asked {
        return None;
    }
    if let Some(job) = view.job {
        let slow = matches!(job.kind, JobKind::Copy | JobKind::Bootstrap | JobKind::Rewind);
        if !slow {
            return Some(Decision::wait(Reason::with("busy", "finishing before the stop")));
        }
    }
    let leads = matches!(view.seat, Seat::Mine(_));
    match &*view.server {
        State::Primary(facts) if leads && view.memory.failure.is_none() => {
            let reason = "this agent was told to stop";
            match handover::candidate(view, facts, None) {
                Ok((to, incarnation)) => Some(handover::hand_over(view, to, incarnation, reason)),
                Err(_) => Some(stop_the_server(view)),
            }
        }
        State::Empty | State::Unusable(_) | State::Down(_) => {
            let reason = Reason::plain("stop: told to");
            let mut effects = Vec::new();
            if leads {
                effects.push(Effect::Kill);
                effects.push(Effect::Release);
            }
            effects.push(Effect::Leave);
            Some(Decision::act(reason, JobKind::Stop, effects).interrupting())
        }
        State::Primary(_)
        | State::Standby(_)
        | State::Starting
        | State::Stopping
        | State::Silent => Some(stop_the_server(view)),
    }
}

fn stop_the_server(view: &View) -> Decision {
    let reason = Reason::plain("stop: the server first");
    let tried = view.memory.failure.as_ref().is_some_and(|failure| failure.kind == JobKind::Stop);
    let effects = if tried {
        vec![Effect::Kill]
    } else {
        let within = view.settings.dynamic.retry_timeout.max(view.settings.times.ttl);
        vec![Effect::Stop { mode: StopMode::Fast, within }]
    };
    Decision::act(reason, JobKind::Stop, effects).interrupting()
}
