//! What an agent needs of its server. Reads change nothing; each change does one thing and says when
//! it is finished. Nothing here chooses.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::cluster::{Ancestor, Role, SyncNames};
pub use crate::cluster::{
    Control, ControlState, Downstream, Look, PrimaryFacts, Receiver, StandbyFacts, StartAs, State,
    StopMode, Upstream,
};
use crate::config::{EffectivePostgresql, PermanentSlot};
use crate::values::{Lsn, SystemId, Timeline, WalPosition};

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
    /// The server plays another part from now on: the configured command is run, beside everything
    /// else. Nothing to do where there is none.
    fn role_changed(&self, _role: Role) {}

    /// Whether the server that runs was started by a guardian, or would be when it is started.
    fn is_guarded(&self) -> bool {
        true
    }

    /// Looks at the directory, the process and the server. Never fails: what could not be read is a
    /// state of its own. Returns within `within`.
    fn look(&self, within: Duration) -> impl Future<Output = Look>;

    /// Resolves when the postmaster that runs now has ended (known when it happens, not polled); never
    /// resolves while none runs.
    fn exited(&self) -> impl Future<Output = ()>;

    /// Resolves when somebody began or ceased to stream from this server, or changed how. Need not.
    fn streams_changed(&self) -> impl Future<Output = ()> {
        std::future::pending()
    }

    /// Has commits wait for these, or with `None` for whom the user's own settings say; by a reload.
    /// Returns, with where the log then ended, when no commit is released by earlier names any more.
    /// `raises_count`: more of them are waited for than before, which nothing at the server shows.
    ///
    /// # Errors
    /// [`ServerError::TimedOut`] leaves earlier and new names in force side by side.
    fn set_sync_names(
        &self,
        names: Option<&SyncNames>,
        raises_count: bool,
        within: Duration,
    ) -> impl Future<Output = Result<Lsn, ServerError>>;

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
    fn follow(&self, upstream: Option<&Upstream>) -> impl Future<Output = Result<(), ServerError>>;

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

    /// Creates the physical slots that are missing among `wanted`, and drops inactive ones, of either
    /// kind, among `unwanted`.
    ///
    /// # Errors
    /// When a statement fails.
    fn arrange_slots(
        &self,
        wanted: &[String],
        unwanted: &[String],
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Makes a logical slot on a primary; with `failover` where the server knows that (17 and later).
    ///
    /// # Errors
    /// When the server refuses, such as for `wal_level`.
    fn make_logical_slot(
        &self,
        name: &str,
        database: &str,
        plugin: &str,
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Moves physical slots on, each to its position.
    ///
    /// # Errors
    /// When a statement fails.
    fn advance_slots(&self, to: &[(String, Lsn)]) -> impl Future<Output = Result<(), ServerError>>;

    /// Gets logical slots from `leader`; a start as a standby within ten minutes brings them along. Returns the names
    /// of those that can be had: it is said why of the others.
    ///
    /// # Errors
    /// When the leader cannot be asked, or none of them can be had.
    fn fetch_logical_slots(
        &self,
        leader: &Upstream,
        slots: &[PermanentSlot],
    ) -> impl Future<Output = Result<Vec<String>, ServerError>>;

    /// Drops logical slots, also one that is in use: by whoever moves it on, or by a consumer.
    ///
    /// # Errors
    /// When one of them may still be there.
    fn drop_logical_slots(&self, names: &[String])
    -> impl Future<Output = Result<(), ServerError>>;

    /// What `leader` keeps for this node since it knows of its logical slots: by slot, the oldest transaction
    /// whose changes of the catalogs are there. Empty while it does not know of them.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn kept_for_slots(
        &self,
        leader: &Upstream,
        names: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, u32>, ServerError>>;

    /// Moves logical slots of a standby on: name, database, position. One that cannot be read from where it
    /// stands is dropped.
    ///
    /// # Errors
    /// When one was not moved.
    fn advance_logical_slots(
        &self,
        to: &[(String, String, Lsn)],
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Removes the history files of these timelines: the newest that a standby finds is where it wants to go.
    ///
    /// # Errors
    /// When one cannot be removed.
    fn leave_timelines(&self, left: &[Timeline]) -> impl Future<Output = Result<(), ServerError>>;

    /// Has archived what of the stopped server's log still waits for it: segments that end before `before`, and the
    /// histories of these timelines.
    ///
    /// # Errors
    /// When the archive does not take one, or not in time; the others were tried all the same.
    fn archive_left(
        &self,
        before: Lsn,
        timelines: &[Timeline],
    ) -> impl Future<Output = Result<(), ServerError>>;

    /// Brings a crashed data directory to a clean shutdown without letting anybody in (single-user
    /// mode, archiving off).
    ///
    /// # Errors
    /// When recovery fails.
    fn recover_alone(&self) -> impl Future<Output = Result<(), ServerError>>;

    /// Asks `source` with the account of a rewind.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    fn check_source(&self, source: &Upstream) -> impl Future<Output = Result<(), ServerError>>;

    /// Runs `pg_rewind` on the stopped server against `source` and rewrites the configuration.
    ///
    /// # Errors
    /// When it fails: the directory may be unusable then, and must not be started.
    fn rewind(&self, source: &Upstream) -> impl Future<Output = Result<(), ServerError>>;

    /// Makes sure that the data directory can be set aside, and that a copy finds room beside it and
    /// the `keep` newest of what is kept so. Changes nothing.
    ///
    /// # Errors
    /// [`ServerError::NotPossible`] says why not, and what to do.
    fn check_aside(&self, keep: u32) -> impl Future<Output = Result<(), ServerError>>;

    /// Renames the data directory of the stopped server, with `stamp` in its new name, which is
    /// returned; removes all but the `keep` newest of what is kept so.
    ///
    /// # Errors
    /// When it was not renamed.
    fn set_aside(
        &self,
        stamp: &str,
        keep: u32,
    ) -> impl Future<Output = Result<String, ServerError>>;

    /// Whether `upstream` still has the log from `from` on.
    ///
    /// # Errors
    /// When that is not known.
    fn has_log(
        &self,
        upstream: &Upstream,
        from: WalPosition,
    ) -> impl Future<Output = Result<bool, ServerError>>;

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
