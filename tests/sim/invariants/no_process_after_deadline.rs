//! No process of a server that could acknowledge a write is there once its node's lease has run out,
//! counted from when the renewal that the store really has was sent, on the node's own clock, and enough
//! listed members do not carry it either; whatever became of the agent. A frozen node runs nothing, and is looked at when it thaws.

use pgbaton::values::Clock;

use super::Check;
use crate::carried;
use crate::world::World;

pub const NAME: &str = "no_process_after_deadline";

pub fn check(world: &World) -> Check {
    for (node, host) in world.hosts.iter().enumerate() {
        if host.gate.is_closed() || host.pg.borrow().writes().is_none() {
            continue;
        }
        let lease = world.truth.borrow().leases[node];
        let Some(lease) = lease else {
            return Err(format!("{} is open to writes without any lease", host.name));
        };
        let ends = host.clock.at(lease.sent_at) + (lease.ttl - lease.ttl / 1000);
        let carried = || carried::until(world, node).is_some_and(|until| host.clock.now() < until);
        if host.clock.now() >= ends && !carried() {
            let late = host.clock.now().since(ends);
            return Err(format!(
                "{} is open to writes {late:?} after its lease ran out",
                host.name
            ));
        }
    }
    Ok(())
}
