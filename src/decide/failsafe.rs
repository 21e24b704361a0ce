//! While the store is away: who carries a primary, what that binds them to, and who may take over.
//!
//! `n` members are listed in the store. A primary goes on while `A` of them accept it, itself included;
//! a taker needs `B` of them that do not carry it, itself included; `A + B > n`. Who accepts neither
//! races nor promises for a whole `ttl`, so the two never get together what they need.

use crate::cluster::{
    BatonState, Cluster, FailsafeAsk, Listed, NotAccepted, PrimaryFacts, Refusal, State, strangers,
};
use crate::mutants::{Mutant, planted};
use crate::values::{Incarnation, MemberName, Monotonic, Revision, Term};

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, Vacancy, View};

/// What this node has accepted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Whom.
    pub name: MemberName,
    /// Under which lease; an agent of Patroni's kind tells none.
    pub lease: Option<(Term, Incarnation)>,
    /// Until when that binds.
    pub until: Monotonic,
}

impl Acceptance {
    /// The same, for as long as an earlier one of the same lease binds: its `ttl` may have been longer.
    pub fn or_longer(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.name == self.name && before.lease == self.lease => {
                Self { until: self.until.max(before.until), ..self }
            }
            Some(_) | None => self,
        }
    }
}

/// Whether this node carries the one who asks, and for how long.
///
/// # Errors
/// Why not.
pub fn judge(view: &View, ask: &FailsafeAsk) -> Result<Acceptance, NotAccepted> {
    if ask.lease.is_some()
        && let Some(why) = deposed(view, ask)
    {
        return Err(NotAccepted::MustNot(why));
    }
    if !view.settings.dynamic.failsafe_mode {
        return Err(NotAccepted::SwitchedOff);
    }
    let leads = matches!(view.seat, Seat::Mine(_) | Seat::Offered)
        || view.exposed
        || matches!(&*view.server, State::Primary(_));
    if leads {
        return Err(NotAccepted::Leads);
    }
    if ask.name == view.me.name {
        return Err(NotAccepted::MustNot("it asks itself".to_owned()));
    }
    if view.job.is_some_and(|job| matches!(job.kind, JobKind::Vote | JobKind::Promote)) {
        return Err(NotAccepted::MustNot("it is in a race".to_owned()));
    }
    if let Some(why) = deposed(view, ask) {
        return Err(NotAccepted::MustNot(why));
    }
    // From now on, which is later than when it was asked.
    let until = view.now + view.settings.times.ttl.max(ask.ttl);
    Ok(Acceptance { name: ask.name.clone(), lease: ask.lease, until })
}

/// Why the one who asks is known not to lead any more.
fn deposed(view: &View, ask: &FailsafeAsk) -> Option<String> {
    let cluster = view.cluster();
    let baton = cluster.baton.as_ref().map(|baton| &baton.value);
    let Some((term, incarnation)) = ask.lease else {
        let held = baton.filter(|baton| baton.state != BatonState::Released);
        let other = held.filter(|baton| baton.holder != ask.name)?;
        return Some(format!("{} leads", other.holder));
    };
    if term < view.journal.promised {
        return Some(format!("it has promised term {}", view.journal.promised));
    }
    if term < view.journal.seen {
        return Some(format!("it has seen term {}", view.journal.seen));
    }
    let baton = baton?;
    let same = baton.term == term && baton.incarnation == incarnation;
    if same && baton.state == BatonState::Held || baton.term < term {
        return None;
    }
    Some(format!("it has seen term {} of {}", baton.term, baton.holder))
}

/// Until when, and why, this node neither races nor promises: it may be carrying the holder.
pub fn bound(view: &View) -> Option<(Monotonic, String)> {
    let accepted = view.memory.accepted.as_ref();
    let by_word = accepted
        .filter(|accepted| view.now < accepted.until && !is_over(view, accepted.lease))
        .map(|accepted| (accepted.until, format!("it has accepted {}", accepted.name)));
    by_word.or_else(|| bound_by_its_past(view))
}

/// An agent that was started again does not know what it had accepted before. It counts as having
/// accepted just then whoever leads.
fn bound_by_its_past(view: &View) -> Option<(Monotonic, String)> {
    let started_at = view.memory.started_at?;
    let possible = match &view.cluster {
        Some(cluster) => cluster.failsafe.is_some() && !is_given_up(cluster),
        None => view.settings.dynamic.failsafe_mode,
    };
    if !possible || planted(Mutant::AcceptanceForgotten) {
        return None;
    }
    let cluster = view.cluster();
    let of_holder = cluster.baton.as_ref().map(|baton| baton.value.ttl).unwrap_or_default();
    let until = started_at + view.settings.times.ttl.max(of_holder);
    let why = "it was started less than ttl ago, and may have accepted the leader before";
    (view.now < until).then(|| (until, why.to_owned()))
}

/// Whether whoever was accepted under this lease has given it up, or was followed by another: nothing
/// rests on the acceptance any more.
fn is_over(view: &View, lease: Option<(Term, Incarnation)>) -> bool {
    let (Some(cluster), Some((term, incarnation))) = (&view.cluster, lease) else { return false };
    let baton = cluster.baton.as_ref().map(|baton| &baton.value);
    baton.is_some_and(|baton| {
        let gone = baton.state != BatonState::Held || baton.incarnation != incarnation;
        baton.term >= term && gone
    })
}

fn is_given_up(cluster: &Cluster) -> bool {
    cluster.baton.as_ref().is_some_and(|baton| baton.value.state != BatonState::Held)
}

/// The refusal to promise of a node that may be carrying the holder.
pub fn refusal(view: &View) -> Option<Refusal> {
    if planted(Mutant::AcceptorPromises) {
        return None;
    }
    bound(view).map(|(_, why)| Refusal::Carries(why))
}

/// Why a standby that may be carrying the holder does not stand.
pub fn stand_aside(view: &View) -> Option<Decision> {
    if planted(Mutant::AcceptorRaces) {
        return None;
    }
    let (until, why) = bound(view)?;
    let reason = Reason::with("stand by: this node may carry the leader", why);
    Some(Decision::wait(reason).and_look_again_at(until))
}

/// The list to count by when the seat is vacant for silence: its holder may be carried by the others.
fn counted_by(view: &View, vacancy: Vacancy) -> Option<&Listed> {
    let cluster = view.cluster.as_ref()?;
    let held = cluster.baton.as_ref().is_some_and(|baton| baton.value.state == BatonState::Held);
    let list = cluster.failsafe.as_ref()?;
    (vacancy == Vacancy::Silent && held).then_some(&list.value)
}

/// What the `failsafe` key's revision has to be when the silent holder is replaced.
pub fn revision_to_keep(view: &View) -> Option<Revision> {
    let cluster = view.cluster.as_ref()?;
    let silent = cluster.baton.as_ref().is_some_and(|baton| baton.value.state == BatonState::Held);
    let revision = cluster.failsafe.as_ref().map_or(Revision::ABSENT, |list| list.revision);
    silent.then_some(revision)
}

/// Why too few members are known not to carry the silent holder.
pub fn may_be_carried(view: &View, vacancy: Vacancy) -> Option<Reason> {
    let list = counted_by(view, vacancy)?;
    let ballot = view.memory.ballot.as_ref()?;
    if planted(Mutant::TakerDoesNotCount) {
        return None;
    }
    let voters = ballot.votes.iter().map(|vote| &vote.name);
    let abstaining = |(name, refusal): &'_ (MemberName, Refusal)| match refusal {
        Refusal::Abstains(_) => Some(name.clone()),
        Refusal::HolderIsAlive
        | Refusal::Promised(_)
        | Refusal::NotAVoter(_)
        | Refusal::StoreIsOlder
        | Refusal::Carries(_) => None,
    };
    let abstainers: Vec<MemberName> = ballot.refusals.iter().filter_map(abstaining).collect();
    let (found, needed) = strangers(list, voters.chain(&abstainers));
    if found >= needed {
        return None;
    }
    let listed: Vec<&str> = list.keys().map(MemberName::as_str).collect();
    let detail = format!(
        "{needed} of {} have to say that they do not, {found} did; those that are gone for good have \
         to come back, or a person says that they are stopped (`pgbaton ctl failover --accept-loss`)",
        listed.join(", ")
    );
    Some(Reason::with("stand by: the silent leader may be carried by other members", detail))
}

/// Leads on while the members carry the lease: nothing is written, the store does not answer.
pub fn lead_on(view: &View, _: &PrimaryFacts) -> Decision {
    // Who does changes with each round, and is said when it begins and when it ends.
    let _ = view;
    Decision::wait(Reason::plain("lead: the members carry the lease, the store is away"))
}

/// Takes in who streams from this server though its keys have run out. Of a list of two nobody: there no one else may
/// be gone. Keys run out one after the other, and the list is shorter by then.
pub fn observe_keyless(keyless: &mut Listed, server: &State, cluster: Option<&Cluster>) {
    let Some(cluster) = cluster else { return };
    let State::Primary(facts) = server else {
        keyless.clear();
        return;
    };
    let streams = |name: &MemberName| facts.downstreams.iter().any(|row| row.name == name.as_str());
    let is_keyless = |name: &MemberName| !cluster.members.contains_key(name) && streams(name);
    keyless.retain(|name, _| is_keyless(name));
    let Some(list) = cluster.failsafe.as_ref().map(|list| &list.value) else { return };
    if list.len() > 2 || !keyless.is_empty() {
        let more = list.iter().filter(|(name, _)| is_keyless(name));
        keyless.extend(more.map(|(name, url)| (name.clone(), url.clone())));
    }
}

/// The list as it should be, where it is not: everybody who has said where their agent is. Where nobody else has,
/// those are who stream from here all the same: cut off from the store alone, such a member could carry this primary,
/// or go on after it, and from a list with the leader's name only nobody ever could. Otherwise they do not: a server
/// streams on without its agent, too, which then neither accepts anybody nor says that it does not.
pub fn list_is_due(view: &View) -> Option<Effect> {
    let cluster = view.cluster();
    let read_at = cluster.failsafe.as_ref().map_or(Revision::ABSENT, |list| list.revision);
    if !view.settings.dynamic.failsafe_mode {
        let list = None;
        return cluster.failsafe.is_some().then_some(Effect::WriteFailsafe { list, read_at });
    }
    let members = cluster.members.values();
    let listed = members.filter_map(|one| Some((one.name.clone(), one.api_url.clone()?)));
    let mut wanted: Listed = listed.collect();
    if wanted.len() <= 1 {
        wanted.extend(view.memory.keyless.clone());
    }
    let as_it_is = cluster.failsafe.as_ref().is_some_and(|list| list.value == wanted);
    // Until the leader has said where it is itself, there is nothing to list.
    if as_it_is || !wanted.contains_key(&view.me.name) {
        return None;
    }
    Some(Effect::WriteFailsafe { list: Some(wanted), read_at })
}
