//! No two servers acknowledge writes in turns: once a later opening has acknowledged anything, no
//! earlier one ever does again.

use super::Check;
use crate::world::World;

pub const NAME: &str = "one_writer";

pub fn check(world: &World, node: usize, opening: usize) -> Check {
    let truth = world.truth.borrow();
    match truth.last {
        Some((at, last)) if opening < last => Err(format!(
            "{} acknowledges a write although {} has done so since, at {:.3}",
            world.hosts[node].name,
            world.hosts[truth.openings[last].node].name,
            at.as_secs_f64(),
        )),
        _ => Ok(()),
    }
}
