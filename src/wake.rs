//! Everything that can start a turn.

use tokio::sync::{mpsc, oneshot};

use crate::cluster::{FailsafeAsk, NotAccepted, Refusal, Vote};
use crate::values::Term;

/// What started a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// The agent has just started.
    Start,
    /// The store showed something new.
    Store,
    /// This node's lease was renewed, taken or lost.
    Lease,
    /// The postmaster ended.
    ServerExited,
    /// A probe found something.
    Health,
    /// Somebody began or ceased to stream from the server.
    Streams,
    /// A job ended.
    JobEnded,
    /// Somebody asked through REST.
    Request,
    /// A signal.
    Signal,
    /// A moment that the last decision had named.
    Appointment,
    /// The safety net.
    Tick,
}

impl Wake {
    /// The label of the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Wake::Start => "start",
            Wake::Store => "store",
            Wake::Lease => "lease",
            Wake::ServerExited => "server_exited",
            Wake::Health => "health",
            Wake::Streams => "streams",
            Wake::JobEnded => "job_ended",
            Wake::Request => "request",
            Wake::Signal => "signal",
            Wake::Appointment => "appointment",
            Wake::Tick => "tick",
        }
    }

    /// All of them.
    pub const ALL: [Wake; 11] = [
        Wake::Start,
        Wake::Store,
        Wake::Lease,
        Wake::ServerExited,
        Wake::Health,
        Wake::Streams,
        Wake::JobEnded,
        Wake::Request,
        Wake::Signal,
        Wake::Appointment,
        Wake::Tick,
    ];
}

/// What others ask of the loop, from outside its thread.
#[derive(Debug)]
pub enum Call {
    /// A member asks for this node's promise.
    Promise {
        /// The term.
        term: Term,
        /// Where the answer goes. Dropped unanswered when the node could not settle in time.
        answer: oneshot::Sender<Result<Vote, Refusal>>,
    },
    /// A member asks where this node stands right now (a handover waits for the last record).
    Position {
        /// Where the answer goes: the status of a turn that began after the question.
        answer: oneshot::Sender<()>,
    },
    /// A primary asks whether this node carries its lease while the store is away.
    Failsafe {
        /// The question.
        ask: FailsafeAsk,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<(), NotAccepted>>,
    },
    /// Read the files again (`POST /reload`, SIGHUP).
    Reload,
    /// Stop the server and start it again (`POST /restart`).
    Restart {
        /// Which server, by when it was started (Unix time in microseconds).
        of: i64,
        /// Told when another one runs in its place.
        answer: oneshot::Sender<()>,
    },
    /// Look at the store now: something was written there on somebody's behalf.
    LookAgain,
    /// Make room for another version of the program (SIGUSR2).
    Upgrade,
    /// Stop (SIGTERM, SIGINT).
    Stop,
}

/// The way to the loop. Cheap to clone.
pub type Calls = mpsc::UnboundedSender<Call>;
