//! A new leader has all that its predecessor acknowledged, but for `maximum_lag_on_failover` and what
//! was written since the predecessor last said how far it was. After a handover by name it has all.

use super::{Check, show};
use crate::postgres::At;
use crate::sometimes::Sometimes;
use crate::world::World;

pub const NAME: &str = "async_loss_within_bound";

pub fn check(world: &World, node: usize, at: At) -> Check {
    let truth = world.truth.borrow();
    let wal = world.wal.borrow();
    let Some(acknowledged) = truth.acknowledged.filter(|_| truth.founded) else { return Ok(()) };
    if wal.branch(acknowledged).system != wal.branch(at).system {
        return Err(format!("{} serves another cluster's data", world.hosts[node].name));
    }
    if !wal.holds(at, acknowledged) {
        world.sometimes(Sometimes::LossWithinBound);
    }
    // Whoever opens the server it had opened last has lost nothing of its own.
    let same = truth.openings.last().is_some_and(|opening| opening.node == node);
    let place = |log, position| wal.place(log, position);
    let due = if same { None } else { truth.due(place, world.plan.lag_bytes_max) };
    let Some(due) = due else { return Ok(()) };
    if wal.holds(at, due) {
        return Ok(());
    }
    Err(format!(
        "{} serves from {}, but has to have everything up to {} ({:?}); acknowledged was {}",
        world.hosts[node].name,
        show(at),
        show(due),
        truth.began,
        show(acknowledged),
    ))
}
