//! A switchover or failover that somebody asked for (Patroni's `failover` key).

use crate::values::{MemberName, Revision};

/// What was asked for. At least one of the two names is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The leader to step down; absent for a manual failover.
    pub leader: Option<MemberName>,
    /// Who is to lead next; absent for "whoever is fit".
    pub candidate: Option<MemberName>,
    /// When, ISO 8601 with zone; absent for now.
    pub scheduled_at: Option<String>,
    /// Whether the members that do not answer are stopped, and the candidate may lead without what only they
    /// have (our own field). It counts while nobody leads, and for that one vacancy.
    pub accepts_loss: bool,
}

impl Request {
    /// Whether this asks a named leader to step down, as opposed to a failover.
    pub fn is_switchover(&self) -> bool {
        self.leader.is_some()
    }
}

/// What became of a request, kept until the next one so that whoever asked can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The revision of the request that this answers.
    pub request: Revision,
    /// Whether it was carried out.
    pub done: bool,
    /// Why not, or what was done.
    pub reason: String,
}
