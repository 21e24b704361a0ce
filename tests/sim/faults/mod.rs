//! What goes wrong, when, and to whom.

mod apply;
mod themes;

use std::time::Duration;

pub use apply::{Underway, accept_loss, begin, choose, end, heal, kill};

use crate::rng::Rng;

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// When, after the faults began.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// To whom.
    pub target: Target,
    /// What.
    pub what: What,
}

/// To whom it happens; decided when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever holds the baton then, or anybody.
    Leader,
    /// One of the others, or anybody.
    Other,
    /// Anybody.
    Any,
    /// Whoever it was the last time.
    Same,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Agent and server die, and are started again when it is over.
    KillNode,
    /// The agent dies alone, and is started again when it is over.
    KillAgent,
    /// The agent is frozen alone: its server and the guardian go on.
    FreezeAgent,
    /// The postmaster dies.
    CrashPostmaster,
    /// Nothing on the node runs.
    FreezeNode,
    /// The agent's loop alone is stuck.
    StickLoop,
    /// The agent is told to stop, and started again when it is over.
    StopAgent,
    /// The node does not reach the store.
    CutStore,
    /// The store's answers do not reach the node.
    LoseReplies,
    /// Half of what the node and the store tell each other is lost.
    FlakyStore,
    /// Requests and answers take long, some requests very long.
    SlowStore,
    /// The node talks to a leader of etcd that was deposed without noticing.
    StaleLeader,
    /// The node reaches nobody.
    Isolate,
    /// The node's agent is not heard by the others, but hears them.
    MuteAgent,
    /// The node's agent hears nothing of the others, but is heard.
    DeafAgent,
    /// The node's agent and the leader's do not hear each other.
    CutFromLeader,
    /// What the node's agent and the others tell each other takes long.
    SlowAgents,
    /// The node's server gets no log, and sends none.
    CutReplication,
    /// Log from the node's server takes long.
    SlowReplication,
    /// The node's server replays slowly.
    SlowReplay,
    /// The node's disk does not answer.
    StallDisk,
    /// The node's server does not answer.
    HangServer,
    /// All processes of the node's server are stopped.
    StopServer,
    /// The postmaster of the node's server is stopped.
    StopPostmaster,
    /// The node's disk is full.
    FillDisk,
    /// Commits on the node's server wait for a standby.
    AwaitStandby,
    /// The node's server takes long to start, stop and promote.
    SlowServer,
    /// The node's watches show nothing any more.
    HangWatches,
    /// The node's watches are cut.
    CutWatches,
    /// The node's watches are late.
    DelayWatches,
    /// The store has no majority.
    StoreOutage,
    /// The store changes its leader, which lengthens all leases.
    StoreElection,
    /// The store has no space.
    StoreFull,
    /// The store forgets its past.
    Compact,
    /// Somebody asks for a switchover.
    Switchover,
    /// Somebody asks for a failover.
    Failover,
    /// Somebody asks for a failover to the node, and accepts what may be lost.
    AcceptLoss,
    /// Somebody changes the `ttl` of the cluster.
    ChangeTtl,
    /// Somebody changes the settings of synchronous replication.
    ChangeSync,
    /// Somebody makes the `ttl` as short as it can be.
    ShortestTtl,
    /// The node's server keeps no log but the newest.
    RecycleLog,
    /// Rewinds of the node's server break off half-way.
    BreakRewinds,
    /// Somebody wants the node's server restarted.
    RestartServer,
}

/// How often each of them is drawn.
const WEIGHTS: [(What, u64); 39] = [
    (What::KillNode, 12),
    (What::KillAgent, 10),
    (What::FreezeAgent, 6),
    (What::CrashPostmaster, 8),
    (What::FreezeNode, 8),
    (What::StickLoop, 4),
    (What::StopAgent, 4),
    (What::CutStore, 8),
    (What::LoseReplies, 6),
    (What::FlakyStore, 6),
    (What::SlowStore, 8),
    (What::StaleLeader, 5),
    (What::Isolate, 7),
    (What::MuteAgent, 4),
    (What::SlowAgents, 3),
    (What::DeafAgent, 2),
    (What::CutReplication, 5),
    (What::SlowReplication, 5),
    (What::SlowReplay, 5),
    (What::StallDisk, 5),
    (What::HangServer, 3),
    (What::StopServer, 3),
    (What::StopPostmaster, 2),
    (What::FillDisk, 3),
    (What::AwaitStandby, 3),
    (What::SlowServer, 4),
    (What::HangWatches, 4),
    (What::CutWatches, 2),
    (What::DelayWatches, 3),
    (What::StoreOutage, 5),
    (What::StoreElection, 3),
    (What::StoreFull, 2),
    (What::Compact, 2),
    (What::Switchover, 10),
    (What::Failover, 3),
    (What::ChangeTtl, 3),
    (What::RecycleLog, 3),
    (What::BreakRewinds, 3),
    (What::RestartServer, 4),
];

/// Draws the faults of a world.
pub fn draw(rng: &Rng, ttl: Duration, within: Duration, failsafe: bool) -> Vec<Fault> {
    let mut faults = if rng.chance(120) {
        vec![gray(rng, ttl)]
    } else if rng.chance(400) {
        let mut faults = themes::draw(rng, ttl, failsafe && rng.chance(700));
        faults.extend(singly(rng, ttl, within, rng.below(3)));
        faults
    } else {
        singly(rng, ttl, within, rng.between(2, 6))
    };
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// One server that is alive and of no use, or only looks so, and nothing else.
fn gray(rng: &Rng, ttl: Duration) -> Fault {
    let what = *rng.pick(&[
        What::StallDisk,
        What::StopServer,
        What::StopPostmaster,
        What::FillDisk,
        What::HangServer,
        What::AwaitStandby,
    ]);
    let at = rng.part(ttl, 0, 150);
    Fault { at, lasts: Duration::from_secs(3600), target: Target::Leader, what }
}

/// Some worlds have their synchronous mode changed under way.
pub fn draw_changes_of_sync(rng: &Rng, plan: &mut crate::plan::Plan) {
    if !rng.chance(300) {
        return;
    }
    for _ in 0..rng.between(1, 3) {
        let at = rng.part(plan.faulty_for, 0, 90);
        let lasts = rng.part(plan.ttl, 10, 20);
        let fault = Fault { at, lasts, target: Target::Any, what: What::ChangeSync };
        plan.faults.push(fault);
    }
    plan.faults.sort_by_key(|fault| fault.at);
}

fn singly(rng: &Rng, ttl: Duration, within: Duration, count: u64) -> Vec<Fault> {
    let total: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..count {
        let mut drawn = rng.below(total);
        let mut what = What::KillNode;
        for (one, weight) in WEIGHTS {
            if drawn < weight {
                what = one;
                break;
            }
            drawn -= weight;
        }
        let target = match rng.below(10) {
            0..=5 => Target::Leader,
            6 | 7 => Target::Other,
            _ => Target::Any,
        };
        // What goes wrong while something else just did finds more than what comes alone.
        let at = match faults.last() {
            Some(before) if rng.chance(600) => before.at + rng.part(ttl, 0, 150),
            _ => rng.part(within, 0, 90),
        };
        let lasts = rng.part(ttl, 10, *rng.pick(&[60, 150, 350]));
        faults.push(Fault { at: at.min(within), lasts, target, what });
    }
    faults
}
