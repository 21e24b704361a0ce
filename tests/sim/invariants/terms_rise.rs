//! The baton's term never falls, and rises with each new holder.

use pgbaton::cluster::BatonState;
use pgbaton::values::Term;

use super::Check;
use crate::sometimes::Sometimes;
use crate::world::World;

pub const NAME: &str = "terms_rise";

pub fn check(world: &World, before: Option<Term>) -> Check {
    let truth = world.truth.borrow();
    let (Some(before), Some(baton)) = (before, &truth.baton) else { return Ok(()) };
    if baton.term < before {
        return Err(format!("the baton's term fell from {before} to {}", baton.term));
    }
    let other = truth.previous.is_some_and(|previous| previous != baton.incarnation);
    if other && baton.term == before {
        return Err(format!("two agents hold the baton in term {before}"));
    }
    Ok(())
}

/// Counts what is worth counting about a change of the baton.
pub fn count(world: &World, before: Option<Term>) {
    let truth = world.truth.borrow();
    let (Some(before), Some(baton)) = (before, &truth.baton) else { return };
    let Some(previous) = truth.previous else { return };
    if previous == baton.incarnation {
        if baton.term > before && baton.state == BatonState::Held {
            world.sometimes(Sometimes::RaceHealed);
        }
        return;
    }
    let sleeper = world.hosts.iter().find(|host| host.incarnation() == previous);
    if sleeper.is_some_and(|host| host.gate.is_closed() && host.is_up()) {
        world.sometimes(Sometimes::FrozenLeaderDeposed);
    }
}
