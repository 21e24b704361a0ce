//! The one status that every HTTP answer is read from. Each claim in it runs out by the clock, so a
//! stuck loop cannot leave a node answering as primary.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::cluster::{Cluster, Health, Look, Loss, MemberState, Role, State};
use crate::config::Dynamic;
use crate::decide::{JobKind, Reason};
use crate::postgres::CopyProgress;
use crate::values::{
    Incarnation, LeaseDeadline, LeaseTimes, MemberName, Monotonic, Strength, SystemId, Term,
    WatchdogMode,
};

/// The agent's state after one turn.
#[derive(Clone, Debug)]
pub struct Status {
    /// The member's name.
    pub name: MemberName,
    /// The cluster's name.
    pub scope: String,
    /// This start of the agent.
    pub incarnation: Incarnation,
    /// When the turn ended: the loop's sign of life.
    pub turned_at: Monotonic,
    /// What the server is doing, in Patroni's words.
    pub state: MemberState,
    /// Which part it plays, in Patroni's words.
    pub role: Role,
    /// The last look at the server, and when it was taken.
    pub look: Arc<Look>,
    /// When the look was taken.
    pub looked_at: Monotonic,
    /// The lease this node holds: its term and deadline.
    pub lease: Option<(Term, LeaseDeadline)>,
    /// The cluster as last read, and until when that may be shown as its state.
    pub cluster: Option<(Arc<Cluster>, Monotonic)>,
    /// Unix time in seconds of the last answer of the store; 0 before the first.
    pub store_last_seen: i64,
    /// The cluster-wide settings in force.
    pub dynamic: Arc<Dynamic>,
    /// What follows from `ttl`.
    pub times: LeaseTimes,
    /// The published tags.
    pub tags: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Whether reads may be sent here: not tagged `noloadbalance`.
    pub takes_reads: bool,
    /// The decision that is in force, since when (Unix microseconds), and the seconds clock of it.
    pub decision: Activity,
    /// What the node is busy with, since when; and how far a copy is.
    pub job: Option<(JobKind, Monotonic)>,
    /// How far the copy of the leader's data is, while one is made.
    pub copy: Option<CopyProgress>,
    /// The identifier of the data, once there is any.
    pub system_id: Option<SystemId>,
    /// The highest term that the store ever showed this node a holder of.
    pub seen: Term,
    /// Until when this node carries a leader's lease, or has its own carried, while the store is away.
    pub failsafe_until: Option<Monotonic>,
    /// What fences the server.
    pub fence: FenceSeen,
    /// The watchdog device.
    pub watchdog: WatchdogSeen,
    /// What the probes found.
    pub health: Arc<Health>,
    /// What is wrong with this node as a candidate: its disk, its replay, its receiving.
    pub unfit: Option<String>,
    /// Whether this node leads with a server that is of no use.
    pub stalled: bool,
    /// Whether clients are let in: in synchronous mode not before enough standbys have what this primary
    /// began with.
    pub admits: bool,
    /// Whether the agent is stopping.
    pub stopping: bool,
    /// What this node gave up of its own log when it came back, oldest first.
    pub losses: Vec<Loss>,
}

/// What fences the server that runs, or would when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceSeen {
    /// How strongly.
    pub strength: Strength,
    /// Why not more strongly; empty where there is nothing to say.
    pub remarks: String,
}

/// The watchdog device, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchdogSeen {
    /// Whether one is used.
    pub mode: WatchdogMode,
    /// Whether it is armed.
    pub is_armed: bool,
    /// Why it cannot be.
    pub trouble: Option<String>,
}

/// A decision as it is shown.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Why.
    pub reason: Reason,
    /// Since when it is in force.
    pub since: Monotonic,
    /// The same, Unix time in microseconds.
    pub since_micros: i64,
}

impl Status {
    /// Whether this node takes clients' writes at `now`: a primary by the last look, under a lease
    /// whose deadline lies ahead. Not while its data is being made: a bootstrap that fails is undone,
    /// with whatever was written to it. Nor while it is being taken down: the lease may be given up
    /// before there is another look.
    pub fn is_writable(&self, now: Monotonic) -> bool {
        let leads = self.lease.is_some_and(|(_, until)| !until.has_passed(now));
        let kind = self.job.map(|(kind, _)| kind);
        let closed = self.stopping || matches!(kind, Some(JobKind::Bootstrap | JobKind::Stop));
        leads && matches!(self.look.state, State::Primary(_)) && self.admits && !closed
    }

    /// Whether this node holds the lease at `now`.
    pub fn holds_lease(&self, now: Monotonic) -> bool {
        self.lease.is_some_and(|(_, until)| !until.has_passed(now))
    }

    /// Whether the failsafe mode is in effect here at `now`: the lease is carried by the members, or
    /// this node carries one.
    pub fn is_in_failsafe(&self, now: Monotonic) -> bool {
        self.failsafe_until.is_some_and(|until| now < until)
    }

    /// Whether the loop turned lately: its claims about the server are then worth something.
    pub fn is_fresh(&self, now: Monotonic) -> bool {
        now.since(self.turned_at) < self.times.ttl
    }

    /// The cluster, while what was read of it is not older than `ttl`.
    pub fn cluster_in_sight(&self, now: Monotonic) -> Option<&Arc<Cluster>> {
        let (cluster, until) = self.cluster.as_ref()?;
        (now < *until).then_some(cluster)
    }
}

/// Where the status is swapped and read. Cheap to clone.
#[derive(Clone)]
pub struct Published(Arc<Shown>);

struct Shown {
    status: ArcSwap<Status>,
    changed: Notify,
}

impl Published {
    /// Starts with a first status.
    pub fn new(first: Status) -> Self {
        Self(Arc::new(Shown { status: ArcSwap::from_pointee(first), changed: Notify::new() }))
    }

    /// The latest status.
    pub fn get(&self) -> Arc<Status> {
        self.0.status.load_full()
    }

    /// Replaces it.
    pub fn set(&self, status: Status) {
        self.0.status.store(Arc::new(status));
        self.0.changed.notify_waiters();
    }

    /// Until one holds.
    pub async fn until(&self, holds: impl Fn(&Status) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if holds(&self.get()) {
                return;
            }
            changed.await;
        }
    }
}
