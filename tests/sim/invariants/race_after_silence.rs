//! Nobody asks for promises while the holder renews: stopping receivers would block a healthy
//! primary's commits. A candidate may know of a silence a little late, never of one that was none.

use super::Check;
use crate::world::World;

pub const NAME: &str = "race_after_silence";

pub fn check(world: &World, node: usize) -> Check {
    let truth = world.truth.borrow();
    let now = world.now();
    let lately = truth.longest_ttl * 3 / 4;
    let was_vacant = truth.vacant_until.is_some_and(|until| now - until <= lately);
    if truth.is_vacant() || truth.is_silent(now) || was_vacant {
        return Ok(());
    }
    let ago = now - truth.changed_at;
    let name = &world.hosts[node].name;
    Err(format!("{name} asks for promises {ago:?} after the holder renewed"))
}
