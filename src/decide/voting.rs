//! Answering a member that asks for this node's promise.

use std::time::Duration;

use crate::cluster::{Refusal, State};
use crate::values::Term;

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, View};
use super::{failsafe, health};

/// The answer that is due this turn, if somebody asked.
pub fn answer(view: &View) -> Option<Decision> {
    let term = view.memory.promise_asked?;
    if let Some(job) = view.job {
        return match job.kind {
            // Over in a moment; the question waits.
            JobKind::Vote | JobKind::Other => None,
            JobKind::Bootstrap
            | JobKind::Copy
            | JobKind::Rewind
            | JobKind::Start
            | JobKind::Stop
            | JobKind::Promote
            | JobKind::HandOver => Some(refuse(not_a_voter("busy"))),
        };
    }
    Some(match refusal(view, term) {
        Some(Refusal::NotAVoter(why)) if may_abstain(view) => {
            let reason = Reason::with("promise without a vote", why.clone());
            let effects = vec![Effect::PromiseWithoutVote { term, why }];
            Decision::act(reason, JobKind::Vote, effects)
        }
        Some(refusal) => refuse(refusal),
        None => {
            let reason = Reason::with("promise", format!("term {term}"));
            Decision::act(reason, JobKind::Vote, vec![Effect::Promise { term }])
        }
    })
}

/// Why this node takes none of the leader's log: it has promised a later term, and the leader has not yet
/// learned of that and raised its own.
pub fn why_no_log(view: &View) -> Option<String> {
    let baton = &view.cluster.as_ref()?.baton.as_ref()?.value;
    let promised = view.journal.promised;
    (promised > baton.term)
        .then(|| format!("promised term {promised}, the leader's is {}", baton.term))
}

fn refusal(view: &View, term: Term) -> Option<Refusal> {
    if term < view.journal.promised {
        return Some(Refusal::Promised(view.journal.promised));
    }
    match view.seat {
        // It cannot give the lease up without the store, but it need not hold a race up.
        Seat::Mine(until) if until.has_passed(view.now) && is_closed(view) => {
            return Some(not_a_voter("its own lease ran out"));
        }
        Seat::Mine(_) | Seat::Offered => return Some(Refusal::HolderIsAlive),
        // Two clocks that learned of the same renewal differ by how long each took to learn it.
        Seat::Held { changed_at } => {
            let baton = view.cluster.as_ref().and_then(|cluster| cluster.baton.as_ref());
            let of_holder = baton.map_or(Duration::ZERO, |baton| baton.value.ttl);
            let ttl = view.settings.times.ttl.max(of_holder);
            let almost = ttl - view.settings.times.renewal_period.min(ttl / 5);
            if view.now.since(changed_at) < almost {
                return Some(Refusal::HolderIsAlive);
            }
        }
        // A voter that cannot read the store can still promise: the compare-and-swap decides.
        Seat::Vacant(_) | Seat::Unknown => {}
    }
    if let Some(refusal) = failsafe::refusal(view) {
        return Some(refusal);
    }
    match &*view.server {
        State::Standby(facts) if facts.replay_paused => Some(not_a_voter("replay is paused")),
        State::Standby(_) => health::disk_trouble(view).map(|why| not_a_voter(&why)),
        State::Primary(_) => Some(not_a_voter("the server is a primary")),
        State::Starting => Some(not_a_voter("the server is starting")),
        State::Stopping => Some(not_a_voter("the server is stopping")),
        State::Silent => Some(not_a_voter("the server does not answer")),
        State::Down(_) => Some(not_a_voter("the server is down")),
        State::Empty => Some(not_a_voter("there is no data")),
        State::Unusable(_) => Some(not_a_voter("the data directory cannot be used")),
    }
}

/// A node that cannot vote can still say that it does not carry the holder: where members are listed,
/// a taker needs that of some of them.
fn may_abstain(view: &View) -> bool {
    let listed = view.cluster.as_ref().is_some_and(|cluster| cluster.failsafe.is_some());
    // A holder does not promise against itself: its own renewal may still arrive.
    listed && is_closed(view) && !matches!(view.seat, Seat::Mine(_) | Seat::Offered)
}

/// Nothing of this node's server can accept a write.
fn is_closed(view: &View) -> bool {
    !view.exposed && !matches!(&*view.server, State::Primary(_))
}

fn not_a_voter(why: &str) -> Refusal {
    Refusal::NotAVoter(why.to_owned())
}

fn refuse(refusal: Refusal) -> Decision {
    let reason = Reason::with("refuse to promise", format!("{refusal:?}"));
    Decision::act(reason, JobKind::Vote, vec![Effect::RefusePromise(refusal)])
}
