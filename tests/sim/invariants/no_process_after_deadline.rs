//! No process of a server that could acknowledge a write is there once its node's lease has run out,
//! counted from when the renewal that the store really has was sent, on the node's own clock; whatever
//! became of the agent. A frozen node runs nothing, and is looked at when it thaws.

use pgbaton::values::Clock;

use super::Check;
use crate::world::World;

pub const NAME: &str = "no_process_after_deadline";

pub fn check(world: &World) -> Check {
    let truth = world.truth.borrow();
    for (node, host) in world.hosts.iter().enumerate() {
        if host.gate.is_closed() || host.pg.borrow().writes().is_none() {
            continue;
        }
        let Some(lease) = truth.leases[node] else {
            return Err(format!("{} is open to writes without any lease", host.name));
        };
        let ends = host.clock.at(lease.sent_at) + (lease.ttl - lease.ttl / 1000);
        if host.clock.now() >= ends {
            let late = host.clock.now().since(ends);
            return Err(format!(
                "{} is open to writes {late:?} after its lease ran out",
                host.name
            ));
        }
    }
    Ok(())
}
