//! Nothing runs on a directory that a copy, a rewind or an `initdb` has not finished.

use super::Check;
use crate::postgres::{Content, Process};
use crate::world::World;

pub const NAME: &str = "rewinding_never_serves";

pub fn check(world: &World) -> Check {
    for host in &world.hosts {
        let pg = host.pg.borrow();
        if let (Content::Partial(what, _), true) = (&pg.content, pg.process != Process::Off) {
            return Err(format!("{} runs on a directory left by {what}", host.name));
        }
    }
    Ok(())
}
