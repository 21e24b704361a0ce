//! A store that is not the one this node knows: emptied, or put back to an earlier state. What is in it
//! is not built on, and nothing of the cluster's is written there, until a person says so. One node may
//! help itself: the running primary of a cluster that an empty store has lost.

use crate::cluster::{BatonState, Refusal, State};
use crate::values::Term;

use super::decision::{Decision, Effect, Reason};
use super::rejoin;
use super::view::{JobKind, Seat, View};

/// Waits for a person while the store shows less than this node has seen. A server that is down comes up as a
/// standby that follows nobody: it may have the longest log, which the person should see and the next race count.
pub fn hold_still(view: &View) -> Option<Decision> {
    let (shown, seen) = behind(view)?;
    let shown = if shown == Term::ZERO { "no term".to_owned() } else { format!("term {shown}") };
    let what = format!(
        "it shows {shown}, this node has seen {seen}; restore the right state, or accept what would \
         be lost with `pgbaton ctl recover --accept-term {seen}`"
    );
    if view.memory.promise_asked.is_some() {
        let reason = Reason::with("refuse to promise: the store is older than this node", what);
        let effects = vec![Effect::RefusePromise(Refusal::StoreIsOlder)];
        return Some(Decision::act(reason, JobKind::Vote, effects));
    }
    let is_whole = view.job.is_none() && view.journal.unfinished.is_none();
    if is_whole && matches!(&*view.server, State::Down(_)) {
        if let Some(pause) = rejoin::rest(view) {
            return Some(pause);
        }
        let label = "start as a standby: the store is older than this node";
        return Some(rejoin::start_without_upstream(view, Reason::with(label, what)));
    }
    Some(Decision::wait(Reason::with("hold still: the store is older than this node", what)))
}

/// The term that the store shows and the later one that this node has seen.
fn behind(view: &View) -> Option<(Term, Term)> {
    if matches!(view.seat, Seat::Mine(_) | Seat::Unknown) {
        return None;
    }
    let cluster = view.cluster.as_ref()?;
    let shown = cluster.term();
    let accepted = cluster.recovered.as_ref().map_or(Term::ZERO, |one| one.value.term);
    (view.journal.seen > shown.max(accepted)).then_some((shown, view.journal.seen))
}

/// The primary of a cluster that the store has lost: nobody can hold a baton there, so it goes on in a
/// later term, if no member that can be reached knows of a later one than its own.
pub fn take_again(view: &View) -> Decision {
    let mine = view.my_term.unwrap_or_default();
    let highest = mine.max(view.journal.promised).max(view.journal.seen);
    if view.journal.seen > mine || view.journal.promised > mine {
        let detail = format!("this node leads in term {mine} and knows of {highest}");
        return Decision::wait(Reason::with(
            "the store is empty, and a person has to look",
            detail,
        ));
    }
    if let Some(until) = view.resting_until(JobKind::Promote) {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        let reason = Reason::with("pause before taking the emptied store again", why);
        return Decision::wait(reason).and_look_again_at(until);
    }
    let members = (*view.memory.known_members).clone();
    let effects = vec![Effect::Refound { term: highest.next(), members }];
    let reason = Reason::with(
        "write everything back: the store was emptied under the running primary",
        format!("term {}", highest.next()),
    );
    Decision::act(reason, JobKind::Promote, effects)
}

/// The term that is to be remembered, where the store shows a later one than this node has written down.
pub fn to_remember(view: &View) -> Option<Effect> {
    let cluster = view.cluster.as_ref()?;
    let baton = &cluster.baton.as_ref()?.value;
    let is_held = baton.state == BatonState::Held;
    (is_held && baton.term > view.journal.seen).then_some(Effect::RememberTerm(baton.term))
}
