//! What one world is like: drawn from its seed before anything happens.

use std::time::Duration;

use pgbaton::config::DivergedData;
use serde_json::Value;

use crate::faults::{Fault, Target, draw};
use crate::rng::Rng;
use crate::world::NAMES;

/// What one world is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// The `ttl` of its configuration.
    pub ttl: Duration,
    /// The shortest lease its etcd grants.
    pub shortest_lease: Duration,
    /// `maximum_lag_on_failover`.
    pub lag_bytes_max: u64,
    /// `primary_start_timeout`.
    pub primary_start_timeout_seconds: u64,
    /// `primary_stall_timeout`.
    pub stall_timeout_seconds: u64,
    /// Whether diverged directories may be rewound.
    pub use_pg_rewind: bool,
    /// Whether diverged directories may be removed.
    pub remove_diverged: bool,
    /// Whether a directory may be removed after a failed rewind.
    pub remove_after_failed_rewind: bool,
    /// What becomes of diverged directories else.
    pub diverged_data: DivergedData,
    /// `failsafe_mode`.
    pub failsafe: bool,
    /// Synchronous replication, as the cluster's configuration says it.
    pub sync: SyncPlan,
    /// One tag of each node, where it has one.
    pub tags: Vec<Option<(&'static str, Value)>>,
    /// Whether faults begin with the world, not only when it serves.
    pub faults_from_the_start: bool,
    /// How long the faults last, all together.
    pub faulty_for: Duration,
    /// The faults, by when they begin.
    pub faults: Vec<Fault>,
    /// Whether somebody has to serve again before anything is mended.
    pub serves_meanwhile: bool,
    /// Who stays away when all else is mended, until somebody serves without them.
    pub stay_away: Vec<Target>,
    /// Whether time in which all is well is cut short: the founding, and what lies between the faults.
    pub spares_quiet_time: bool,
}

impl Plan {
    /// Draws a world.
    pub fn draw(rng: &Rng) -> Self {
        let nodes = *rng.pick(&[3, 3, 3, 3, 3, 3, 2, 4]);
        let ttl = Duration::from_secs(*rng.pick(&[1, 1, 1, 2, 2, 3, 5]));
        let lag_bytes_max = *rng.pick(&[0, 1_000, 20_000, 1 << 20]);
        let faulty_for = ttl * 6 + Duration::from_secs(2);
        let tags = tags(rng, nodes);
        let use_pg_rewind = rng.chance(900);
        let failsafe = rng.chance(500);
        Self {
            nodes,
            ttl,
            shortest_lease: Duration::from_secs(*rng.pick(&[1, 2])),
            lag_bytes_max,
            primary_start_timeout_seconds: *rng.pick(&[0, 0, 1, 5, 60]),
            stall_timeout_seconds: *rng.pick(&[1, 1, 2]),
            use_pg_rewind,
            remove_diverged: rng.chance(300),
            remove_after_failed_rewind: rng.chance(300),
            diverged_data: *rng.pick(&[
                DivergedData::Keep,
                DivergedData::Keep,
                DivergedData::Remove,
                DivergedData::StayDown,
            ]),
            failsafe,
            sync: SyncPlan::default(),
            tags,
            faults_from_the_start: rng.chance(120),
            faulty_for,
            faults: draw(rng, ttl, faulty_for, failsafe),
            serves_meanwhile: false,
            stay_away: Vec::new(),
            spares_quiet_time: true,
        }
    }
}

/// Synchronous replication.
#[derive(Clone, Debug, Default)]
pub struct SyncPlan {
    /// `synchronous_mode`.
    pub mode: Value,
    /// `synchronous_mode_strict`.
    pub strict: bool,
    /// `synchronous_node_count`.
    pub count: u64,
}

impl SyncPlan {
    /// Draws it, from chance of its own.
    pub fn draw(rng: &Rng) -> Self {
        let mode = match rng.below(10) {
            0..=3 => Value::Bool(false),
            4..=6 => Value::Bool(true),
            _ => Value::from("quorum"),
        };
        Self { mode, strict: rng.chance(300), count: *rng.pick(&[1, 1, 1, 2]) }
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        !matches!(self.mode, Value::Null | Value::Bool(false))
    }
}

/// Some prefer to lead; one of many at the most may not, and one may stream through another.
fn tags(rng: &Rng, nodes: usize) -> Vec<Option<(&'static str, Value)>> {
    let mut tags: Vec<_> = (0..nodes)
        .map(|_| rng.chance(100).then(|| ("failover_priority", Value::from(5))))
        .collect();
    if nodes > 2 && rng.chance(200) {
        tags[rng.below(nodes as u64) as usize] = Some(("nofailover", true.into()));
    }
    if nodes > 2 && rng.chance(150) {
        let fed = rng.below(nodes as u64) as usize;
        let feeder = NAMES[(fed + 1) % nodes];
        tags[fed] = Some(("replicatefrom", feeder.into()));
    }
    tags
}
