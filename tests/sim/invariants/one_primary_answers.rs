//! At most one node says of itself, at any moment, that writes belong there.

use pgbaton::values::Clock;

use super::Check;
use crate::world::World;

pub const NAME: &str = "one_primary_answers";

pub fn check(world: &World) -> Check {
    let mut found = None;
    for host in &world.hosts {
        if host.gate.is_closed() {
            continue;
        }
        let life = host.life.borrow();
        let Some(published) = &life.published else { continue };
        let status = published.get();
        if status.lease.is_none() || !status.is_writable(host.clock.now()) {
            continue;
        }
        if let Some(other) = found.replace(&host.name) {
            return Err(format!("{other} and {} both say that they take writes", host.name));
        }
    }
    Ok(())
}
