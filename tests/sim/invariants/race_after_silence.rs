//! Nobody asks for promises while the holder renews: stopping receivers would block a healthy
//! primary's commits. A candidate may know of a silence a little late, never of one that was none.

use super::Check;
use crate::world::World;

pub const NAME: &str = "race_after_silence";

pub fn check(world: &World, node: usize) -> Check {
    let truth = world.truth.borrow();
    let now = world.now();
    let ttl = truth.shortest_ttl;
    let silent = now - truth.changed_at >= ttl * 48 / 100;
    let was_vacant = truth.vacant_until.is_some_and(|until| now - until <= ttl * 3 / 4);
    if truth.is_vacant() || silent || was_vacant {
        return Ok(());
    }
    let ago = now - truth.changed_at;
    let name = &world.hosts[node].name;
    Err(format!("{name} asks for promises {ago:?} after the holder renewed"))
}
