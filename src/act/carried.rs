//! Logical slots of the leader that a standby carries along.

use super::context::{Context, Note};
use super::effects::EffectError;
use super::ports::Ports;
use crate::cluster::Upstream;
use crate::config::PermanentSlot;
use crate::decide::Carry;
use crate::postgres::Server;
use crate::values::Clock;

/// Does one thing for them.
pub async fn carry_out<P: Ports>(context: &Context<P>, what: &Carry) -> Result<(), EffectError> {
    match what {
        Carry::Copy { from, slots } => copy(context, from, slots).await,
        Carry::AskWhatIsKept { of, names } => ask(context, of, names).await,
        Carry::Advance(to) => Ok(context.server.advance_logical_slots(to).await?),
        Carry::KeepNoneBut(names) => keep_none_but(context, names).await,
    }
}

/// Its name, for the log and the events.
pub fn name(what: &Carry) -> &'static str {
    match what {
        Carry::Copy { .. } => "copy logical slots",
        Carry::AskWhatIsKept { .. } => "ask what the leader keeps",
        Carry::Advance(_) => "move logical slots on",
        Carry::KeepNoneBut(_) => "settle the logical slots",
    }
}

/// Gets them from the leader. That they are copies is written down before they are there: a former leader's own are
/// dropped.
async fn copy<P: Ports>(
    context: &Context<P>,
    from: &Upstream,
    slots: &[PermanentSlot],
) -> Result<(), EffectError> {
    let names = slots.iter().map(|slot| slot.name.clone()).collect();
    context.note(Note::CopiesSlots(context.clock.now(), names));
    let fetched = context.server.fetch_logical_slots(from, slots).await?;
    Ok(context.notebook.carries(&fetched).await?)
}

/// Written down before: whatever happens in between, none of the others is dropped by the next agent. Those that are
/// still there stay written down, and are dropped by whoever leads.
async fn keep_none_but<P: Ports>(
    context: &Context<P>,
    names: &[String],
) -> Result<(), EffectError> {
    context.notebook.carries_none_but(names).await?;
    if !names.is_empty() {
        context.server.drop_logical_slots(names).await?;
    }
    Ok(context.notebook.carries_none_but(&[]).await?)
}

/// Asks the leader what it keeps for them.
async fn ask<P: Ports>(
    context: &Context<P>,
    leader: &Upstream,
    names: &[String],
) -> Result<(), EffectError> {
    let kept = context.server.kept_for_slots(leader, names).await;
    let known = kept.as_ref().map(Clone::clone).unwrap_or_default();
    context.note(Note::AskedWhatIsKept(context.clock.now(), known));
    Ok(kept.map(drop)?)
}
