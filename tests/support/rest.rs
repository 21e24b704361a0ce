//! An agent's REST API on a port of its own, over hand-made statuses and a store in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgbaton::api::{Access, ApiParts, ApiState, serve, store_desk};
use pgbaton::cluster::{
    Cluster, Look, MemberState, PrimaryFacts, Receiver, Role, StandbyFacts, State, Versioned,
};
use pgbaton::config::{Credentials, Dynamic, HostPort, RestApi, STATISTICS_INTERVAL_DEFAULT};
use pgbaton::decide::Reason;
use pgbaton::publish::{
    Activity, Events, FenceSeen, Metrics, Published, ServerStatistics, Status, WatchdogSeen,
};
use pgbaton::values::{
    Clock, Incarnation, LeaseDeadline, LeaseTimes, Lsn, MemberName, Monotonic, Revision, Strength,
    SystemId, Term, Timeline, WalPosition, WatchdogMode,
};
use pgbaton::wake::Call;
use serde_json::{Map, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::memory_store::MemoryStore;

/// The `ttl` of all statuses here.
pub const TTL: Duration = Duration::from_secs(5);
/// When the statuses were made: everything in them is fresh then.
pub const NOW: Monotonic = Monotonic::from_boot(Duration::from_secs(1000));
/// 2025-03-02 08:15:44.12 UTC.
pub const WALL_MICROS: i64 = 1_740_903_344_120_000;

/// A clock that a test turns.
#[derive(Debug)]
pub struct TurnedClock(AtomicU64);

impl TurnedClock {
    /// Turns it to so long after [`NOW`].
    pub fn turn_to(&self, after: Duration) {
        self.0.store((NOW + after).since_boot().as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for TurnedClock {
    fn now(&self) -> Monotonic {
        Monotonic::from_boot(Duration::from_millis(self.0.load(Ordering::SeqCst)))
    }

    fn wall_micros(&self) -> i64 {
        WALL_MICROS
    }
}

/// A running API and what it stands on.
pub struct Api {
    /// Where it listens: `127.0.0.1:port`.
    pub address: String,
    /// Its state.
    pub state: ApiState,
    /// What it answers from.
    pub published: Published,
    /// Its clock.
    pub clock: Arc<TurnedClock>,
    /// What it asks of the loop.
    pub calls: mpsc::UnboundedReceiver<Call>,
    /// What it writes to.
    pub store: MemoryStore,
    /// Its counters.
    pub metrics: Metrics,
    /// Its events.
    pub events: Events,
    /// What its server tells of itself.
    pub statistics: ServerStatistics,
}

/// The `restapi` section of an agent, with or without a password.
pub fn section(password: Option<&str>) -> RestApi {
    let here = HostPort { host: "127.0.0.1".to_owned(), port: 8008 };
    RestApi {
        listen: here.clone(),
        connect_address: here,
        authentication: password.map(credentials),
        http_extra_headers: vec![("X-Frame-Options".to_owned(), "deny".to_owned())],
    }
}

/// The user with this password.
pub fn credentials(password: &str) -> Credentials {
    Credentials { username: "admin".to_owned(), password: password.to_owned() }
}

impl Api {
    /// Answers from `status`, without a password.
    pub async fn of(status: Status) -> Self {
        Self::with_password(status, None).await
    }

    /// Answers from `status`.
    pub async fn with_password(status: Status, password: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let published = Published::new(status);
        let clock = Arc::new(TurnedClock(AtomicU64::new(0)));
        clock.turn_to(Duration::ZERO);
        let (calls, called) = mpsc::unbounded_channel();
        let (desk, clerk) = store_desk();
        let (store, metrics, events) =
            (MemoryStore::default(), Metrics::default(), Events::default());
        let statistics = ServerStatistics::every(STATISTICS_INTERVAL_DEFAULT);
        let (access, warnings) = Access::of(&section(password));
        assert!(warnings.is_empty(), "{warnings:?}");
        let state = ApiState::new(ApiParts {
            published: published.clone(),
            clock: clock.clone(),
            calls,
            store: desk,
            metrics: metrics.clone(),
            events: events.clone(),
            server: statistics.clone(),
            access,
        });
        tokio::spawn(clerk.run(store.clone()));
        tokio::spawn(serve(listener, state.clone()));
        let calls = called;
        Self { address, state, published, clock, calls, store, metrics, events, statistics }
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.ask_with(method, path, "", body).await
    }

    /// The same with further header lines, each ended by `\r\n`.
    pub async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&str>,
    ) -> Answer {
        let length =
            body.map_or(String::new(), |body| format!("Content-Length: {}\r\n", body.len()));
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let request = format!("{head}{length}{headers}\r\n{}", body.unwrap_or_default());
        self.send(request.as_bytes()).await
    }

    /// Any bytes, until the server closes.
    pub async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        stream.write_all(request).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers and closes");
        Answer::parse(&answer)
    }

    /// The code of a `GET`.
    pub async fn code(&self, path: &str) -> u16 {
        self.ask("GET", path, None).await.code
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code.
    pub code: u16,
    /// The header lines.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.lines();
        let status = lines.next().expect("an answer has a status line");
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            code: code.expect("a status line has a code"),
            headers: lines.map(str::to_owned).collect(),
            body: body.to_owned(),
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.iter().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What every status here has in common: member `a` of cluster `shop`.
fn base(state: State) -> Status {
    Status {
        name: "a".into(),
        scope: "shop".to_owned(),
        incarnation: Incarnation(0xab),
        turned_at: NOW,
        state: MemberState::Running,
        role: Role::Replica,
        look: Arc::new(Look {
            state,
            started_at_micros: Some(WALL_MICROS),
            version: Some(170_004),
            pending_restart: Vec::new(),
        }),
        looked_at: NOW,
        lease: None,
        cluster: Some((Arc::new(cluster()), NOW + TTL)),
        store_last_seen: 1_740_903_399,
        dynamic: Arc::new(Dynamic { ttl: TTL, ..Dynamic::default() }),
        times: LeaseTimes::for_ttl(TTL),
        tags: Arc::new(Map::new()),
        takes_reads: true,
        decision: Activity {
            reason: Reason::with("follow", "b"),
            since: NOW,
            since_micros: WALL_MICROS,
        },
        job: None,
        copy: None,
        system_id: Some(SystemId(7_476_500_000_000_000_001)),
        seen: Term(7),
        failsafe_until: None,
        fence: FenceSeen { strength: Strength::Namespace, remarks: String::new() },
        watchdog: WatchdogSeen { mode: WatchdogMode::Off, ..WatchdogSeen::default() },
        health: Default::default(),
        unfit: None,
        stalled: false,
        admits: true,
        stopping: false,
        losses: Vec::new(),
    }
}

/// A cluster that `b` leads.
fn cluster() -> Cluster {
    Cluster {
        revision: Revision(40),
        leader: Some(Versioned { value: MemberName::from("b"), revision: Revision(2) }),
        optime: Some(Lsn(1000)),
        ..Cluster::default()
    }
}

/// A primary under a lease that ends at `ttl` less its margins.
pub fn primary() -> Status {
    let facts = PrimaryFacts {
        system_id: SystemId(7_476_500_000_000_000_001),
        position: WalPosition { timeline: Timeline(3), lsn: Lsn(83_886_432) },
        checkpoint_timeline: Timeline(3),
        ancestors: Vec::new(),
        downstreams: Vec::new(),
        slots: Vec::new(),
        sync_names: Some(pgbaton::cluster::SyncNames::Nobody),
    };
    let deadline = LeaseTimes::for_ttl(TTL).deadline(NOW);
    let status = Status { role: Role::Primary, ..base(State::Primary(facts)) };
    let reason = Reason::plain("lead");
    let decision = Activity { reason, ..status.decision.clone() };
    Status { lease: Some((Term(7), deadline)), decision, ..status }
}

/// The facts of a standby that streams and has replayed 900 bytes of 1000.
pub fn standby_facts() -> StandbyFacts {
    StandbyFacts {
        system_id: SystemId(7_476_500_000_000_000_001),
        major: 15,
        timeline: Timeline(3),
        received: Some(Lsn(950)),
        replayed: Lsn(900),
        replayed_at_micros: Some(WALL_MICROS),
        replay_paused: false,
        too_small: None,
        receiver: Some(Receiver {
            streaming: true,
            latest_end: Some(Lsn(990)),
            written: Some(Lsn(960)),
        }),
        ancestors: Vec::new(),
        later: Vec::new(),
        upstream: Some("10.1.0.6:5432".to_owned()),
        slot: Some("a".to_owned()),
        downstreams: Vec::new(),
        slots: Vec::new(),
    }
}

/// A standby.
pub fn standby() -> Status {
    standby_with(standby_facts())
}

/// A standby with these facts.
pub fn standby_with(facts: StandbyFacts) -> Status {
    base(State::Standby(facts))
}

/// A node whose server is in another state, and what is published of it.
pub fn other(state: State, published: MemberState) -> Status {
    Status { state: published, ..base(state) }
}

/// The status with its cluster changed.
pub fn with_cluster(mut status: Status, change: impl FnOnce(&mut Cluster)) -> Status {
    let (cluster, until) = status.cluster.take().expect("the fixtures have a cluster");
    let mut cluster = Arc::unwrap_or_clone(cluster);
    change(&mut cluster);
    status.cluster = Some((Arc::new(cluster), until));
    status
}

/// The status with its dynamic configuration changed.
pub fn with_dynamic(mut status: Status, change: impl FnOnce(&mut Dynamic)) -> Status {
    change(Arc::make_mut(&mut status.dynamic));
    status
}

/// The status with these tags.
pub fn with_tags(mut status: Status, tags: &serde_json::Value) -> Status {
    status.tags = Arc::new(tags.as_object().expect("tags are an object").clone());
    status.takes_reads = tags.get("noloadbalance") != Some(&json!(true));
    status
}

/// The status without its lease.
pub fn without_lease(status: Status) -> Status {
    Status { lease: None, ..status }
}

/// A lease that ended before now.
pub fn with_ended_lease(status: Status) -> Status {
    let ended = LeaseDeadline::at(NOW - Duration::from_millis(1));
    Status { lease: Some((Term(7), ended)), ..status }
}
