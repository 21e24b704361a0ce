//! What a server was found doing, as plain data. How it was found out is `postgres`' business.

use crate::cluster::{Ancestor, Slot, SyncNames};
use crate::values::{Lsn, MemberName, SystemId, Timeline, WalPosition};

/// What a look at the data directory, the process and (where it answers) the server found.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// The data directory does not exist or is empty.
    Empty,
    /// Something is there that no server can be started on; the text says what and what to do.
    Unusable(String),
    /// A data directory without a running server.
    Down(Control),
    /// The process is there and does not accept connections yet (start-up, crash recovery).
    Starting,
    /// The process is there and is shutting down.
    Stopping,
    /// It answers, and accepts writes.
    Primary(PrimaryFacts),
    /// It answers, and is in recovery.
    Standby(StandbyFacts),
    /// The process is there, and did not answer the look within its bound.
    Silent,
}

impl State {
    /// Where the server stands, while it answers.
    pub fn position(&self) -> Option<WalPosition> {
        match self {
            State::Primary(facts) => Some(facts.position),
            State::Standby(facts) => Some(facts.position()),
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Stopping
            | State::Silent => None,
        }
    }

    /// Its replication slots, while it answers.
    pub fn slots(&self) -> Option<&[Slot]> {
        match self {
            State::Primary(facts) => Some(&facts.slots),
            State::Standby(facts) => Some(&facts.slots),
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Stopping
            | State::Silent => None,
        }
    }
}

/// One look. Cheap enough for each turn; bounded in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What was found.
    pub state: State,
    /// When the postmaster was started, Unix time in microseconds; while it answers.
    pub started_at_micros: Option<i64>,
    /// `server_version_num`, such as 150018; while it answers.
    pub version: Option<u32>,
    /// Settings that need a restart to be in force: name, value in force, value wanted.
    pub pending_restart: Vec<(String, String, String)>,
}

impl Look {
    /// Before the first look.
    pub fn none() -> Self {
        Self {
            state: State::Silent,
            started_at_micros: None,
            version: None,
            pending_restart: Vec::new(),
        }
    }
}

/// What the control file of a stopped server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// How it was left.
    pub state: ControlState,
    /// The identifier of its data.
    pub system_id: SystemId,
    /// The timeline of its last checkpoint; for a standby also of its minimum recovery point, if later.
    pub timeline: Timeline,
    /// The last position that is known from the files: for [`ControlState::ShutDown`] the end of the
    /// shutdown checkpoint's record, which is the end of its log; else only a lower bound.
    pub end: Lsn,
    /// How its timeline came to be, from its own history file; empty on the first timeline.
    pub ancestors: Vec<Ancestor>,
    /// The timelines after its own whose history files are there: the last of them is where PostgreSQL wants to go.
    pub later: Vec<Timeline>,
    /// Whether `pg_rewind` can work on it: data checksums or `wal_log_hints`.
    pub can_rewind: bool,
}

/// How a server was left, in the words of `pg_controldata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlState {
    /// `shut down`: a primary that was stopped cleanly.
    ShutDown,
    /// `shut down in recovery`: a standby that was stopped cleanly.
    ShutDownInRecovery,
    /// `in production`, `shutting down`, `in crash recovery`: a primary that died.
    InProduction,
    /// `in archive recovery`: a standby that died.
    InRecovery,
}

impl ControlState {
    /// Whether it was a standby when it was left.
    pub fn was_standby(self) -> bool {
        matches!(self, ControlState::ShutDownInRecovery | ControlState::InRecovery)
    }
}

/// What a running primary says.
#[derive(Clone, Debug, PartialEq)]
pub struct PrimaryFacts {
    /// The identifier of its data.
    pub system_id: SystemId,
    /// Its timeline and flush position.
    pub position: WalPosition,
    /// The timeline of its last checkpoint: below its own until the checkpoint after a promotion.
    pub checkpoint_timeline: Timeline,
    /// Where its timeline left the one before, from its history file; empty on the first timeline.
    pub ancestors: Vec<Ancestor>,
    /// Who streams from it.
    pub downstreams: Vec<Downstream>,
    /// Its replication slots.
    pub slots: Vec<Slot>,
    /// Whom its commits wait for; `None` where somebody else has set that.
    pub sync_names: Option<SyncNames>,
}

/// One `pg_stat_replication` row.
#[derive(Clone, Debug, PartialEq)]
pub struct Downstream {
    /// Its `application_name`: for a member, the member's name.
    pub name: String,
    /// The role it connected as.
    pub user: String,
    /// Its address, if it came over TCP.
    pub client_address: Option<String>,
    /// `streaming`, `catchup`, `backup`, ...
    pub state: String,
    /// Flushed there.
    pub flushed: Lsn,
    /// Replayed there.
    pub replayed: Lsn,
    /// `async`, `sync`, `quorum`, `potential`.
    pub sync_state: String,
    /// Its place in `synchronous_standby_names`.
    pub sync_priority: i32,
    /// The slot that it holds; `None` where it streams without one.
    pub slot: Option<String>,
}

/// What a running standby says.
#[derive(Clone, Debug, PartialEq)]
pub struct StandbyFacts {
    /// The identifier of its data.
    pub system_id: SystemId,
    /// The server's major version.
    pub major: u32,
    /// The timeline it replays or receives.
    pub timeline: Timeline,
    /// Received and flushed; goes back to a segment's start after a restart.
    pub received: Option<Lsn>,
    /// Replayed.
    pub replayed: Lsn,
    /// Commit time of the last replayed transaction, Unix time in microseconds.
    pub replayed_at_micros: Option<i64>,
    /// Whether replay is paused: by somebody, or by the server itself for `too_small`.
    pub replay_paused: bool,
    /// Why the server has paused replay, and goes on only once it is started anew: settings that are lower than those
    /// of the primary that wrote the log. From PostgreSQL 14 on; before, it ends.
    pub too_small: Option<String>,
    /// Its WAL receiver, while there is one.
    pub receiver: Option<Receiver>,
    /// How its timeline came to be, from its own history file; empty on the first timeline.
    pub ancestors: Vec<Ancestor>,
    /// As [`Control::later`], while it has no receiver.
    pub later: Vec<Timeline>,
    /// The upstream it is configured to stream from: `host:port` out of `primary_conninfo`.
    pub upstream: Option<String>,
    /// The slot that it is configured to use there (`primary_slot_name`).
    pub slot: Option<String>,
    /// Who streams from it.
    pub downstreams: Vec<Downstream>,
    /// Its replication slots.
    pub slots: Vec<Slot>,
}

impl StandbyFacts {
    /// The further of received and replayed.
    pub fn position(&self) -> WalPosition {
        let lsn = self.received.map_or(self.replayed, |received| received.max(self.replayed));
        WalPosition { timeline: self.timeline, lsn }
    }

    /// Whether it streams right now.
    pub fn is_streaming(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.streaming)
    }
}

/// A standby's WAL receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Whether its status is `streaming`.
    pub streaming: bool,
    /// The sender's end of log as last told (`latest_end_lsn`).
    pub latest_end: Option<Lsn>,
    /// Written, not yet flushed (`written_lsn`).
    pub written: Option<Lsn>,
}

/// Where a standby gets its log, or a copy comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// The member.
    pub name: MemberName,
    /// Its PostgreSQL host.
    pub host: String,
    /// Its PostgreSQL port.
    pub port: u16,
    /// The slot to use there; `None` where slots are off.
    pub slot: Option<String>,
}

/// What a server is started as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAs {
    /// Without `standby.signal`: it accepts writes as soon as it is up.
    Primary,
    /// With `standby.signal`; without an upstream it only replays what it has.
    Standby(Option<Upstream>),
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// SIGINT: sessions are ended, a checkpoint is written, standbys get everything.
    Fast,
    /// The same, and it is started again at once: the callback is told of a restart.
    Restart,
    /// SIGQUIT: recovery at the next start. Not a fence: only a kill of every process is one.
    Immediate,
}
