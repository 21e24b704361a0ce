//! Promises: this node's own, and asking the others for theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::context::{Context, Note};
use super::effects::EffectError;
use super::ports::Ports;
use super::{rejoin, until};
use crate::cluster::{Ballot, Cluster, Refusal, State, Vote};
use crate::decide::Fetch;
use crate::mutants::{Mutant, planted};
use crate::observe::{Ask, Peer, Peers};
use crate::postgres::Server;
use crate::values::{Clock, MemberName, Revision, Term};

/// A voter needs this long at the most; who needs longer is heard in the next round.
const ONE_ROUND: Duration = Duration::from_millis(500);
/// How long the former holder is waited for once everybody else has answered: it is probably gone.
const FOR_THE_FORMER_HOLDER: Duration = Duration::from_millis(20);

/// Promises the term, and tells whoever asked where this node stands.
pub async fn promise<P: Ports>(context: &Context<P>, term: Term) -> Result<(), EffectError> {
    vote(context, term).await.map(drop)
}

/// Writes the promise down, stops receiving, finishes replay; the vote is then good for everybody
/// who asks for this term, until this node receives again.
async fn vote<P: Ports>(context: &Context<P>, term: Term) -> Result<Vote, EffectError> {
    context.notebook.promise(term).await?;
    let within = context.settings().times.one_try.min(ONE_ROUND);
    let (position, ancestors) = if planted(Mutant::VoteWhileReceiving) {
        match context.server.look(within).await.state {
            State::Standby(facts) => (facts.position(), facts.ancestors),
            _ => return Err(EffectError::Refused("not a standby".to_owned())),
        }
    } else {
        let settled = context.server.settle(within).await?;
        (settled.position, settled.ancestors)
    };
    let me = context.me();
    let vote = Vote {
        name: me.name.clone(),
        position,
        ancestors,
        may_lead: me.may_lead,
        priority: me.priority,
    };
    context.kept.standing_vote.replace(Some((term, vote.clone())));
    answer_all(context, term, &vote);
    Ok(vote)
}

/// Answers everybody who waits for a promise of at most this term.
fn answer_all<P: Ports>(context: &Context<P>, term: Term, vote: &Vote) {
    let waiting = context.kept.promise_answers.take();
    for (asked, answer) in waiting {
        if asked <= term {
            // Whoever asked may have given up; the promise stands all the same.
            let _ = answer.send(Ok(vote.clone()));
        } else {
            context.kept.promise_answers.borrow_mut().push((asked, answer));
        }
    }
}

/// Promises the term without a vote: this node has no position to tell, and will not carry an earlier
/// holder any more.
pub async fn abstain<P: Ports>(
    context: &Context<P>,
    term: Term,
    why: &str,
) -> Result<(), EffectError> {
    context.notebook.promise(term).await?;
    refuse(context, &Refusal::Abstains(why.to_owned()));
    Ok(())
}

/// Answers everybody who waits for a promise with a refusal.
pub fn refuse<P: Ports>(context: &Context<P>, refusal: &Refusal) {
    for (_, answer) in context.kept.promise_answers.take() {
        let _ = answer.send(Err(refusal.clone()));
    }
}

/// Gets log from a voter. What it passes on it had when it promised, so nothing of an earlier term is
/// received that the race does not know of. The receiver stays until the next vote stops it.
pub async fn fetch_log<P: Ports>(context: &Context<P>, fetch: &Fetch) -> Result<(), EffectError> {
    let Fetch { from, upto, within } = fetch;
    rejoin::follow(context, Some(from)).await?;
    let has_it = async |left: Duration| {
        let look = context.server.look(left.min(context.settings().times.one_try)).await;
        matches!(look.state, State::Standby(facts)
            if facts.timeline >= upto.timeline && facts.position().lsn >= upto.lsn)
    };
    if until::became(context, *within, has_it).await {
        return Ok(());
    }
    let (name, lsn) = (&from.name, upto.lsn);
    Err(EffectError::Refused(format!("the log up to {lsn} did not come from {name} in {within:?}")))
}

/// The members that say where their agents are; if `listed` too, those of which only the list of the failsafe
/// mode tells: who is cut off from the store is no member any more after a while.
fn whom_to_ask(cluster: &Cluster, me: &MemberName, listed: bool) -> Vec<Peer> {
    let members = cluster.members.values();
    let members = members.filter_map(|one| Some((one.name.clone(), one.api_url.clone()?)));
    let list = cluster.failsafe.iter().filter(|_| listed).flat_map(|list| list.value.clone());
    let mut all: BTreeMap<MemberName, String> = list.collect();
    all.extend(members);
    all.remove(me);
    all.into_iter().map(|(name, api_url)| Peer { name, api_url }).collect()
}

/// Asks all members at once, and takes part itself.
pub async fn collect_votes<P: Ports>(
    context: &Context<P>,
    term: Term,
    baton: Revision,
    word: Option<Revision>,
) -> Result<(), EffectError> {
    let cluster = context.cluster();
    let me = context.me();
    let former = cluster.baton.as_ref().map(|baton| baton.value.holder.clone());
    let former = former.filter(|_| word.is_none() && !cluster.was_recovered());
    let within = context.settings().times.one_try.min(ONE_ROUND);
    let ask = Ask { term, candidate: me.name.clone() };
    let mut questions = FuturesUnordered::new();
    let peers = whom_to_ask(&cluster, &me.name, word.is_some());
    let mut open: Vec<_> = peers.iter().map(|peer| peer.name.clone()).collect();
    for peer in peers {
        let ask = &ask;
        questions.push(async move {
            let answer = context.peers.promise(&peer, ask, within).await;
            (peer.name, answer)
        });
    }
    let (mut votes, mut refusals, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    let own = vote(context, term);
    tokio::pin!(own);
    let mut own_vote = None;
    while own_vote.is_none() || !open.is_empty() {
        let only_former =
            own_vote.is_some() && open.iter().all(|name| Some(name) == former.as_ref());
        let patience = if only_former { FOR_THE_FORMER_HOLDER } else { within };
        tokio::select! {
            biased;
            mine = &mut own, if own_vote.is_none() => own_vote = Some(mine?),
            Some((name, answer)) = questions.next() => {
                open.retain(|one| *one != name);
                match answer {
                    Ok(Ok(vote)) => votes.push(vote),
                    Ok(Err(refusal)) => refusals.push((name, refusal)),
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "no vote");
                        silent.push(name);
                    }
                }
            }
            () = tokio::time::sleep(patience), if own_vote.is_some() => break,
        }
    }
    silent.extend(open);
    votes.extend(own_vote);
    let (before, rounds) = context.kept.rounds.get();
    let round = if before == (baton, word) { rounds + 1 } else { 1 };
    context.kept.rounds.set(((baton, word), round));
    let counted_at = context.clock.now();
    let ballot = Ballot { term, baton, word, counted_at, round, votes, refusals, silent };
    context.note(Note::Ballot(Arc::new(ballot)));
    Ok(())
}
