//! Putting one agent together out of its ports: the loop, and the three tasks it shares channels with.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Agent;
use crate::act::lease::{Exposure, Keeper, KeeperParts, LeaseOrders, Pulse};
use crate::act::{Context, Notebook, Ports, Publisher};
use crate::cluster::{Look, MemberState, Role, State};
use crate::config::{Dynamic, EffectivePostgresql, Floors, NodeConfig, effective_postgresql};
use crate::decide::{Journal, LeaseSight, Me, Memory, Reason, Settings};
use crate::observe::Mirror;
use crate::publish::{Activity, Metrics, Published, Status};
use crate::values::{Clock, Incarnation, LeaseTimes, Monotonic, Revision};
use crate::wake::Calls;

/// What an agent is put together from.
pub struct Assembly<P: Ports> {
    /// The validated local configuration.
    pub config: Arc<NodeConfig>,
    /// Reads the local configuration again; `None` keeps the one in force.
    pub reload: Box<dyn Fn() -> Option<Arc<NodeConfig>>>,
    /// This start of the agent.
    pub incarnation: Incarnation,
    /// What was found in the journal.
    pub journal: Journal,
    /// Where nonces come from.
    pub nonces: Box<dyn FnMut() -> u64 + Send>,
    /// The store, for the loop and the mirror.
    pub store: P::Store,
    /// The store with connections of its own, for the lease.
    pub lease_store: P::Store,
    /// The local server.
    pub server: P::Server,
    /// The way to the other members.
    pub peers: P::Peers,
    /// Where the journal is kept.
    pub journal_file: P::JournalFile,
    /// What enforces the deadline.
    pub fence: P::Fence,
    /// The clock.
    pub clock: P::Clock,
    /// Counters.
    pub metrics: Metrics,
}

/// The tasks beside the loop. Each runs for ever.
pub struct Tasks<P: Ports> {
    /// Holds the lease. Wants a thread of its own.
    pub keeper: Keeper<P::Store, P::Clock, P::Fence>,
    /// Keeps the copy of the store.
    pub mirror: Mirror<P::Store, P::Clock>,
    /// Publishes this member.
    pub publisher: Publisher<P::Store, P::Clock>,
}

/// One agent, put together.
pub struct Node<P: Ports> {
    /// The loop.
    pub agent: Agent<P>,
    /// What runs beside it.
    pub tasks: Tasks<P>,
    /// Where its status is read.
    pub published: Published,
    /// How it is called.
    pub calls: Calls,
}

/// Who this node is, by its file; the incarnation is the caller's to set.
pub(super) fn me(config: &NodeConfig) -> Me {
    Me {
        name: config.name.clone(),
        incarnation: Incarnation(0),
        may_lead: config.tags.may_lead(),
        priority: config.tags.failover_priority,
        can_bootstrap: config.bootstrap.is_some(),
    }
}

/// The settings a decision needs.
pub fn settings(dynamic: &Dynamic, effective: &EffectivePostgresql) -> Settings {
    Settings {
        times: LeaseTimes::for_ttl(dynamic.ttl),
        use_pg_rewind: effective.use_pg_rewind,
        use_slots: effective.use_slots,
        remove_diverged: effective.remove_data_directory_on_diverged_timelines,
        remove_after_failed_rewind: effective.remove_data_directory_on_rewind_failure,
        dynamic: dynamic.clone(),
    }
}

/// Puts one agent together.
pub fn assemble<P: Ports>(parts: Assembly<P>) -> Node<P> {
    let config = parts.config;
    let first_config = first_config(&config);
    let dynamic = Dynamic::from_document(&first_config, Floors::Own)
        .map_or_else(|_| Dynamic::default(), |(dynamic, _)| dynamic);
    let effective = effective_postgresql(&config, &dynamic);
    let settings = Arc::new(settings(&dynamic, &effective));
    let me = Arc::new(Me { incarnation: parts.incarnation, ..me(&config) });
    let dynamic = Arc::new(dynamic);
    let (times_sender, times) = watch::channel(settings.times);
    let (sight_sender, sight) = watch::channel(None);
    let (lease_sender, lease) = watch::channel(LeaseSight::default());
    let (display_sender, display) = watch::channel(None);
    let (wanted_sender, wanted) = watch::channel(None);
    let (orders, order_receiver) = LeaseOrders::channel();
    let (notes, note_receiver) = mpsc::unbounded_channel();
    let (calls, call_receiver) = mpsc::unbounded_channel();
    let exposure = Exposure::new(parts.fence);
    let pulse = Pulse::default();
    let look = Look {
        state: State::Silent,
        started_at_micros: None,
        version: None,
        pending_restart: Vec::new(),
    };
    let look = Arc::new(look);
    let activity = Activity {
        reason: Reason::plain("start"),
        since: parts.clock.now(),
        since_micros: parts.clock.wall_micros(),
    };
    let published =
        Published::new(first_status(&config, &me, &dynamic, &settings, &look, &activity));
    let keeper = Keeper::new(KeeperParts {
        store: parts.lease_store,
        clock: parts.clock.clone(),
        exposure: exposure.clone(),
        name: me.name.clone(),
        incarnation: me.incarnation,
        nonces: parts.nonces,
        times: times.clone(),
        pulse: pulse.clone(),
        sight: sight.clone(),
        display: display.clone(),
        orders: order_receiver,
        shown: lease_sender,
        metrics: parts.metrics.clone(),
    });
    let mirror = Mirror::new(
        parts.store.clone(),
        parts.clock.clone(),
        times.clone(),
        sight_sender,
        parts.metrics.clone(),
    );
    let publisher = Publisher {
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        name: me.name.clone(),
        times,
        wanted,
        display: display_sender,
    };
    let context = Rc::new(Context {
        store: parts.store,
        server: parts.server,
        peers: parts.peers,
        clock: parts.clock,
        notebook: Notebook::new(parts.journal_file, parts.journal),
        lease: orders,
        lease_sight: lease.clone(),
        sight: sight.clone(),
        exposure,
        display,
        me: RefCell::new(me),
        settings: RefCell::new(settings),
        first_config: RefCell::new(first_config),
        promise_answers: RefCell::new(Vec::new()),
        standing_vote: RefCell::new(None),
        written_lineage: RefCell::new(None),
        rounds: Cell::new((Revision::ABSENT, 0)),
        notes,
        metrics: parts.metrics.clone(),
    });
    let agent = Agent {
        context,
        config,
        dynamic,
        applied: None,
        configured: false,
        sight,
        lease,
        times: times_sender,
        wanted: wanted_sender,
        calls: call_receiver,
        notes: note_receiver,
        reload: parts.reload,
        pulse,
        metrics: parts.metrics,
        published: published.clone(),
        memory: Memory::default(),
        job: None,
        upkeep: None,
        activity,
        look,
        looked_at: Monotonic::ZERO,
        copy: None,
        appointment: None,
        ended: None,
    };
    Node { agent, tasks: Tasks { keeper, mirror, publisher }, published, calls }
}

/// What a new cluster starts with; one that does not say gets our defaults.
fn first_config(config: &NodeConfig) -> serde_json::Value {
    let given = config.bootstrap.as_ref().map(|bootstrap| bootstrap.dcs.clone());
    serde_json::Value::Object(given.unwrap_or_default())
}

fn first_status(
    config: &NodeConfig,
    me: &Me,
    dynamic: &Arc<Dynamic>,
    settings: &Settings,
    look: &Arc<Look>,
    activity: &Activity,
) -> Status {
    Status {
        name: me.name.clone(),
        scope: config.scope.clone(),
        incarnation: me.incarnation,
        turned_at: activity.since,
        state: MemberState::Unknown,
        role: Role::Uninitialized,
        look: Arc::clone(look),
        looked_at: Monotonic::ZERO,
        lease: None,
        cluster: None,
        store_last_seen: 0,
        dynamic: Arc::clone(dynamic),
        times: settings.times,
        tags: Arc::new(config.tags.published()),
        takes_reads: !config.tags.noloadbalance,
        decision: activity.clone(),
        job: None,
        copy: None,
        system_id: None,
        stopping: false,
    }
}
