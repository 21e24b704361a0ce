//! One PostgreSQL server as an adversary: its disk, its process, its log. How an agent reaches it is
//! `server`'s business, how time passes for it `physics`'.

mod facts;
mod jobs;
mod physics;
mod probes;
mod server;
mod streaming;
mod synchronous;
mod wal;

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use pgbaton::cluster::{ControlState, Upstream};
use pgbaton::values::{Lsn, Monotonic, SystemId, Term, Timeline};
use tokio::sync::Notify;

pub use physics::{crash_postmaster, kill_everything, pass_time};
pub use probes::SimProbes;
pub use server::SimServer;
pub use synchronous::Synchronous;
pub use wal::{At, Wal};

/// What is in the data directory.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Something that no server may ever be started on; the text says what was being done.
    Partial(&'static str, Option<Data>),
    /// A server's data.
    Whole(Data),
}

/// A server's data.
#[derive(Clone, Debug)]
pub struct Data {
    /// Its identifier.
    pub system: SystemId,
    /// The end of its log.
    pub at: At,
    /// How it was left.
    pub control: ControlState,
    /// The timeline of its last checkpoint.
    pub checkpoint_timeline: Timeline,
    /// Where replay begins after a start.
    pub redo: Lsn,
    /// The timelines it has history files of, planted ones included.
    pub histories: BTreeSet<u32>,
    /// Where the log begins that is still on this disk.
    pub oldest: Lsn,
    /// Where it streams from, by its configuration.
    pub upstream: Option<Upstream>,
    /// Its slots.
    pub slots: BTreeSet<String>,
}

/// What the processes are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// There are none.
    Off,
    /// On the way up.
    Starting {
        /// When it is up.
        ready_at: Duration,
        /// Whether it then accepts writes.
        as_primary: bool,
    },
    /// Accepts writes.
    Primary {
        /// Since which opening.
        opening: usize,
    },
    /// In recovery.
    Standby,
    /// On the way down, after a fast shutdown.
    Stopping {
        /// Not before.
        not_before: Duration,
        /// At the latest.
        give_up_at: Duration,
        /// Whether it was a primary, which ships everything first.
        was_primary: bool,
        /// Whether the shutdown checkpoint has been written.
        checkpointed: bool,
    },
}

/// A standby's WAL receiver.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// The server it is connected to.
    pub connected: Option<usize>,
    /// When it tries to connect again.
    pub retry_at: Duration,
    /// What is on its way: when it arrives, up to where, sent under which term.
    pub pipe: VecDeque<(Duration, At, Term)>,
    /// Received since the start of the server.
    pub received: Option<Lsn>,
}

/// Which processes of a server are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All of them.
    All,
    /// The postmaster alone.
    Postmaster,
}

/// One server.
pub struct Pg {
    /// The data directory.
    pub content: Content,
    /// The processes.
    pub process: Process,
    /// When they were started last.
    pub started_at: Duration,
    /// Busy backends that outlived their postmaster, with their opening.
    pub orphans: Option<usize>,
    /// Killed processes that are stuck in the kernel until the disk answers.
    pub lingering: bool,
    /// When a promotion that was begun is over.
    pub promoted_at: Option<Duration>,
    /// The WAL receiver.
    pub receiver: Receiver,
    /// Replayed so far.
    pub replayed: Lsn,
    /// How many bytes are replayed in each step of time.
    pub replay_step: u64,
    /// Whether the disk does not answer.
    pub stalled: bool,
    /// Whether the server does not answer.
    pub hung: bool,
    /// Whether a rewind of this server breaks off half-way.
    pub breaks_rewinds: bool,
    /// Which of its processes are stopped.
    pub stopped: Option<Stopped>,
    /// Whether its disk is full.
    pub full: bool,
    /// How often it has said that it ends for want of space.
    pub complaints: u64,
    /// Whether its clients' commits wait for a standby.
    pub awaits_standby: bool,
    /// Since when it has been of no use, and until when it was.
    pub useless: Option<(Duration, Duration)>,
    /// Whether it was when that was last looked at.
    pub is_useless: bool,
    /// How much longer starts, stops and promotions take.
    pub slow: Duration,
    /// Whom its commits wait for.
    pub sync: Synchronous,
    /// When everything is killed, by this node's clock.
    pub fence: Option<Monotonic>,
    /// Told when the postmaster ends.
    pub exits: Rc<Notify>,
}

/// Bytes replayed in one step by a healthy server.
pub const USUAL_REPLAY_STEP: u64 = 20_000;

impl Default for Pg {
    fn default() -> Self {
        Self {
            content: Content::Empty,
            process: Process::Off,
            started_at: Duration::ZERO,
            orphans: None,
            lingering: false,
            promoted_at: None,
            receiver: Receiver::default(),
            replayed: Lsn::ZERO,
            replay_step: USUAL_REPLAY_STEP,
            stalled: false,
            hung: false,
            breaks_rewinds: false,
            stopped: None,
            full: false,
            complaints: 0,
            awaits_standby: false,
            useless: None,
            is_useless: false,
            slow: Duration::ZERO,
            sync: Synchronous::default(),
            fence: None,
            exits: Rc::new(Notify::new()),
        }
    }
}

impl Pg {
    /// The data, while it is whole.
    pub fn data(&self) -> Option<&Data> {
        match &self.content {
            Content::Whole(data) => Some(data),
            Content::Empty | Content::Partial(..) => None,
        }
    }

    /// The data, to change it.
    pub fn data_mut(&mut self) -> Option<&mut Data> {
        match &mut self.content {
            Content::Whole(data) => Some(data),
            Content::Empty | Content::Partial(..) => None,
        }
    }

    /// Whether none of its processes does anything.
    pub fn is_frozen(&self) -> bool {
        self.stopped == Some(Stopped::All)
    }

    /// Whether it accepts writes right now, and since which opening.
    pub fn writes(&self) -> Option<usize> {
        match self.process {
            Process::Primary { opening } => Some(opening),
            Process::Off => self.orphans,
            Process::Starting { .. } | Process::Standby | Process::Stopping { .. } => None,
        }
    }

    /// The receiver is gone, and what was on its way with it.
    pub fn drop_receiver(&mut self) {
        self.receiver.connected = None;
        self.receiver.pipe.clear();
    }
}

/// The node that an address of the world means.
pub fn node_of(host: &str) -> Option<usize> {
    host.strip_prefix('n')?.parse().ok()
}
