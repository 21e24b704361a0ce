//! The keys that a leader or a bootstrapping node writes, each under a condition.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::context::{Context, Note};
use super::effects::EffectError;
use super::lease::LeaseError;
use super::ports::Ports;
use crate::cluster::{
    Ancestor, HistoryEntry, Initialize, Lineage, Outcome, Promotion, PromotionState, State,
    Versioned,
};
use crate::dcs::{Compare, Op, Store, Txn, codec, decode, keys, txns};
use crate::postgres::Server;
use crate::values::{Clock, Lsn, MemberName, Revision, SystemId, Term, Timeline};

/// PostgreSQL writes this into the history file of a promotion without a recovery target.
const REASON_OF_A_PROMOTION: &str = "no recovery target specified";

/// Commits one transaction; `what` is what has changed where its conditions do not hold.
pub(super) async fn commit<P: Ports>(
    context: &Context<P>,
    txn: Txn,
    what: &'static str,
) -> Result<Revision, EffectError> {
    let within = context.settings().times.one_try;
    let sent_at = context.clock.now();
    let result = context.store.commit(txn, within).await;
    context.metrics.store("write", context.clock.now().since(sent_at), result.is_ok());
    let reply = result?;
    if !reply.succeeded {
        return Err(EffectError::Conflict(what));
    }
    context.note(Note::Wrote(reply.revision));
    Ok(reply.revision)
}

async fn guarded<P: Ports>(context: &Context<P>, ops: Vec<Op>) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    commit(context, txns::guarded(&guard, ops), "the guard").await.map(drop)
}

/// Claims the right to bootstrap. The claim hangs on this agent's lease: it goes when the agent does.
pub async fn claim_initialize<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let lease = *context.display.borrow();
    let Some(lease) = lease else {
        let why = "the store has not granted a lease yet".to_owned();
        return Err(EffectError::Refused(why));
    };
    let txn = txns::claimed(context.me().incarnation, lease);
    context.kept.claim.set(Some(commit(context, txn, "the initialize key").await?));
    Ok(())
}

/// Gives this agent's claim up. What the store says of it is read anew: once this has returned, nothing
/// that this agent wrote before can still make its data the cluster's.
pub async fn drop_claim<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let within = context.settings().times.one_try;
    let (cluster, _) = decode(&context.store.read_all(within).await?);
    let Some(claim) = cluster.initialize else { return Ok(()) };
    if let Initialize::Done(founded) = claim.value {
        let look = context.server.look(within).await.state;
        let own = matches!(look, State::Down(control) if control.system_id == founded);
        return if own { Err(EffectError::Conflict("the initialize key")) } else { Ok(()) };
    }
    if cluster.claimant == Some(context.me().incarnation) {
        commit(context, txns::unclaimed(claim.revision), "the initialize key").await?;
    }
    context.kept.claim.set(None);
    Ok(())
}

/// Makes the server's data the cluster's: all of it in one transaction.
pub async fn finish_bootstrap<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let bound = context.settings().dynamic.retry_timeout;
    let State::Primary(facts) = context.server.look(bound).await.state else {
        return Err(EffectError::Refused("the new server is not a primary".to_owned()));
    };
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let me = context.me();
    let lineage = first_lineage(guard.term, &me.name, &facts.ancestors, facts.position.timeline);
    let config = context.first_config.borrow().clone();
    let done = codec::initialize(Initialize::Done(facts.system_id));
    let mut ops =
        vec![txns::put(keys::INITIALIZE, done), txns::put(keys::LINEAGE, codec::lineage(&lineage))];
    let cluster = context.cluster();
    if cluster.config.is_none() {
        ops.push(txns::put(keys::CONFIG, codec::config(&config)));
    }
    let seen = cluster.initialize.as_ref().map(|key| key.revision);
    let claimed_at = context.kept.claim.take().or(seen).unwrap_or(Revision::ABSENT);
    let mut txn = txns::founded(&guard, claimed_at, ops);
    if cluster.config.is_none() {
        txn.compares.push(Compare::ModRevision(keys::CONFIG.to_owned(), Revision::ABSENT));
    }
    let revision = commit(context, txn, "the claim to bootstrap").await?;
    context.kept.written_lineage.replace(Some(Versioned { value: lineage, revision }));
    Ok(())
}

/// The record of a server's timelines before any of them was recorded.
fn first_lineage(
    term: Term,
    node: &MemberName,
    ancestors: &[Ancestor],
    current: Timeline,
) -> Lineage {
    let mut before: Option<&Ancestor> = None;
    let mut promotions = Vec::new();
    let timelines = ancestors.iter().map(|ancestor| ancestor.timeline).chain([current]);
    for (index, timeline) in timelines.enumerate() {
        promotions.push(Promotion {
            term,
            timeline,
            parent: before.map(|before| before.timeline),
            switched_at: before.map_or(Lsn::ZERO, |before| before.ended_at),
            node: node.clone(),
            state: PromotionState::Done,
        });
        before = ancestors.get(index);
    }
    Lineage { promotions }
}

/// Answers the pending request and clears it.
pub async fn answer_request<P: Ports>(
    context: &Context<P>,
    outcome: &Outcome,
) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let ops = vec![
        txns::put(keys::FAILOVER, codec::request(None)),
        txns::put(keys::OUTCOME, codec::outcome(outcome)),
    ];
    let mut txn = txns::guarded(&guard, ops);
    txn.compares.push(Compare::ModRevision(keys::FAILOVER.to_owned(), outcome.request));
    commit(context, txn, "the request").await.map(drop)
}

/// Writes the leader's position for Patroni's readers.
pub async fn write_status<P: Ports>(
    context: &Context<P>,
    lsn: Lsn,
    slots: &BTreeMap<String, Lsn>,
    retained: &[String],
) -> Result<(), EffectError> {
    let status = codec::status(lsn, slots, retained);
    guarded(context, vec![txns::put(keys::STATUS, status)]).await?;
    context.note(Note::StatusWritten(context.clock.now(), lsn));
    Ok(())
}

/// Writes the finished timelines for people; what the key says of older ones is kept.
pub async fn write_history<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let cluster = context.cluster();
    let lineage = cluster.lineage();
    let known = cluster.history.as_ref().map(|history| history.value.clone()).unwrap_or_default();
    let now = Timestamp::from_microsecond(context.clock.wall_micros()).unwrap_or_default();
    let finished = lineage.finished();
    let newest = finished.len().saturating_sub(1);
    let mut entries: Vec<HistoryEntry> = finished
        .iter()
        .enumerate()
        .map(|(index, (timeline, lsn, by))| {
            let before =
                known.iter().find(|one| one.timeline == timeline.0 && one.lsn == *lsn).cloned();
            before.unwrap_or_else(|| HistoryEntry {
                timeline: timeline.0,
                lsn: *lsn,
                reason: REASON_OF_A_PROMOTION.to_owned(),
                timestamp: (index == newest).then(|| iso(now)),
                new_leader: Some(by.node.clone()),
            })
        })
        .collect();
    let most = context.settings().dynamic.max_timelines_history;
    if most > 0 && entries.len() > most {
        entries.drain(..entries.len() - most);
    }
    guarded(context, vec![txns::put(keys::HISTORY, codec::history(&entries))]).await
}

/// ISO 8601 with microseconds and an offset, as Patroni writes it.
fn iso(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Writes the identifier where it is missing.
pub async fn repair_initialize<P: Ports>(
    context: &Context<P>,
    id: SystemId,
) -> Result<(), EffectError> {
    let done = codec::initialize(Initialize::Done(id));
    guarded(context, vec![txns::put(keys::INITIALIZE, done)]).await
}

/// Writes the dynamic configuration where it is missing.
pub async fn repair_config<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let config = context.first_config.borrow().clone();
    let mut txn = txns::guarded(&guard, vec![txns::put(keys::CONFIG, codec::config(&config))]);
    // One that is there and cannot be read is somebody's to mend, not to be written over.
    txn.compares.push(Compare::ModRevision(keys::CONFIG.to_owned(), Revision::ABSENT));
    commit(context, txn, "the config key").await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::WalPosition;

    #[test]
    fn adopted_data_brings_its_timelines_along() {
        let ancestors = [
            Ancestor { timeline: Timeline(1), ended_at: Lsn(100) },
            Ancestor { timeline: Timeline(4), ended_at: Lsn(200) },
        ];
        let lineage = first_lineage(Term(1), &"a".into(), &ancestors, Timeline(5));
        let stands = |timeline, lsn| {
            lineage.standing(WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) })
        };
        assert_eq!(stands(5, 300), crate::cluster::Standing::OnPath { epoch: 2 });
        assert_eq!(stands(4, 201), crate::cluster::Standing::PastTheFork { forked_at: Lsn(200) });
        assert_eq!(lineage.finished().len(), 2);
    }

    #[test]
    fn moments_are_written_as_patroni_does() {
        let moment = Timestamp::from_microsecond(1_740_903_340_120_000).unwrap();
        assert_eq!(iso(moment), "2025-03-02T08:15:40.120000+00:00");
    }
}
