//! In synchronous mode (plain, quorum, strict or not) a new primary has every commit that was ever
//! acknowledged, but where a person accepted for this very vacancy that it may not. Clients of this world
//! never cancel a commit that waits.

use super::{Check, show};
use crate::postgres::At;
use crate::truth::Began;
use crate::world::World;

pub const NAME: &str = "no_acknowledged_commit_lost";

pub fn check(world: &World, node: usize, at: At) -> Check {
    let truth = world.truth.borrow();
    let Some(acknowledged) = truth.sync_acknowledged else { return Ok(()) };
    if truth.began == Began::Acceptance || world.wal.borrow().holds(at, acknowledged) {
        return Ok(());
    }
    Err(format!(
        "{} serves from {}, and {} was acknowledged ({:?}); the record says {:?}",
        world.hosts[node].name,
        show(at),
        show(acknowledged),
        truth.began,
        truth.sync,
    ))
}
