//! Whatever destroys data was written down before: the step itself, and the log that goes with it.

use pgbaton::decide::Unfinished;

use super::Check;
use crate::postgres::{Content, Data};
use crate::world::World;

pub const NAME: &str = "nothing_destroyed_silently";

/// What is done to a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is removed.
    Remove,
    /// It is rewound.
    Rewind,
    /// It is set aside.
    SetAside,
    /// It is filled with a copy.
    Copy,
}

pub fn check(world: &World, node: usize, deed: Deed) -> Check {
    let host = &world.hosts[node];
    let journal = host.journal.borrow();
    let begun = journal.unfinished;
    let fits = match deed {
        Deed::Remove => matches!(begun, Some(Unfinished::Copy | Unfinished::Bootstrap)),
        Deed::Rewind => begun == Some(Unfinished::Rewind),
        Deed::SetAside => begun == Some(Unfinished::SetAside),
        Deed::Copy => begun == Some(Unfinished::Copy),
    };
    if !fits {
        return Err(format!("{deed:?} on {}, where the journal says {begun:?}", host.name));
    }
    let pg = host.pg.borrow();
    let Content::Whole(data) = &pg.content else { return Ok(()) };
    if begun == Some(Unfinished::Bootstrap) || !is_its_own(world, data) {
        return Ok(());
    }
    let timeline = world.wal.borrow().branch(data.at).timeline;
    if journal.losses.iter().any(|loss| loss.timeline == timeline) {
        return Ok(());
    }
    Err(format!("{deed:?} on {}: log of timeline {timeline} goes, and nothing says so", host.name))
}

/// Whether it has log that the cluster's one history does not have.
fn is_its_own(world: &World, data: &Data) -> bool {
    let Some(acknowledged) = world.truth.borrow().acknowledged else { return false };
    let wal = world.wal.borrow();
    // What no client was told of yet may lie past the end of what was acknowledged, on the same branch.
    data.at.branch != acknowledged.branch && !wal.holds(acknowledged, data.at)
}
