//! The race for a vacant seat, as one standby runs it.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Ballot, Basis, Refusal, StandbyFacts, Vote};
use crate::values::{MemberName, Term};

use super::candidates::{Standings, rank};
use super::decision::{Decision, Effect, Fetch, Reason};
use super::health;
use super::view::{JobKind, Vacancy, View};
use super::{accepted_loss, branches, failsafe, promotion, proof, upstream};

/// Stands for election, or says why not.
pub fn stand_or_wait(view: &View, vacancy: Vacancy, facts: &StandbyFacts) -> Decision {
    let Some(cluster) = &view.cluster else {
        return Decision::wait(Reason::plain("hold still: the store was never read"));
    };
    if vacancy == Vacancy::NeverHeld && cluster.leader.is_some() {
        let reason = Reason::plain("hold still: an agent of another kind leads this cluster");
        return Decision::wait(reason);
    }
    if let Some(decision) = failsafe::stand_aside(view) {
        return decision;
    }
    let (tagged, barred) =
        ("stand by: this node is tagged nofailover", "stand by: this node cannot be fenced");
    if let Some(reason) = view.me.why_it_may_not_lead(tagged, barred) {
        return Decision::wait(reason);
    }
    if facts.replay_paused {
        return Decision::wait(Reason::plain("stand by: replay is paused"));
    }
    if let Some(why) = health::disk_trouble(view) {
        return Decision::wait(Reason::with("stand by: this node is not well", why));
    }
    if let Some(until) = view.resting_until(JobKind::Vote).or(view.resting_until(JobKind::Promote))
    {
        let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        return Decision::wait(Reason::with("pause before the next race", why))
            .and_look_again_at(until);
    }
    let baton = cluster.baton.as_ref().map(|baton| baton.revision).unwrap_or_default();
    match &view.memory.ballot {
        Some(ballot)
            if ballot.baton == baton
                && ballot.word == accepted_loss::revision(view)
                && view.now.since(ballot.counted_at) < counts_for(view, vacancy, ballot) =>
        {
            count(view, vacancy, ballot)
        }
        _ => ask(view, "race: ask the others where they stand"),
    }
}

/// A ballot counts for as long as the voters can be trusted to have stood still: they do until the
/// next term, so only the wish to hear from late ones limits it. It is as old as its last answer:
/// waiting for a silent member takes longer than a ballot counts. A member that has not heard yet that the
/// lead was released will in a moment.
fn counts_for(view: &View, vacancy: Vacancy, ballot: &Ballot) -> Duration {
    let times = &view.settings.times;
    let sees_it_alive = ballot.refusals.iter().any(|(_, one)| *one == Refusal::HolderIsAlive);
    if vacancy == Vacancy::Released && sees_it_alive && ballot.round <= ROUNDS_AFTER_A_RELEASE {
        return times.heartbeat.min(A_MOMENT);
    }
    times.renewal_period
}

/// By then a change of the store has reached everybody who is going to hear of it.
const A_MOMENT: Duration = Duration::from_millis(200);
/// So often a race is run anew at once for a member that has not heard of a release.
const ROUNDS_AFTER_A_RELEASE: u32 = 3;

fn ask(view: &View, label: &'static str) -> Decision {
    let (term, votes) = ask_for_votes(view);
    Decision::act(Reason::with(label, format!("term {term}")), JobKind::Vote, vec![votes])
}

fn ask_for_votes(view: &View) -> (Term, Effect) {
    let cluster = view.cluster();
    let held = cluster.baton.as_ref().map_or(Term::ZERO, |baton| baton.value.term);
    let refused = view.memory.ballot.as_ref().map_or(Term::ZERO, |ballot| {
        let promised = ballot.refusals.iter().map(|(_, refusal)| match refusal {
            Refusal::Promised(term) => *term,
            Refusal::HolderIsAlive
            | Refusal::NotAVoter(_)
            | Refusal::Abstains(_)
            | Refusal::StoreIsOlder
            | Refusal::Carries(_) => Term::ZERO,
        });
        promised.fold(Term::ZERO, Term::max)
    });
    let term = held.next().max(cluster.highest_term()).max(view.journal.promised).max(refused);
    let baton = cluster.baton.as_ref().map(|baton| baton.revision).unwrap_or_default();
    (term, Effect::CollectVotes { term, baton, word: accepted_loss::revision(view) })
}

/// Gets what this node lacks of the acknowledged commits from the voter that has it, and asks anew.
fn fetch_from(view: &View, voter: &Vote) -> Option<Decision> {
    let from = upstream::of_voter(view, &voter.name)?;
    let (upto, within) = (voter.position, view.settings.times.ttl);
    let detail = format!("up to {} from {}", upto.lsn, voter.name);
    let effects = vec![Effect::FetchLog(Fetch { from, upto, within }), ask_for_votes(view).1];
    let label = "fetch the acknowledged commits that no candidate has";
    Some(Decision::act(Reason::with(label, detail), JobKind::Vote, effects))
}

fn count(view: &View, vacancy: Vacancy, ballot: &Arc<Ballot>) -> Decision {
    let cluster = view.cluster();
    let published = cluster.baton.as_ref().and_then(|baton| baton.value.position);
    // Who has every acknowledged commit may lack any number of those that were not.
    let lag_bytes_max = match proof::record(view) {
        Some(_) => u64::MAX,
        None => view.settings.dynamic.maximum_lag_on_failover,
    };
    let standings = rank(ballot, cluster.lineage(), published, lag_bytes_max);
    let ahead = proof::ahead_of_me(view, ballot, &standings);
    let mut standings = proof::only_proven(view, ballot, standings);
    let only_now = waited_for_long(view) && standings.fit.is_empty();
    if only_now {
        standings = branches::take_up(view, ballot, standings, published, lag_bytes_max);
    }
    let (standings, lost) = accepted_loss::take_in(view, ballot, standings, waited_for_long(view));
    let again_at = ballot.counted_at + counts_for(view, vacancy, ballot);
    if let Some(reason) = too_early(view, ballot) {
        return Decision::wait(reason).and_look_again_at(again_at);
    }
    let carried = failsafe::may_be_carried(view, vacancy);
    if let Some(reason) = &carried
        && let Some(reason) = accepted_loss::stands_in_the_way(view, ballot, reason)
    {
        return Decision::wait(reason).and_look_again_at(again_at);
    }
    let Some(best) = chosen(view, &standings) else {
        if let Some(decision) = ahead.and_then(|voter| fetch_from(view, voter)) {
            return decision;
        }
        let why: Vec<String> =
            standings.unfit.iter().map(|(name, why)| format!("{name} {why}")).collect();
        return Decision::wait(Reason::with("no candidate is fit", why.join(", ")))
            .and_look_again_at(again_at);
    };
    let reached = standings.fit.iter().map(|vote| vote.position.lsn).max();
    let comes_back = !last_leader_is_unfit(view)
        && (vacancy == Vacancy::Released || last_leader_is_coming_up(view, ballot));
    let last_leader_had_more = comes_back
        && reached < published.map(|position| position.lsn)
        && waited(view) < view.settings.times.ttl;
    if last_leader_had_more {
        let reason = Reason::plain("wait for the last leader: its log goes further than any here");
        return Decision::wait(reason).and_look_again_at(again_at);
    }
    let mine = best == view.me.name.as_str();
    if !mine && (!stood_aside_long_enough(view, only_now) || !is_fit(view, &standings)) {
        return Decision::wait(Reason::with("leave it to the better candidate", best))
            .and_look_again_at(again_at);
    }
    let accepted = accepted_loss::named(lost, carried);
    let word = accepted.as_ref().and_then(|_| accepted_loss::revision(view));
    let basis = Basis { failsafe: failsafe::revision_to_keep(view), word };
    let decision = promotion::take_the_seat(view, ballot, standings.lineage, basis);
    accepted_loss::told(decision, accepted)
}

/// The last leader's agent answers, only its server does not yet: after a restart of everything.
fn last_leader_is_coming_up(view: &View, ballot: &Ballot) -> bool {
    let Some(baton) = &view.cluster().baton else { return false };
    let answers = |(name, refusal): &(MemberName, Refusal)| {
        *name == baton.value.holder && {
            matches!(refusal, Refusal::NotAVoter(_) | Refusal::Abstains(_))
        }
    };
    ballot.refusals.iter().any(answers)
}

/// It gave the lead up because its disk does not answer or is full: what only it has is not to be waited
/// for.
fn last_leader_is_unfit(view: &View) -> bool {
    let cluster = view.cluster();
    let holder = cluster.baton.as_ref().map(|baton| &baton.value.holder);
    let member = holder.and_then(|holder| cluster.members.get(holder));
    member.is_some_and(|member| member.unfit().is_some())
}

/// A voter that did not answer gets one more round; one that still sees the holder alive is believed
/// until its own clock has run out, too.
fn too_early(view: &View, ballot: &Ballot) -> Option<Reason> {
    let alive = |refusal: &&(_, Refusal)| matches!(refusal.1, Refusal::HolderIsAlive);
    if let Some((name, _)) = ballot.refusals.iter().find(alive)
        && waited(view) < view.settings.times.ttl
    {
        return Some(Reason::with("wait: a member still sees the holder alive", name.as_str()));
    }
    let is_behind = |refusal: &&(_, Refusal)| matches!(refusal.1, Refusal::StoreIsOlder);
    if let Some((name, _)) = ballot.refusals.iter().find(is_behind)
        && view.cluster().was_recovered()
    {
        let label = "wait: a member has not heard that the store was accepted as it is";
        return Some(Reason::with(label, name.as_str()));
    }
    let higher = |refusal: &&(_, Refusal)| matches!(refusal.1, Refusal::Promised(term) if term > ballot.term);
    if let Some((name, _)) = ballot.refusals.iter().find(higher) {
        return Some(Reason::with("ask again: a member has promised a later term", name.as_str()));
    }
    let former = view.cluster().baton.as_ref().map(|baton| baton.value.holder.clone());
    // To a person's word everybody gets a second round.
    let may_be_late = |name: &&MemberName| ballot.word.is_some() || Some(*name) != former.as_ref();
    let late = ballot.silent.iter().find(may_be_late)?;
    (ballot.round < 2).then(|| Reason::with("ask again: a member did not answer", late.as_str()))
}

/// The candidate somebody asked for, where it may lead; else the best.
fn chosen<'a>(view: &View, standings: &Standings<'a>) -> Option<&'a str> {
    let cluster = view.cluster();
    let wanted = cluster.pending_request().and_then(|request| request.candidate.clone());
    let asked_for = wanted
        .and_then(|wanted| standings.fit.iter().find(|vote| vote.name == wanted))
        .map(|vote| vote.name.as_str());
    asked_for.or_else(|| standings.fit.first().map(|vote| vote.name.as_str()))
}

fn is_fit(view: &View, standings: &Standings<'_>) -> bool {
    standings.fit.iter().any(|vote| vote.name == view.me.name)
}

fn waited(view: &View) -> Duration {
    view.memory.vacant_since.map_or(Duration::ZERO, |since| view.now.since(since))
}

/// What the members can do by themselves they have done after so many leases.
const LONG: u32 = 2;

fn waited_for_long(view: &View) -> bool {
    waited(view) >= view.settings.times.ttl * LONG
}

/// The better candidate may be stuck: after this long the next one goes, within the allowed lag. While nobody was
/// fit, nobody could have gone.
fn stood_aside_long_enough(view: &View, only_now: bool) -> bool {
    let nobody_was_fit = if only_now { LONG } else { 0 };
    waited(view) >= view.settings.times.ttl * (nobody_was_fit + 1)
}
