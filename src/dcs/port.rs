//! What an agent needs of a store. Keys here are relative to the cluster's prefix (`leader`,
//! `members/pg-a`, `baton`); the prefix and the wire belong to the implementation.
//!
//! No operation retries by itself: who calls knows how long it may wait and what an unanswered write
//! means.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::values::Revision;

/// The id of an etcd lease. Such a lease only removes keys of agents that are gone; it proves nothing
/// about who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// One key's value with its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// The value.
    pub value: Bytes,
    /// The revision of the last write to the key.
    pub mod_revision: Revision,
    /// The lease the key is attached to, if any.
    pub lease: Option<LeaseId>,
}

/// Every key below the prefix at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSnapshot {
    /// The store's revision.
    pub revision: Revision,
    /// The keys, relative to the prefix.
    pub keys: BTreeMap<String, RawValue>,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key's modification revision is this; [`Revision::ABSENT`] means that it does not exist.
    ModRevision(String, Revision),
    /// The key's value is this.
    Value(String, Bytes),
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Put a value, attached to a lease where one is given.
    Put(String, Bytes, Option<LeaseId>),
    /// Delete a key; no error when it is not there.
    Delete(String),
}

/// All of `ops`, if all of `compares` hold. An empty list of compares is an unconditional write, which
/// only a member may make, and only to its own keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What is then done.
    pub ops: Vec<Op>,
}

/// The store's answer to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnReply {
    /// Whether the compares held and the writes were done.
    pub succeeded: bool,
    /// The store's revision after it: the modification revision of every key just written.
    pub revision: Revision,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, relative to the prefix.
    pub key: String,
    /// Its new value; `None` when it was deleted.
    pub value: Option<RawValue>,
    /// The revision of the change.
    pub revision: Revision,
}

/// Why the store gave no result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer in time: a write may have been applied.
    #[error("the store did not answer within {0:?}")]
    NoAnswer(Duration),
    /// The connection failed, or the store answered with an error that says nothing about what was
    /// applied.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store has no space for writes (etcd's `NOSPACE` alarm). Nothing was applied.
    #[error("the store has no space left")]
    NoSpace,
    /// The store refuses these credentials. Nothing was applied.
    #[error("the store refuses the credentials: {0}")]
    Denied(String),
    /// The lease does not exist (any more). Nothing was applied.
    #[error("the store does not know the lease")]
    NoSuchLease,
    /// The watch cannot go on from its revision: read everything again, then watch from there.
    #[error("the store has compacted the revisions before {0}")]
    Compacted(Revision),
}

impl StoreError {
    /// Whether a write that failed so may have been applied all the same.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, StoreError::NoAnswer(_) | StoreError::Failed(_))
    }
}

/// The changes below the prefix, in order.
pub trait Changes {
    /// Waits for the next changes. An error ends the watch. Silence proves nothing: a watch may hang.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when a read is needed first, any other when the stream broke.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Change>, StoreError>>;
}

/// The store, as one cluster's agents use it. Cheap to clone; each clone may have connections of its
/// own.
pub trait Store: Clone {
    /// A running watch.
    type Changes: Changes;

    /// Reads every key below the prefix, linearizably.
    ///
    /// # Errors
    /// Any [`StoreError`] but `NoSuchLease` and `Compacted`.
    fn read_all(&self, within: Duration) -> impl Future<Output = Result<RawSnapshot, StoreError>>;

    /// Runs one transaction.
    ///
    /// # Errors
    /// Any [`StoreError`] but `Compacted`; see [`StoreError::is_ambiguous`].
    fn commit(
        &self,
        txn: Txn,
        within: Duration,
    ) -> impl Future<Output = Result<TxnReply, StoreError>>;

    /// Watches all keys below the prefix for changes after `revision`.
    ///
    /// # Errors
    /// As [`Changes::next`].
    fn watch(
        &self,
        after: Revision,
        within: Duration,
    ) -> impl Future<Output = Result<Self::Changes, StoreError>>;

    /// Grants a lease of at least `ttl`, which the store may lengthen.
    ///
    /// # Errors
    /// Any [`StoreError`] but `NoSuchLease` and `Compacted`.
    fn grant_lease(
        &self,
        ttl: Duration,
        within: Duration,
    ) -> impl Future<Output = Result<LeaseId, StoreError>>;

    /// Keeps a lease alive for its full time again. The answer proves nothing about leadership.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLease`] when it is gone, any other when that is not known.
    fn keep_lease(
        &self,
        lease: LeaseId,
        within: Duration,
    ) -> impl Future<Output = Result<(), StoreError>>;
}
