//! The store as one state machine: revisions, transactions, leases with a mind of their own. How
//! agents reach it, and what gets lost on the way, is `store`'s and `watch`'s business.

mod store;
mod watch;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use pgbaton::dcs::{
    Change, Compare, LeaseId, Op, RawSnapshot, RawValue, StoreError, Txn, TxnReply,
};
use pgbaton::values::Revision;
use tokio::sync::Notify;

pub use store::{Author, SimStore};

/// A lease as etcd keeps it: longer than asked, and ended late.
struct Lease {
    ttl: Duration,
    ends_at: Duration,
}

/// The store.
pub struct Etcd {
    revision: Revision,
    keys: BTreeMap<String, RawValue>,
    log: Vec<(Duration, Change)>,
    compacted: Revision,
    leases: BTreeMap<LeaseId, Lease>,
    granted: i64,
    shortest: Duration,
    /// Whether a majority of its members works.
    pub up: bool,
    /// Whether puts are refused for want of space.
    pub full: bool,
    /// Told whenever something changes, faults included.
    pub changed: Rc<Notify>,
}

impl Etcd {
    /// An empty store that grants no lease shorter than `shortest`.
    pub fn new(shortest: Duration) -> Self {
        Self {
            revision: Revision(1),
            keys: BTreeMap::new(),
            log: Vec::new(),
            compacted: Revision(0),
            leases: BTreeMap::new(),
            granted: 0,
            shortest,
            up: true,
            full: false,
            changed: Rc::new(Notify::new()),
        }
    }

    /// Everything, as it is now.
    pub fn snapshot(&self) -> RawSnapshot {
        RawSnapshot { revision: self.revision, keys: self.keys.clone() }
    }

    /// One key.
    pub fn key(&self, key: &str) -> Option<&RawValue> {
        self.keys.get(key)
    }

    /// Runs a transaction at `now`.
    pub fn apply(&mut self, txn: &Txn, now: Duration) -> Result<TxnReply, StoreError> {
        let puts = txn.ops.iter().any(|op| matches!(op, Op::Put(..)));
        if self.full && puts {
            return Err(StoreError::NoSpace);
        }
        let unknown_lease = txn.ops.iter().any(|op| match op {
            Op::Put(_, _, Some(lease)) => !self.leases.contains_key(lease),
            Op::Put(_, _, None) | Op::Delete(_) => false,
        });
        if !txn.compares.iter().all(|compare| self.matches(compare)) {
            return Ok(TxnReply { succeeded: false, revision: self.revision });
        }
        if unknown_lease {
            return Err(StoreError::NoSuchLease);
        }
        self.write(&txn.ops, now);
        Ok(TxnReply { succeeded: true, revision: self.revision })
    }

    fn matches(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(key, revision) => {
                self.keys.get(key).map_or(Revision::ABSENT, |found| found.mod_revision) == *revision
            }
            Compare::Value(key, value) => {
                self.keys.get(key).is_some_and(|found| found.value == *value)
            }
        }
    }

    fn write(&mut self, ops: &[Op], now: Duration) {
        let revision = Revision(self.revision.0 + 1);
        for op in ops {
            let (key, value) = match op {
                Op::Put(key, value, lease) => {
                    let (value, lease) = (value.clone(), *lease);
                    let value = RawValue { value, mod_revision: revision, lease };
                    self.keys.insert(key.clone(), value.clone());
                    (key, Some(value))
                }
                Op::Delete(key) => {
                    if self.keys.remove(key).is_none() {
                        continue;
                    }
                    (key, None)
                }
            };
            self.revision = revision;
            self.log.push((now, Change { key: key.clone(), value, revision }));
        }
        self.changed.notify_waiters();
    }

    /// Grants a lease.
    pub fn grant(&mut self, ttl: Duration, now: Duration) -> Result<LeaseId, StoreError> {
        if self.full {
            return Err(StoreError::NoSpace);
        }
        self.granted += 1;
        let lease = LeaseId(self.granted);
        let ttl = Duration::from_secs(ttl.as_millis().div_ceil(1000) as u64).max(self.shortest);
        self.leases.insert(lease, Lease { ttl, ends_at: now + ttl });
        Ok(lease)
    }

    /// Keeps a lease.
    pub fn keep(&mut self, lease: LeaseId, now: Duration) -> Result<(), StoreError> {
        let kept = self.leases.get_mut(&lease).ok_or(StoreError::NoSuchLease)?;
        kept.ends_at = now + kept.ttl;
        Ok(())
    }

    /// Whether a lease is there.
    pub fn has_lease(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// Ends leases that ran out, at the next of the half-second scans.
    pub fn expire(&mut self, now: Duration) {
        if !self.up || !now.as_millis().is_multiple_of(500) {
            return;
        }
        let ended: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.ends_at <= now)
            .map(|(lease, _)| *lease)
            .collect();
        for lease in ended {
            self.leases.remove(&lease);
            let keys = self.keys.iter().filter(|(_, value)| value.lease == Some(lease));
            let ops: Vec<Op> = keys.map(|(key, _)| Op::Delete(key.clone())).collect();
            if !ops.is_empty() {
                self.write(&ops, now);
            }
        }
    }

    /// A new leader of etcd lets every lease live for its full time and an election on top.
    pub fn lengthen_leases(&mut self, now: Duration, election: Duration) {
        for lease in self.leases.values_mut() {
            lease.ends_at = now + lease.ttl + election;
        }
    }

    /// Forgets all revisions before the present one.
    pub fn compact(&mut self) {
        self.compacted = self.revision;
        self.changed.notify_waiters();
    }

    /// What happened after `after`, up to `until`.
    ///
    /// # Errors
    /// When some of it was compacted away.
    pub fn changes(&self, after: Revision, until: Duration) -> Result<Vec<Change>, StoreError> {
        if after < self.compacted {
            return Err(StoreError::Compacted(self.compacted));
        }
        let from = self.log.partition_point(|(_, change)| change.revision <= after);
        let seen = self.log[from..].iter().take_while(|(at, _)| *at <= until);
        Ok(seen.map(|(_, change)| change.clone()).collect())
    }

    /// When the first change after `after` happened.
    pub fn next_change(&self, after: Revision) -> Option<Duration> {
        let from = self.log.partition_point(|(_, change)| change.revision <= after);
        self.log.get(from).map(|(at, _)| *at)
    }
}
