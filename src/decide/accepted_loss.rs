//! A person may let somebody lead who is not known to have everything: by name, for one vacancy, and only
//! where nobody leads without loss. It is also the person's word that members which do not answer are stopped;
//! of those that answer it says nothing.

use crate::cluster::{Ballot, Refusal, Request, Vote};
use crate::mutants::{Mutant, planted};
use crate::values::{MemberName, Revision};

use super::candidates::Standings;
use super::decision::{Decision, Reason};
use super::view::View;
use super::{branches, proof};

/// Puts whom a person accepts among those who may lead, where that is nobody; says what may be lost by it.
pub fn take_in<'a>(
    view: &View,
    ballot: &'a Ballot,
    standings: Standings<'a>,
    waited_for_long: bool,
) -> (Standings<'a>, Option<String>) {
    let Some((name, _)) = accepted(view).filter(|_| standings.fit.is_empty()) else {
        return (standings, None);
    };
    // What it lacks may still be to be had, which takes its time.
    if !waited_for_long && proof::ahead_of(view, ballot, &standings.lineage, name).is_some() {
        return (standings, None);
    }
    let named = |vote: &&Vote| vote.name == *name;
    let Some(vote) = ballot.votes.iter().find(named) else { return (standings, None) };
    // Also one that the history has left behind: who went on with it may be gone for good.
    let lineage = branches::record_of(&standings.lineage, vote).filter(|_| vote.may_lead);
    let Some(lineage) = lineage else { return (standings, None) };
    let (of_it, unfit): (Vec<_>, Vec<_>) =
        standings.unfit.into_iter().partition(|(unfit, _)| *unfit == name);
    let why = of_it.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(", ");
    (Standings { fit: vec![vote], unfit, lineage }, Some(why))
}

/// Why this node must not take the seat of a holder that others may be carrying (for that `reason`): no word
/// says that they are stopped, or one of them answers, and may see the holder or carry it.
pub fn stands_in_the_way(view: &View, ballot: &Ballot, reason: &Reason) -> Option<Reason> {
    if accepted(view).is_none_or(|(name, _)| *name != view.me.name) {
        return Some(reason.clone());
    }
    let objects = |refusal: &Refusal| match refusal {
        Refusal::HolderIsAlive
        | Refusal::NotAVoter(_)
        | Refusal::Carries(_)
        | Refusal::StoreIsOlder => true,
        Refusal::Promised(_) | Refusal::Abstains(_) => false,
    };
    let (name, refusal) = ballot.refusals.iter().find(|(_, refusal)| objects(refusal))?;
    let label = "stand by: a member answers that may see or carry the silent leader";
    let reason = Reason::with(label, format!("{name}: {refusal:?}"));
    (!planted(Mutant::AnswersOverruled)).then_some(reason)
}

/// What a person has accepted, for people: what may be lost, and who may be carried.
pub fn named(lost: Option<String>, carried: Option<Reason>) -> Option<String> {
    let parts: Vec<String> = lost.into_iter().chain(carried.map(|reason| reason.detail)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The decision to take the seat, with what was accepted in its reason: it is kept in the events.
pub fn told(decision: Decision, accepted: Option<String>) -> Decision {
    let Some(accepted) = accepted else { return decision };
    let detail = format!("{accepted}; {}", decision.reason.detail);
    let label = "take the lead: somebody accepted what may be lost";
    Decision { reason: Reason::with(label, detail), ..decision }
}

/// The revision of a word that counts.
pub fn revision(view: &View) -> Option<Revision> {
    accepted(view).map(|(_, revision)| revision)
}

/// Whom a person accepts, and since which revision. What was asked for before the baton's last change was
/// about another vacancy, or about none.
fn accepted(view: &View) -> Option<(&MemberName, Revision)> {
    let cluster = view.cluster.as_ref()?;
    let versioned = cluster.request.as_ref()?;
    let Request { candidate, accepts_loss, .. } = versioned.value.as_ref()?;
    let of_this_vacancy = planted(Mutant::LossAcceptedForGood)
        || cluster.baton.as_ref().is_none_or(|baton| baton.revision < versioned.revision);
    let holder = cluster.baton.as_ref().map(|baton| &baton.value.holder);
    let leads = cluster.leader.as_ref().map(|leader| &leader.value);
    // An agent of another kind leads, of which the baton does not tell.
    let by_another = leads.is_some() && leads != holder;
    let candidate =
        candidate.as_ref().filter(|_| *accepts_loss && of_this_vacancy && !by_another)?;
    Some((candidate, versioned.revision))
}
