//! The list in the store.

use crate::act::context::Context;
use crate::act::effects::EffectError;
use crate::act::lease::LeaseError;
use crate::act::ports::Ports;
use crate::act::records;
use crate::cluster::Listed;
use crate::dcs::{Compare, Op, codec, keys, txns};
use crate::values::Revision;

/// Writes the list over the one at `read_at`, or removes it.
pub async fn write<P: Ports>(
    context: &Context<P>,
    list: Option<&Listed>,
    read_at: Revision,
) -> Result<(), EffectError> {
    let guard = context.guard().ok_or(LeaseError::NotHeld)?;
    let held = context.lease_sight.borrow().held.ok_or(LeaseError::NotHeld)?;
    if !context.failsafe.may_be_written(read_at, list, held.renewed) {
        let why = "the lease is carried by the listed members: the list stays".to_owned();
        return Err(EffectError::Refused(why));
    }
    let op = match list {
        Some(list) => txns::put(keys::FAILSAFE, codec::failsafe(list)),
        None => Op::Delete(keys::FAILSAFE.to_owned()),
    };
    let mut txn = txns::guarded(&guard, vec![op]);
    txn.compares.push(Compare::ModRevision(keys::FAILSAFE.to_owned(), read_at));
    records::commit(context, txn, "the failsafe key").await.map(drop)
}
