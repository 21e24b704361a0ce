//! The lease as a key of ours: who holds the baton, in which term, and how far its log is.

use std::time::Duration;

use crate::values::{Incarnation, MemberName, Term, WalPosition};

/// What compares in every write of a leader: the fencing token, in a key that changes only when the
/// holder does (the baton itself changes with each renewal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The term of the holder.
    pub term: Term,
    /// The start of the holder's agent.
    pub incarnation: Incarnation,
}

/// The holder's claim, renewed by compare-and-swap on its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baton {
    /// Rises with each new holder.
    pub term: Term,
    /// The agent that holds it.
    pub incarnation: Incarnation,
    /// The name of the member that holds it, or is to hold it.
    pub holder: MemberName,
    /// Rises with each renewal of one holder.
    pub sequence: u64,
    /// Which try wrote this: how an unanswered write is recognised when it is read back.
    pub nonce: u64,
    /// How far the holder's log was when it wrote this; `None` before its server ever ran.
    pub position: Option<WalPosition>,
    /// The `ttl` that the holder's deadline was made with. Whoever judges its silence waits at least
    /// this long, whatever its own settings say by now. Zero where the record does not tell.
    pub ttl: Duration,
    /// Whether the holder still claims it.
    pub state: BatonState,
}

/// Whether a baton is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatonState {
    /// Its holder renews it.
    Held,
    /// Given to the named holder, which has not renewed it yet and so has no deadline.
    Offered,
    /// Given up: whoever is fit may take it at once.
    Released,
}

impl Baton {
    /// The guard that goes with this baton.
    pub fn guard(&self) -> Guard {
        Guard { term: self.term, incarnation: self.incarnation }
    }
}
