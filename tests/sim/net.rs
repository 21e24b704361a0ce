//! The links between agents, servers and the store. Each direction of each link fails on its own.

use std::time::Duration;

use crate::rng::Rng;

/// One direction of one link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Nothing arrives.
    pub cut: bool,
    /// So many messages in a thousand are lost.
    pub lossy: u64,
    /// Messages take up to so much longer.
    pub slow: Duration,
}

impl Link {
    /// How long a message takes, or `None` when it is lost on the way.
    pub fn carry(&self, rng: &Rng) -> Option<Duration> {
        if self.cut || self.lossy > 0 && rng.chance(self.lossy) {
            return None;
        }
        let usual = rng.millis(0, 2);
        let more = if self.slow.is_zero() { Duration::ZERO } else { rng.part(self.slow, 0, 100) };
        Some(usual + more)
    }
}

/// A node's way to the store.
#[derive(Clone, Debug, Default)]
pub struct StoreRoad {
    /// Requests.
    pub there: Link,
    /// Replies.
    pub back: Link,
    /// Requests whose caller has long given up are delivered this late, some of the time.
    pub straggle: Duration,
    /// The member it is connected to is a leader that was deposed without noticing: only keepalives
    /// are answered, and always with yes.
    pub stale_leader: bool,
    /// Watches opened up to this one never show anything again.
    pub hung_watches: u64,
    /// Watches opened up to this one are cut.
    pub cut_watches: u64,
    /// How many watches were opened.
    pub watches: u64,
    /// How late watches show what happened.
    pub watch_delay: Duration,
}

/// All links.
pub struct Net {
    /// To the store, by node.
    pub store: Vec<StoreRoad>,
    /// Between agents, from and to.
    pub agents: Vec<Vec<Link>>,
    /// Replication, from upstream and to standby.
    pub wal: Vec<Vec<Link>>,
}

impl Net {
    /// All links whole.
    pub fn new(nodes: usize) -> Self {
        let links = vec![vec![Link::default(); nodes]; nodes];
        Self { store: vec![StoreRoad::default(); nodes], agents: links.clone(), wal: links }
    }

    /// Mends everything; watches that hang go on hanging.
    pub fn heal(&mut self) {
        for road in &mut self.store {
            road.there = Link::default();
            road.back = Link::default();
            road.straggle = Duration::ZERO;
            road.stale_leader = false;
            road.watch_delay = Duration::ZERO;
        }
        for link in self.agents.iter_mut().chain(self.wal.iter_mut()).flatten() {
            *link = Link::default();
        }
    }
}
