//! Plays one fault: sets the scene, does the deed, holds it, undoes it, waits until the cluster is whole, and
//! closes the ledger.

use std::time::{Duration, Instant};

use super::outcome::Seen;
use super::primary_watch::{PrimaryWatch, two_at_one_time};
use super::{Fault, Outcome, Scene};
use crate::support::disk_watch::DiskWatch;
use crate::support::node::Node;
use crate::support::wait::wait_until;

/// How writes are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Async,
    Quorum,
}

/// How a fault is played.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Seconds.
    pub ttl: u64,
    pub stall_timeout: Duration,
    /// How long the fault lasts before it is undone.
    pub held: Duration,
    pub mode: Mode,
}

/// How long a node may take to say that it is the primary.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// For everything that a healthy cluster does.
const BOUND: Duration = Duration::from_secs(60);
/// How long a cluster may take to be whole again after a fault.
const WHOLE_BOUND: Duration = Duration::from_secs(120);

/// Fails if the cluster does not come back, or cannot be made; what was measured is judged by the caller.
#[track_caller]
pub fn play(fault: &'static Fault, how: How) -> Outcome {
    let mut scene = Scene::set(fault, &how);
    let fence = scene.node().shown_fence();
    let ledger = scene.cluster.open_ledger();
    ledger.wait_for_writes(scene.leader, 100, BOUND);
    let watch =
        PrimaryWatch::open(scene.cluster.nodes.iter().map(Node::rest).collect(), ANSWERS_WITHIN);
    let disk = DiskWatch::begin();
    let begun = Instant::now();
    scene.since = begun;
    (fault.inject)(&mut scene);
    wait_until("the fault has lasted long enough", how.held * 2 + BOUND, || {
        begun.elapsed() >= how.held
    });
    (fault.heal)(&mut scene);
    let leader = scene.cluster.wait_until_whole(WHOLE_BOUND);
    ledger.wait_for_writes(leader, 100, BOUND);
    let leader = scene.cluster.wait_until_whole(WHOLE_BOUND);
    let two_primaries = two_at_one_time(&watch.close());
    let report = ledger.close(scene.cluster.nodes[leader].postgresql());
    let disk = disk.worst_since(scene.since);
    Outcome::new(fault, how, Seen { fence, since: scene.since, two_primaries, disk }, &report)
}
