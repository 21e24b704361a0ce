//! A person may let somebody lead who is not known to have everything: by name, for one vacancy, and only
//! where nobody leads without loss. It is also the person's word that members which do not answer are stopped.

use crate::cluster::{Ballot, Request};
use crate::mutants::{Mutant, planted};
use crate::values::MemberName;

use super::candidates::{Standings, rank};
use super::decision::{Decision, Reason};
use super::proof;
use super::view::{JobKind, View};

/// Puts whom a person accepts among those who may lead, where that is nobody; says what may be lost by it.
pub fn take_in<'a>(
    view: &View,
    ballot: &'a Ballot,
    standings: Standings<'a>,
) -> (Standings<'a>, Option<String>) {
    let Some(name) = accepted(view).filter(|_| standings.fit.is_empty()) else {
        return (standings, None);
    };
    // What it lacks may still be to be had, until that was tried.
    if proof::ahead_of(view, ballot, &standings.lineage, name).is_some() && !a_fetch_failed(view) {
        return (standings, None);
    }
    let unbounded = rank(ballot, view.cluster().lineage(), None, u64::MAX);
    let Some(vote) = unbounded.fit.into_iter().find(|vote| vote.name == *name) else {
        return (standings, None);
    };
    let (of_it, unfit): (Vec<_>, Vec<_>) =
        standings.unfit.into_iter().partition(|(unfit, _)| *unfit == name);
    let why = of_it.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(", ");
    (Standings { fit: vec![vote], unfit, lineage: standings.lineage }, Some(why))
}

/// Whether it is this node that a person accepts: those who do not answer are stopped then, too.
pub fn is_of_me(view: &View) -> bool {
    accepted(view) == Some(&view.me.name)
}

/// The decision to take the seat, with what was accepted in its reason: it is kept in the events.
pub fn told(decision: Decision, accepted: Option<String>) -> Decision {
    let Some(accepted) = accepted else { return decision };
    let detail = format!("{accepted}; {}", decision.reason.detail);
    let label = "take the lead: somebody accepted what may be lost";
    Decision { reason: Reason::with(label, detail), ..decision }
}

/// Whom a person accepts. What was asked for before the baton's last change was about another vacancy, or
/// about none.
fn accepted(view: &View) -> Option<&MemberName> {
    let cluster = view.cluster.as_ref()?;
    let versioned = cluster.request.as_ref()?;
    let Request { candidate, accepts_loss, .. } = versioned.value.as_ref()?;
    let of_this_vacancy = planted(Mutant::LossAcceptedForGood)
        || cluster.baton.as_ref().is_none_or(|baton| baton.revision < versioned.revision);
    candidate.as_ref().filter(|_| *accepts_loss && of_this_vacancy)
}

fn a_fetch_failed(view: &View) -> bool {
    view.memory.failure.as_ref().is_some_and(|failure| failure.kind == JobKind::Vote)
}
