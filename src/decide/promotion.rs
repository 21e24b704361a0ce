//! From a won race or an offered baton to a primary. The record goes before the deed.

use std::sync::Arc;

use crate::cluster::{Ballot, Basis, Lineage, PromotionState, StandbyFacts, Versioned};
use crate::values::LeaseDeadline;

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, View};
use super::{carried, proof, slots, synchronous};

/// Takes the vacant seat on the strength of a ballot, and promotes.
pub fn take_the_seat(
    view: &View,
    ballot: &Arc<Ballot>,
    lineage: Lineage,
    basis: Basis,
) -> Decision {
    let term = ballot.term;
    let voters: Vec<&str> = ballot.votes.iter().map(|vote| vote.name.as_str()).collect();
    let mut effects = vec![Effect::TakeBaton { baton: ballot.baton, term, basis }];
    effects.extend(promote(view, lineage));
    let detail = format!("term {term}, votes of {}", voters.join(", "));
    Decision::act(Reason::with("take the lead: won the race", detail), JobKind::Promote, effects)
}

/// Accepts the baton that was offered by name, and promotes. The one who offered has made sure that
/// this node has everything.
pub fn accept(view: &View, _: &StandbyFacts) -> Decision {
    let mut effects = vec![Effect::AcceptOffer];
    effects.extend(promote(view, view.cluster().lineage()));
    let reason = Reason::plain("take the lead: it was handed over by name");
    Decision::act(reason, JobKind::Promote, effects)
}

/// Gives an offered baton up again: this node cannot use it.
pub fn decline(view: &View) -> Decision {
    let _ = view;
    let reason = Reason::plain("decline the offered lead: the server is not a running standby");
    Decision::act(reason, JobKind::Other, vec![Effect::Release])
}

/// Goes on with a promotion that broke off while the lease is still this node's.
pub fn finish(view: &View, until: LeaseDeadline, facts: &StandbyFacts) -> Decision {
    if let Some(pause) = view.resting_until(JobKind::Promote) {
        let failure = view.memory.failure.as_ref();
        if failure.is_some_and(|failure| failure.times > 3) {
            let why = failure.map_or(String::new(), |failure| failure.reason.clone());
            let reason = Reason::with("give the lead up: the promotion keeps failing", why);
            let effects = vec![Effect::Kill, Effect::Release];
            return Decision::act(reason, JobKind::Stop, effects);
        }
        return Decision::wait(Reason::plain("pause before promoting again"))
            .and_look_again_at(pause);
    }
    if view.cluster().revision < view.memory.wrote {
        // The record of who has every acknowledged commit may be one of this agent's own that is missing here.
        return Decision::wait(Reason::plain("promote: wait for what was just written"));
    }
    let mine = |state: crate::cluster::SyncState| state.leader.as_ref() == Some(&view.me.name);
    if proof::record(view).is_some_and(|state| !mine(state)) {
        let label = "give the lead up: who may be promoted has changed under the race";
        return Decision::act(Reason::plain(label), JobKind::Other, give_up(view));
    }
    let _ = until;
    let lineage = view.cluster().lineage();
    let (at, ancestors) = (facts.position().timeline, &facts.ancestors);
    if lineage.is_burnt(at) && lineage.taken_up(at, ancestors).is_none() {
        let label = "give the lead up: the history has gone on without this node's timeline";
        return Decision::act(Reason::plain(label), JobKind::Other, give_up(view));
    }
    let effects = promote(view, lineage);
    Decision::act(Reason::plain("promote: the lease is held"), JobKind::Promote, effects)
}

/// Gives the lease up; a server that may have been promoted is stopped before.
fn give_up(view: &View) -> Vec<Effect> {
    let stop = view.exposed.then_some(Effect::Kill);
    stop.into_iter().chain([Effect::Release]).collect()
}

fn promote(view: &View, lineage: Lineage) -> Vec<Effect> {
    let cluster = view.cluster();
    let revision = cluster.lineage.as_ref().map(|known| known.revision).unwrap_or_default();
    let known = Arc::new(Versioned { value: lineage, revision });
    let mut effects = synchronous::before_promotion(view);
    effects.push(Effect::RecordIntent { known });
    if view.settings.use_slots {
        let wanted = slots::of_whoever_leads(view);
        effects.push(Effect::ArrangeSlots { wanted, unwanted: Vec::new() });
    }
    effects.extend(carried::before_promotion(view));
    effects.push(Effect::Promote);
    effects.push(Effect::RecordPromotion);
    effects
}

/// Whether the last recorded promotion is known to have happened. Before that nobody follows.
pub fn is_settled(lineage: &Lineage) -> bool {
    lineage.latest().is_none_or(|latest| latest.state == PromotionState::Done)
}
