//! A server is opened only by an agent that really holds the baton then.

use super::Check;
use crate::world::World;

pub const NAME: &str = "lease_before_promotion";

pub fn check(world: &World, node: usize) -> Check {
    let host = &world.hosts[node];
    let truth = world.truth.borrow();
    if truth.is_holder(host.incarnation()) {
        return Ok(());
    }
    Err(format!("{} opens its server while the baton is {:?}", host.name, truth.baton))
}
