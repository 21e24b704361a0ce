//! What the probes need of the server, its processes and its disk. Each question is asked once and
//! waits for its answer however long that takes: who asks counts the time, and asks no second one
//! meanwhile.

use std::future::Future;

use crate::cluster::Trouble;
use crate::values::Lsn;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed<T> {
    /// It works.
    Good(T),
    /// There is nobody to ask, or it cannot be asked now.
    Absent,
    /// It does not work.
    Trouble(Trouble),
}

/// What a new connection was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The flushed end of a primary's log; `None` on a standby, or where the server only refused.
    pub flushed: Option<Lsn>,
    /// How many sessions wait for a synchronous standby.
    pub sync_waiting: u32,
}

/// What the kernel and the server's own words say, without asking anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// How often the postmaster has been given a processor; `None` where there is none.
    pub postmaster_switches: Option<u64>,
    /// Whether the postmaster is stopped, or stuck in the kernel.
    pub postmaster_is_halted: bool,
    /// Whether there is a kept connection.
    pub has_session: bool,
    /// Whether the process behind the kept connection is stopped, and others of the server with it:
    /// one alone may be a debugger's.
    pub sessions_are_stopped: bool,
    /// How often the server has said that it ends for want of space.
    pub space_complaints: u64,
}

/// The probes' way to one server.
pub trait Probes {
    /// Commits something small, locally, on the kept connection; returns the flushed end of the log.
    fn commit(&self) -> impl Future<Output = Probed<Lsn>>;

    /// Makes a new connection, asks something trivial, and ends it. Any answer of the server's is
    /// good: that all connections are in use, that it starts up.
    fn connect(&self) -> impl Future<Output = Probed<Told>>;

    /// Writes and syncs a small file on the log's volume, in a process of its own; returns how many
    /// bytes are free there.
    fn sync_disk(&self) -> impl Future<Output = Probed<u64>>;

    /// Takes a glimpse. Touches no disk and waits for nobody.
    fn glimpse(&self) -> Glimpse;
}
