//! The lease: a task of its own that renews the baton by compare-and-swap, and carries out the loop's
//! orders to take it, hand it over or give it up. Does no file I/O, resolves no names, and shares no
//! lock with anything that does; it asks the loop for nothing but a sign of life.

mod exposure;
mod giving;
mod held;
mod keeper;
mod orders;
mod parts;
mod refound;
mod resume;
mod tries;
mod wire;

pub use exposure::{Exposure, Fence, FenceReport};
pub use keeper::Keeper;
pub use orders::{LeaseError, LeaseOrders, Order};
pub use parts::KeeperParts;
pub use tries::{Sent, Tries};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::values::{Lsn, Monotonic, Timeline, WalPosition};

/// What the loop tells the renewal: that it is alive, and how far the log is. Shared without a lock.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug, Default)]
struct Beats {
    beat_nanos: AtomicU64,
    lsn: AtomicU64,
    timeline: AtomicU64,
}

impl Pulse {
    /// The loop is alive at `now`.
    pub fn beat(&self, now: Monotonic) {
        let nanos = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX);
        self.0.beat_nanos.store(nanos, Ordering::Relaxed);
    }

    /// When the loop last said that it is alive.
    pub fn last(&self) -> Monotonic {
        Monotonic::from_boot(Duration::from_nanos(self.0.beat_nanos.load(Ordering::Relaxed)))
    }

    /// The log of this node's server is this far. A reader may see halves of two positions, of which
    /// the later one is on its way anyway; nothing but a bound of lag is taken from it.
    pub fn reached(&self, position: WalPosition) {
        self.0.timeline.store(u64::from(position.timeline.0), Ordering::Relaxed);
        self.0.lsn.store(position.lsn.0, Ordering::Relaxed);
    }

    /// How far the log was, if it was ever told.
    pub fn position(&self) -> Option<WalPosition> {
        let lsn = Lsn(self.0.lsn.load(Ordering::Relaxed)).known()?;
        let timeline = Timeline(self.0.timeline.load(Ordering::Relaxed) as u32);
        Some(WalPosition { timeline, lsn })
    }
}
