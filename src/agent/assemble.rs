//! Putting one agent together out of its ports: the loop, and the three tasks it shares channels with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Agent, Inlets};
use crate::act::failsafe::{Asker, AskerParts, Carried, FailsafeLists};
use crate::act::lease::{Exposure, Fence, Keeper, KeeperParts, LeaseOrders, Order, Pulse};
use crate::act::{Context, Kept, Note, Notebook, Ports, Publisher, Wanted};
use crate::cluster::{Look, MemberState, Role};
use crate::config::{
    Dynamic, EffectivePostgresql, Floors, KEEP_ASIDE_DEFAULT, MAX_SLOT_WAL_KEEP_BYTES_DEFAULT,
    MAX_SLOT_WAL_KEEP_SIZE, NodeConfig, OwnConfig, effective_postgresql, slot_wal_bytes,
};
use crate::dcs::LeaseId;
use crate::decide::{Journal, LeaseSight, Me, Reason, Settings, Sight};
use crate::observe::{HealthWatch, Mirror, Peers};
use crate::publish::{Activity, Events, FenceSeen, Metrics, Published, Status, WatchdogSeen};
use crate::values::{
    Clock, Incarnation, LeaseDeadline, LeaseTimes, Monotonic, Strength, Term, WatchdogMode,
};
use crate::wake::{Call, Calls};

/// What an agent is put together from.
pub struct Assembly<P: Ports> {
    /// The validated local configuration.
    pub config: Arc<NodeConfig>,
    /// Reads the local configuration again; `None` keeps the one in force.
    pub reload: Box<dyn Fn() -> Option<Arc<NodeConfig>>>,
    /// This start of the agent; or the one before, whose lease it takes up.
    pub incarnation: Incarnation,
    /// Until when the guardian holds the server open under the lease that an earlier start left.
    pub left_until: Option<LeaseDeadline>,
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
    /// The probes of the local server.
    pub probes: P::Probes,
    /// The way to the other members.
    pub peers: P::Peers,
    /// The same with nothing shared, for asking while the store is away.
    pub failsafe_peers: P::Peers,
    /// Where the journal is kept.
    pub journal_file: P::JournalFile,
    /// What enforces the deadline.
    pub fence: P::Fence,
    /// The clock.
    pub clock: P::Clock,
    /// Counters.
    pub metrics: Metrics,
    /// What happened lately.
    pub events: Events,
}

/// The tasks beside the loop. Each runs for ever.
pub struct Tasks<P: Ports> {
    /// Holds the lease. Wants a thread of its own.
    pub keeper: Keeper<P::Store, P::Clock, P::Fence>,
    /// Keeps the copy of the store.
    pub mirror: Mirror<P::Store, P::Clock>,
    /// Asks the members while the store is away. Wants a thread of its own.
    pub asker: Asker<P::Peers, P::Clock, P::Fence>,
    /// Publishes this member.
    pub publisher: Publisher<P::Store, P::Clock>,
    /// Asks the server and its disk how they are.
    pub health: HealthWatch<P::Probes, P::Clock>,
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
        barred: None,
        needs_watchdog: config.watchdog.mode == WatchdogMode::Required,
        can_bootstrap: config.bootstrap.is_some(),
        replicatefrom: config.tags.replicatefrom.as_deref().map(Into::into),
        nostream: config.tags.nostream,
    }
}

/// The settings a decision needs.
pub fn settings(dynamic: &Dynamic, effective: &EffectivePostgresql, own: &OwnConfig) -> Settings {
    Settings {
        times: LeaseTimes::for_ttl(dynamic.ttl),
        start_within: effective.pg_ctl_timeout,
        use_pg_rewind: effective.use_pg_rewind,
        use_slots: effective.use_slots,
        carries_logical_slots: effective.carries_logical_slots,
        remote_apply: effective
            .parameters
            .get("synchronous_commit")
            .is_some_and(|level| level == "remote_apply"),
        remove_diverged: effective.remove_data_directory_on_diverged_timelines,
        remove_after_failed_rewind: effective.remove_data_directory_on_rewind_failure,
        diverged_data: own.diverged_data,
        keep_aside: own.keep_aside.unwrap_or(KEEP_ASIDE_DEFAULT),
        slots_may_keep: slots_may_keep(effective),
        has_archive: effective.parameters.get("restore_command").is_some_and(|one| !one.is_empty()),
        dynamic: dynamic.clone(),
    }
}

/// What `max_slot_wal_keep_size` allows; a value without a bound is watched as if it were the default.
fn slots_may_keep(effective: &EffectivePostgresql) -> u64 {
    let given = effective.parameters.get(MAX_SLOT_WAL_KEEP_SIZE);
    let bytes = given.and_then(|text| slot_wal_bytes(text)).filter(|bytes| *bytes > 0);
    bytes.unwrap_or(MAX_SLOT_WAL_KEEP_BYTES_DEFAULT)
}

/// Both ends of a value that is shown.
type Ends<T> = (watch::Sender<T>, watch::Receiver<T>);

/// The channels that the loop and its tasks share: each end goes to one of them.
struct Channels {
    times: Ends<LeaseTimes>,
    sight: Ends<Option<Arc<Sight>>>,
    lease: Ends<LeaseSight>,
    display: Ends<Option<LeaseId>>,
    wanted: Ends<Option<Arc<Wanted>>>,
    failsafe: Ends<bool>,
    carried: (mpsc::UnboundedSender<Carried>, mpsc::UnboundedReceiver<Carried>),
    pulse: Pulse,
    lists: FailsafeLists,
    orders: (LeaseOrders, mpsc::UnboundedReceiver<Order>),
    notes: (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>),
    calls: (Calls, mpsc::UnboundedReceiver<Call>),
}

impl Channels {
    fn new(times: LeaseTimes, failsafe: bool) -> Self {
        Self {
            times: watch::channel(times),
            sight: watch::channel(None),
            lease: watch::channel(LeaseSight::default()),
            display: watch::channel(None),
            wanted: watch::channel(None),
            failsafe: watch::channel(failsafe),
            carried: mpsc::unbounded_channel(),
            pulse: Pulse::default(),
            lists: FailsafeLists::default(),
            orders: LeaseOrders::channel(),
            notes: mpsc::unbounded_channel(),
            calls: mpsc::unbounded_channel(),
        }
    }
}

/// The task that asks the members while the store is away.
fn asker<E, C, F: Fence>(
    peers: E,
    clock: C,
    me: &Me,
    channels: &Channels,
    exposure: &Exposure<F>,
) -> Asker<E, C, F>
where
    E: Peers,
    C: Clock,
{
    Asker::new(AskerParts {
        peers,
        clock,
        name: me.name.clone(),
        incarnation: me.incarnation,
        times: channels.times.1.clone(),
        wanted: channels.failsafe.1.clone(),
        member: channels.wanted.1.clone(),
        pulse: channels.pulse.clone(),
        sight: channels.sight.1.clone(),
        lease: channels.lease.1.clone(),
        exposure: exposure.clone(),
        lists: channels.lists.clone(),
        carried: channels.carried.0.clone(),
    })
}

/// The task that publishes this member.
fn publisher<S, C>(store: S, clock: C, me: &Me, channels: &Channels) -> Publisher<S, C> {
    Publisher {
        store,
        clock,
        name: me.name.clone(),
        times: channels.times.1.clone(),
        wanted: channels.wanted.1.clone(),
        sight: channels.sight.1.clone(),
        display: channels.display.0.clone(),
    }
}

/// Puts one agent together.
pub fn assemble<P: Ports>(parts: Assembly<P>) -> Node<P> {
    let (first_config, dynamic, settings) = first_settings(&parts.config);
    let me = Arc::new(Me { incarnation: parts.incarnation, ..me(&parts.config) });
    let channels = Channels::new(settings.times, settings.dynamic.failsafe_mode);
    let exposure = Exposure::new(parts.fence, parts.left_until);
    let metrics = parts.metrics;
    let published = Published::new(first_status(&parts.config, &me, &dynamic, &parts.clock));
    let asker = asker(parts.failsafe_peers, parts.clock.clone(), &me, &channels, &exposure);
    let publisher = publisher(parts.store.clone(), parts.clock.clone(), &me, &channels);
    let keeper = Keeper::new(KeeperParts {
        store: parts.lease_store,
        clock: parts.clock.clone(),
        exposure: exposure.clone(),
        name: me.name.clone(),
        incarnation: me.incarnation,
        nonces: parts.nonces,
        times: channels.times.1.clone(),
        pulse: channels.pulse.clone(),
        sight: channels.sight.1.clone(),
        display: channels.display.1.clone(),
        orders: channels.orders.1,
        carried: channels.carried.1,
        shown: channels.lease.0,
        metrics: metrics.clone(),
    });
    let (store, clock, shown) = (parts.store, parts.clock, channels.sight.0);
    let times = channels.times.1;
    let mirror = Mirror::new(store.clone(), clock.clone(), times, shown, metrics.clone());
    let (health, probes) = HealthWatch::new(parts.probes, clock.clone());
    let context = Rc::new(Context {
        store,
        server: parts.server,
        peers: parts.peers,
        clock,
        notebook: Notebook::new(parts.journal_file, parts.journal),
        lease: channels.orders.0,
        lease_sight: channels.lease.1.clone(),
        sight: channels.sight.1.clone(),
        exposure,
        failsafe: channels.lists,
        display: channels.display.1,
        me: RefCell::new(me),
        settings: RefCell::new(Arc::new(settings)),
        first_config: RefCell::new(first_config),
        kept: Kept::default(),
        notes: channels.notes.0,
        metrics: metrics.clone(),
        events: parts.events.clone(),
    });
    let agent = Agent::new(Inlets {
        context,
        config: parts.config,
        dynamic: Arc::new(dynamic),
        sight: channels.sight.1,
        lease: channels.lease.1,
        times: channels.times.0,
        failsafe: channels.failsafe.0,
        wanted: channels.wanted.0,
        probes,
        calls: channels.calls.1,
        notes: channels.notes.1,
        reload: parts.reload,
        pulse: channels.pulse,
        metrics,
        events: parts.events,
        published: published.clone(),
    });
    let tasks = Tasks { keeper, mirror, asker, publisher, health };
    Node { agent, tasks, published, calls: channels.calls.0 }
}

/// PostgreSQL's settings until the store says something else.
pub fn first_effective(config: &NodeConfig) -> EffectivePostgresql {
    let (_, dynamic, _) = first_settings(config);
    effective_postgresql(config, &dynamic)
}

/// What is in force until the store says something else.
fn first_settings(config: &NodeConfig) -> (serde_json::Value, Dynamic, Settings) {
    let document = first_config(config);
    let dynamic = Dynamic::from_document(&document, Floors::Own)
        .map_or_else(|_| Dynamic::default(), |(dynamic, _)| dynamic);
    let settings = settings(&dynamic, &effective_postgresql(config, &dynamic), &config.pgbaton);
    (document, dynamic, settings)
}

/// What a new cluster starts with; one that does not say gets our defaults.
fn first_config(config: &NodeConfig) -> serde_json::Value {
    let given = config.bootstrap.as_ref().map(|bootstrap| bootstrap.dcs.clone());
    let mut document = given.unwrap_or_default();
    document.entry("failsafe_mode").or_insert(true.into());
    serde_json::Value::Object(document)
}

/// What is shown before the first turn.
fn first_status(config: &NodeConfig, me: &Me, dynamic: &Dynamic, clock: &impl Clock) -> Status {
    let decision = Activity {
        reason: Reason::plain("start"),
        since: clock.now(),
        since_micros: clock.wall_micros(),
    };
    Status {
        name: me.name.clone(),
        scope: config.scope.clone(),
        incarnation: me.incarnation,
        turned_at: clock.now(),
        state: MemberState::Unknown,
        role: Role::Uninitialized,
        look: Arc::new(Look::none()),
        looked_at: Monotonic::ZERO,
        lease: None,
        cluster: None,
        store_last_seen: 0,
        dynamic: Arc::new(dynamic.clone()),
        times: LeaseTimes::for_ttl(dynamic.ttl),
        tags: Arc::new(config.tags.published()),
        takes_reads: !config.tags.noloadbalance,
        decision,
        job: None,
        copy: None,
        system_id: None,
        seen: Term::ZERO,
        failsafe_until: None,
        fence: FenceSeen { strength: Strength::None, remarks: String::new() },
        watchdog: WatchdogSeen::default(),
        health: Arc::default(),
        unfit: None,
        stalled: false,
        admits: false,
        stopping: false,
        losses: Vec::new(),
    }
}
