//! What an agent needs of its server. Reads change nothing; each change does one thing and says when
//! it is finished. Nothing here chooses.

use std::future::Future;
use std::time::Duration;

use crate::cluster::Ancestor;
use crate::config::EffectivePostgresql;
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
    /// The names of its physical replication slots.
    pub slots: Vec<String>,
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
}

/// What a running standby says.
#[derive(Clone, Debug, PartialEq)]
pub struct StandbyFacts {
    /// The identifier of its data.
    pub system_id: SystemId,
    /// The timeline it replays or receives.
    pub timeline: Timeline,
    /// Received and flushed; goes back to a segment's start after a restart.
    pub received: Option<Lsn>,
    /// Replayed.
    pub replayed: Lsn,
    /// Commit time of the last replayed transaction, Unix time in microseconds.
    pub replayed_at_micros: Option<i64>,
    /// Whether somebody has paused replay.
    pub replay_paused: bool,
    /// Its WAL receiver, while there is one.
    pub receiver: Option<Receiver>,
    /// How its timeline came to be, from its own history file; empty on the first timeline.
    pub ancestors: Vec<Ancestor>,
    /// The upstream it is configured to stream from: `host:port` out of `primary_conninfo`.
    pub upstream: Option<String>,
    /// Who streams from it.
    pub downstreams: Vec<Downstream>,
    /// The names of its physical replication slots.
    pub slots: Vec<String>,
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
    /// SIGQUIT: recovery at the next start. Not a fence: see [`Server::kill`].
    Immediate,
}

/// All processes of the server are fenced: gone, or doomed and unable to return to user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed {
    /// How many processes were killed.
    pub processes: usize,
    /// Whether all of them are gone, too. Nothing may be started on the directory before that.
    pub all_gone: bool,
}

/// What a promotion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// The new timeline.
    pub timeline: Timeline,
    /// Where it left the one before, from the history file.
    pub switched_at: Lsn,
}

/// Where a standby stands that has stopped receiving and finished replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The end of everything it has.
    pub position: WalPosition,
    /// How its timeline came to be, from its own history file.
    pub ancestors: Vec<Ancestor>,
}

/// How a copy of another member's data is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Copied so far, in kilobytes.
    pub done_kilobytes: u64,
    /// To be copied in all, in kilobytes; `None` while that is not known.
    pub total_kilobytes: Option<u64>,
}

/// Why something did not work at the server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It was not finished in time; it may still be going on.
    #[error("{what} was not finished within {within:?}")]
    TimedOut {
        /// What was not finished.
        what: &'static str,
        /// The bound.
        within: Duration,
    },
    /// A program of PostgreSQL's failed.
    #[error("{program} failed ({status}): {stderr}")]
    Program {
        /// Which.
        program: String,
        /// Its exit status.
        status: String,
        /// The last lines of what it said.
        stderr: String,
    },
    /// A program could not be run at all.
    #[error("{program} cannot be run; set postgresql.bin_dir to the folder that has it")]
    NoProgram {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server process ended while it was being started or used.
    #[error("the server ended: {0}")]
    Ended(String),
    /// The server answered a query with an error, or not at all.
    #[error("the query for {what} failed")]
    Query {
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A file could not be read or written.
    #[error("{path}: {doing} failed")]
    File {
        /// Which.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server or its directory is not in the state that this needs.
    #[error("{0}")]
    NotPossible(String),
}

/// The server beside this agent. All of it is about one data directory.
pub trait Server {
    /// Looks at the directory, the process and the server. Never fails: what could not be read is a
    /// state of its own. Returns within `within`.
    fn look(&self, within: Duration) -> impl Future<Output = Look>;

    /// Resolves when the postmaster that runs now has ended (known when it happens, not polled); never
    /// resolves while none runs.
    fn exited(&self) -> impl Future<Output = ()>;

    /// Makes the settings those in force from the next write of the configuration files on; returns
    /// whether the running server was told to reload.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn configure(
        &self,
        settings: &EffectivePostgresql,
    ) -> impl Future<Output = Result<bool, ServerError>>;

    /// Runs `initdb` on an empty directory. Does not start the server.
    ///
    /// # Errors
    /// When `initdb` fails; what it made itself is then removed.
    fn initialize(&self) -> impl Future<Output = Result<SystemId, ServerError>>;

    /// Creates the accounts of the configuration on a running primary and runs `post_bootstrap`.
    ///
    /// # Errors
    /// When a statement or the command fails.
    fn create_accounts(&self) -> impl Future<Output = Result<(), ServerError>>;

    /// Removes the data directory's content, which the caller knows to have been made by itself.
    ///
    /// # Errors
    /// When something is left, or a server runs on it.
    fn remove_data(&self) -> impl Future<Output = Result<(), ServerError>>;

    /// Writes the configuration files and starts the server as a child of this process; returns when it
    /// accepts connections.
    ///
    /// # Errors
    /// [`ServerError::TimedOut`] leaves it starting; [`ServerError::Ended`] says why it ended.
    fn start(
        &self,
        start_as: &StartAs,
        within: Duration,
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Stops the server and waits until its postmaster has ended. Stopping a stopped one is no error.
    ///
    /// # Errors
    /// [`ServerError::TimedOut`] leaves it stopping.
    fn stop(
        &self,
        mode: StopMode,
        within: Duration,
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Kills every process of the server, backends first-class, whatever state they are in; returns
    /// when all of them are fenced.
    fn kill(&self) -> impl Future<Output = Killed>;

    /// Points a running standby at another upstream (or none) by a reload, without a restart.
    ///
    /// # Errors
    /// When the files cannot be written or the server cannot be told.
    fn follow(
        &self,
        upstream: Option<&Upstream>,
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Stops a standby's receiving (`primary_conninfo` and `restore_command` empty), waits until the
    /// receiver is gone and everything received is replayed, by a positive sign.
    ///
    /// # Errors
    /// [`ServerError::TimedOut`] when no such sign was seen: then there is no position to tell.
    fn settle(&self, within: Duration) -> impl Future<Output = Result<Settled, ServerError>>;

    /// Makes PostgreSQL skip these timeline ids: plants a history file for each, with a switch point
    /// below the replay position.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn burn_timelines(
        &self,
        parent: Timeline,
        burnt: &[Timeline],
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Promotes a standby and waits until it accepts writes.
    ///
    /// # Errors
    /// [`ServerError::TimedOut`] leaves it to be seen whether it was promoted.
    fn promote(&self, within: Duration) -> impl Future<Output = Result<Promoted, ServerError>>;

    /// Runs a checkpoint and waits for it.
    ///
    /// # Errors
    /// When the server cannot be asked or does not finish in time.
    fn checkpoint(&self, within: Duration) -> impl Future<Output = Result<(), ServerError>>;

    /// Creates the physical slots that are missing among `wanted`, and drops inactive ones among
    /// `unwanted`.
    ///
    /// # Errors
    /// When a statement fails.
    fn arrange_slots(
        &self,
        wanted: &[String],
        unwanted: &[String],
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Brings a crashed data directory to a clean shutdown without letting anybody in (single-user
    /// mode, archiving off).
    ///
    /// # Errors
    /// When recovery fails.
    fn recover_alone(&self) -> impl Future<Output = Result<(), ServerError>>;

    /// Runs `pg_rewind` on the stopped server against `source` and rewrites the configuration.
    ///
    /// # Errors
    /// When it fails: the directory may be unusable then, and must not be started.
    fn rewind(&self, source: &Upstream) -> impl Future<Output = Result<(), ServerError>>;

    /// Copies the data of `source` into the empty directory with `pg_basebackup`; reports progress.
    ///
    /// # Errors
    /// When it fails; what it made itself is then removed.
    fn copy_from(
        &self,
        source: &Upstream,
        progress: impl Fn(CopyProgress),
    ) -> impl Future<Output = Result<(), ServerError>>;
}
