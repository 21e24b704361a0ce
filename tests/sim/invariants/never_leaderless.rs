//! Where enough members are left, one of them serves, also while nothing is mended.

use std::time::Duration;

use super::Check;
use crate::world::World;

pub const NAME: &str = "never_leaderless_with_quorum";

/// A primary that serves acknowledges something in any such time.
const RECENT: Duration = Duration::from_millis(500);

/// Looked at when the faults have lasted long enough.
pub fn check(world: &World) -> Check {
    let last = world.truth.borrow().last.map(|(at, _)| at);
    match last {
        Some(at) if world.now() - at <= RECENT => Ok(()),
        _ => Err(format!("nobody serves since {last:?}, and enough members are left")),
    }
}
