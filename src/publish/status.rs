//! The one status that every HTTP answer is read from. Each claim in it runs out by the clock, so a
//! stuck loop cannot leave a node answering as primary.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::cluster::{Cluster, Look, Loss, MemberState, Role, State};
use crate::config::Dynamic;
use crate::decide::{JobKind, Reason};
use crate::postgres::CopyProgress;
use crate::values::{
    Incarnation, LeaseDeadline, LeaseTimes, MemberName, Monotonic, SystemId, Term,
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
    /// Whether the agent is stopping.
    pub stopping: bool,
    /// What this node gave up of its own log when it came back, oldest first.
    pub losses: Vec<Loss>,
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
    /// with whatever was written to it.
    pub fn is_writable(&self, now: Monotonic) -> bool {
        let leads = self.lease.is_some_and(|(_, until)| !until.has_passed(now));
        let is_made = !matches!(self.job, Some((JobKind::Bootstrap, _)));
        leads && matches!(self.look.state, State::Primary(_)) && !self.stopping && is_made
    }

    /// Whether this node holds the lease at `now`.
    pub fn holds_lease(&self, now: Monotonic) -> bool {
        self.lease.is_some_and(|(_, until)| !until.has_passed(now))
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
pub struct Published(Arc<ArcSwap<Status>>);

impl Published {
    /// Starts with a first status.
    pub fn new(first: Status) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// The latest status.
    pub fn get(&self) -> Arc<Status> {
        self.0.load_full()
    }

    /// Replaces it.
    pub fn set(&self, status: Status) {
        self.0.store(Arc::new(status));
    }
}
