//! The two sides of synchronous replication: the record in the store, and the names at the server.

use super::context::{Context, Note};
use super::effects::EffectError;
use super::lease::LeaseError;
use super::ports::Ports;
use crate::cluster::{SyncNames, SyncState, Voters};
use crate::dcs::{Compare, Op, Store, codec, keys, txns};
use crate::decide::SyncChange;
use crate::mutants::{Mutant, planted};
use crate::postgres::Server;
use crate::values::Revision;

/// Carries one change out.
pub async fn change<P: Ports>(
    context: &Context<P>,
    change: &SyncChange,
) -> Result<(), EffectError> {
    match change {
        SyncChange::Record { state, over, possible } => {
            record(context, state, *over, possible).await
        }
        SyncChange::Forget(over) => forget(context, *over).await,
        SyncChange::SetNames { names, possible, raises_count } => {
            set_names(context, names, possible, *raises_count).await
        }
        SyncChange::LeaveNames => leave_names(context).await,
    }
}

/// The change's name, for the log.
pub fn name(change: &SyncChange) -> &'static str {
    match change {
        SyncChange::Record { .. } => "record the synchronous standbys",
        SyncChange::Forget(_) => "forget the synchronous standbys",
        SyncChange::SetNames { .. } => "set the synchronous standbys",
        SyncChange::LeaveNames => "leave the synchronous standbys to the user",
    }
}

/// Writes the record over the one that was read at `over`. The rule is checked once more, here, against
/// all under which anything may have been acknowledged.
async fn record<P: Ports>(
    context: &Context<P>,
    state: &SyncState,
    over: Revision,
    possible: &[SyncNames],
) -> Result<(), EffectError> {
    let voters = Voters::recorded(state);
    let names = SyncNames::mixed(possible);
    if !voters.hears(&names) && !breaks_the_rule_on_purpose() {
        let why = format!("{voters:?} would not hear of every commit acknowledged by {names:?}");
        return Err(EffectError::Refused(why));
    }
    write(context, txns::put(keys::SYNC, codec::sync(state)), over).await
}

fn breaks_the_rule_on_purpose() -> bool {
    planted(Mutant::SyncNamesWidenedFirst)
        || planted(Mutant::SyncNamesEmptiedFirst)
        || planted(Mutant::SyncPublishedEarly)
}

/// Removes the record.
async fn forget<P: Ports>(context: &Context<P>, over: Revision) -> Result<(), EffectError> {
    write(context, Op::Delete(keys::SYNC.to_owned()), over).await
}

async fn write<P: Ports>(context: &Context<P>, op: Op, over: Revision) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let mut txn = txns::guarded(&guard, vec![op]);
    txn.compares.push(Compare::ModRevision(keys::SYNC.to_owned(), over));
    context.note(Note::SyncWrite(over));
    let result = context.store.commit(txn, context.settings().times.one_try).await;
    // A failure settles nothing: an earlier try over the same revision may still arrive.
    let reply = result?;
    context.note(Note::SyncWritten);
    // A refused one as well: what refused it, perhaps an earlier one that was not answered, is to be known
    // before anything is built on the record.
    context.note(Note::Wrote(reply.revision));
    match reply.succeeded {
        true => Ok(()),
        false => Err(EffectError::Conflict("the record of synchronous standbys")),
    }
}

/// Has commits wait for these.
async fn set_names<P: Ports>(
    context: &Context<P>,
    names: &SyncNames,
    possible: &[SyncNames],
    raises_count: bool,
) -> Result<(), EffectError> {
    let within = context.settings().dynamic.retry_timeout;
    let before = possible.iter().filter(|one| *one != names);
    context.note(Note::NamesTold(before.chain([names]).cloned().collect()));
    let at = context.server.set_sync_names(Some(names), raises_count, within).await?;
    context.note(Note::NamesInForce(names.clone(), at));
    Ok(())
}

/// Has commits wait for whom the user's own settings say.
async fn leave_names<P: Ports>(context: &Context<P>) -> Result<(), EffectError> {
    let within = context.settings().dynamic.retry_timeout;
    context.server.set_sync_names(None, false, within).await?;
    context.note(Note::NamesLeft);
    Ok(())
}
