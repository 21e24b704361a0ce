//! When a race gives the baton to somebody, no server of anybody else is open to writes: its fence came
//! first. A frozen node's server runs nothing, and its fence comes before it does.

use pgbaton::cluster::BatonState;

use super::Check;
use crate::world::World;

pub const NAME: &str = "fence_before_takeover";

pub fn check(world: &World) -> Check {
    let truth = world.truth.borrow();
    let Some(baton) = &truth.baton else { return Ok(()) };
    if baton.state != BatonState::Held || truth.previous == Some(baton.incarnation) {
        return Ok(());
    }
    for host in world.hosts.iter().filter(|host| host.name != baton.holder) {
        if !host.gate.is_closed() && host.pg.borrow().writes().is_some() {
            return Err(format!(
                "{} took over while {} is open to writes",
                baton.holder, host.name
            ));
        }
    }
    Ok(())
}
