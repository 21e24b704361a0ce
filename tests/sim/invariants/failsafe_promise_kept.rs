//! Who has accepted a primary while the store was away neither races nor promises to another for a
//! whole `ttl`, restarts included; unless that primary gave its lease up, or lost it.

use pgbaton::cluster::BatonState;
use pgbaton::values::Clock;

use super::Check;
use crate::world::World;

pub const NAME: &str = "failsafe_promise_kept";

pub fn check(world: &World, node: usize, what: &str) -> Check {
    let host = &world.hosts[node];
    let truth = world.truth.borrow();
    let Some(accepted) = truth.accepted[node] else { return Ok(()) };
    let still_leads = truth.baton.as_ref().is_some_and(|baton| {
        baton.state == BatonState::Held
            && baton.incarnation == accepted.incarnation
            && accepted.term.is_none_or(|term| term == baton.term)
    });
    let until = host.clock.at(accepted.at) + accepted.ttl;
    if !still_leads || host.clock.now() >= until {
        return Ok(());
    }
    let left = until.since(host.clock.now());
    let leader = &world.hosts[accepted.leader].name;
    Err(format!("{} {what} although it has accepted {leader} for another {left:?}", host.name))
}
