//! A node that has told anybody its vote for a term takes no log from a leader of an earlier one.

use pgbaton::values::Term;

use super::Check;
use crate::world::World;

pub const NAME: &str = "promise_is_kept";

pub fn check(world: &World, node: usize, term: Term) -> Check {
    let host = &world.hosts[node];
    let promised = world.truth.borrow().told[node];
    if term >= promised {
        return Ok(());
    }
    Err(format!("{} has promised term {promised} and receives log of term {term}", host.name))
}
