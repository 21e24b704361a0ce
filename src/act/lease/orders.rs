//! What the loop can order of the lease's task.

use tokio::sync::{mpsc, oneshot};

use crate::cluster::Basis;
use crate::values::{Incarnation, LeaseDeadline, MemberName, Revision, Term, WalPosition};

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody was quicker, or something changed meanwhile. Nothing was written.
    #[error("the baton has changed meanwhile")]
    Conflict,
    /// The store did not answer, and whether it was written is not known yet.
    #[error("the store did not answer, the baton may have been written")]
    Unresolved,
    /// The store did not take it in time, and cannot take it any more: the lease is as it was.
    #[error("the store did not take it in time")]
    Kept,
    /// The answer came when the lease it gives had run out already.
    #[error("the answer came too late")]
    TooLate,
    /// This agent does not hold what it would need.
    #[error("this agent does not hold the lease")]
    NotHeld,
    /// The task has ended.
    #[error("the lease's task has ended")]
    Ended,
}

/// One order, with where the answer goes.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub(super) what: What,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Option<LeaseDeadline>, LeaseError>>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Take { baton: Revision, term: Term, basis: Basis },
    Accept,
    Resume,
    Refound { term: Term, commits_wait: bool },
    Raise(Term),
    Release(Option<WalPosition>),
    Offer { to: MemberName, incarnation: Incarnation, position: Option<WalPosition> },
}

/// The loop's end of the orders. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeaseOrders(mpsc::UnboundedSender<Order>);

impl LeaseOrders {
    /// Both ends.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Replaces the baton that has this revision, where what it rests on is unchanged, too;
    /// returns the deadline of the new lease.
    ///
    /// # Errors
    /// See [`LeaseError`]; as for all orders.
    pub async fn take(
        &self,
        baton: Revision,
        term: Term,
        basis: Basis,
    ) -> Result<LeaseDeadline, LeaseError> {
        self.ask(What::Take { baton, term, basis }).await?.ok_or(LeaseError::NotHeld)
    }

    /// Takes the baton of a later term in a store that was emptied; returns its deadline.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn refound(
        &self,
        term: Term,
        commits_wait: bool,
    ) -> Result<LeaseDeadline, LeaseError> {
        self.ask(What::Refound { term, commits_wait }).await?.ok_or(LeaseError::NotHeld)
    }

    /// The first renewal of a baton that was offered to this agent; returns its deadline.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn accept(&self) -> Result<LeaseDeadline, LeaseError> {
        self.ask(What::Accept).await?.ok_or(LeaseError::NotHeld)
    }

    /// Goes on under the lease that an earlier start of this agent left, if it is still held; returns its
    /// deadline.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn resume(&self) -> Result<LeaseDeadline, LeaseError> {
        self.ask(What::Resume).await?.ok_or(LeaseError::NotHeld)
    }

    /// Goes on holding the lease under a later term.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn raise(&self, term: Term) -> Result<(), LeaseError> {
        self.ask(What::Raise(term)).await.map(drop)
    }

    /// Gives the baton up, telling where the log ends.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn release(&self, position: Option<WalPosition>) -> Result<(), LeaseError> {
        self.ask(What::Release(position)).await.map(drop)
    }

    /// Hands the baton over to one agent, by name.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn offer(
        &self,
        to: MemberName,
        incarnation: Incarnation,
        position: Option<WalPosition>,
    ) -> Result<(), LeaseError> {
        self.ask(What::Offer { to, incarnation, position }).await.map(drop)
    }

    async fn ask(&self, what: What) -> Result<Option<LeaseDeadline>, LeaseError> {
        let (answer, reply) = oneshot::channel();
        self.0.send(Order { what, answer }).map_err(|_| LeaseError::Ended)?;
        reply.await.unwrap_or(Err(LeaseError::Ended))
    }
}
