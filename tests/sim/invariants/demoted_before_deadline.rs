//! A server acknowledges only while its node's lease lasts, counted from when the renewal that the
//! store really has was sent, on the node's own clock; or while enough listed members carry it.

use pgbaton::values::Clock;

use super::Check;
use crate::carried;
use crate::world::World;

pub const NAME: &str = "demoted_before_deadline";

pub fn check(world: &World, node: usize) -> Check {
    let host = &world.hosts[node];
    let truth = world.truth.borrow();
    let Some(lease) = truth.leases[node] else {
        return Err(format!("{} acknowledges a write without any lease", host.name));
    };
    if lease.incarnation != host.incarnation() {
        return Err(format!("{} acknowledges under an earlier agent's lease", host.name));
    }
    let ends = host.clock.at(lease.sent_at) + (lease.ttl - lease.ttl / 1000);
    if host.clock.now() < ends {
        return Ok(());
    }
    drop(truth);
    if carried::until(world, node).is_some_and(|until| host.clock.now() < until) {
        return Ok(());
    }
    let late = host.clock.now().since(ends);
    Err(format!("{} acknowledges a write {late:?} after its lease has run out", host.name))
}
