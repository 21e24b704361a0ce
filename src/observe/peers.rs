//! What an agent asks of another member's agent.

use std::future::Future;
use std::time::Duration;

use crate::cluster::{FailsafeAsk, NotAccepted, Refusal, Vote};
use crate::values::{Lsn, MemberName, Term, Timeline};

/// Another member, as it can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name.
    pub name: MemberName,
    /// Its published `api_url`, such as `http://10.1.0.7:8008/patroni`.
    pub api_url: String,
}

/// A candidate's question: "promise this term, and tell where you stand".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The term.
    pub term: Term,
    /// Who asks, for the log.
    pub candidate: MemberName,
}

/// What a member's `GET /patroni` says, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its name, as it says itself.
    pub name: MemberName,
    /// Whether its server is in recovery.
    pub in_recovery: bool,
    /// The further of received and replayed; the flush position of a primary.
    pub lsn: Lsn,
    /// Its timeline, where it said one.
    pub timeline: Option<Timeline>,
}

/// Why a member gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// None within the bound, or no connection.
    #[error("{0} did not answer")]
    Silent(MemberName),
    /// One that makes no sense.
    #[error("{name} answered with something else: {what}")]
    Nonsense {
        /// Who.
        name: MemberName,
        /// What was wrong with it.
        what: String,
    },
}

/// The way to the other members.
pub trait Peers {
    /// Asks one member for its promise. The outer error: no answer. The inner: a refusal.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    fn promise(
        &self,
        peer: &Peer,
        ask: &Ask,
        within: Duration,
    ) -> impl Future<Output = Result<Result<Vote, Refusal>, PeerError>>;

    /// Asks one member to carry this node's lease while the store is away. The outer error: no answer.
    /// The inner: a refusal.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    fn failsafe(
        &self,
        peer: &Peer,
        ask: &FailsafeAsk,
        within: Duration,
    ) -> impl Future<Output = Result<Result<(), NotAccepted>, PeerError>>;

    /// Asks one member where it stands.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    fn status(
        &self,
        peer: &Peer,
        within: Duration,
    ) -> impl Future<Output = Result<PeerStatus, PeerError>>;
}
