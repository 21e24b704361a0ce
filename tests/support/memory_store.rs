//! A store in memory: linear, never late, never wrong unless a test asks for it. Leases do not end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pgbaton::cluster::Cluster;
use pgbaton::dcs::{
    self, Change, Changes, Compare, LeaseId, Op, RawSnapshot, RawValue, Store, StoreError, Txn,
    TxnReply,
};
use pgbaton::values::Revision;
use tokio::sync::watch;

/// What goes wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is applied, and nothing is answered.
    Lost,
    /// It is applied, and nothing is answered.
    AppliedUnanswered,
    /// The key is changed by somebody else just before.
    Overtaken(&'static str),
    /// There is no space.
    NoSpace,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    content: Mutex<Content>,
    revision: watch::Sender<i64>,
}

#[derive(Debug, Default)]
struct Content {
    keys: BTreeMap<String, RawValue>,
    history: Vec<Change>,
    revision: i64,
    next_fault: Option<Fault>,
    silent: bool,
    leases: i64,
}

impl Content {
    fn put(&mut self, key: &str, value: Option<(Bytes, Option<LeaseId>)>) {
        let revision = Revision(self.revision);
        let raw = value.map(|(value, lease)| RawValue { value, mod_revision: revision, lease });
        match &raw {
            Some(raw) => drop(self.keys.insert(key.to_owned(), raw.clone())),
            None => drop(self.keys.remove(key)),
        }
        self.history.push(Change { key: key.to_owned(), value: raw, revision });
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(key, revision) => {
                self.keys.get(key).map_or(Revision::ABSENT, |raw| raw.mod_revision) == *revision
            }
            Compare::Value(key, value) => self.keys.get(key).is_some_and(|raw| raw.value == *value),
        }
    }

    fn run(&mut self, txn: &Txn) -> TxnReply {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        if succeeded && !txn.ops.is_empty() {
            self.revision += 1;
            for op in &txn.ops {
                match op {
                    Op::Put(key, value, lease) => self.put(key, Some((value.clone(), *lease))),
                    Op::Delete(key) => self.put(key, None),
                }
            }
        }
        TxnReply { succeeded, revision: Revision(self.revision) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        let content = Mutex::new(Content { revision: 1, ..Content::default() });
        Self(Arc::new(Inner { content, revision: watch::Sender::new(1) }))
    }
}

impl MemoryStore {
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        let mut content = self.0.content.lock().expect("no test panics while it holds the store");
        let result = change(&mut content);
        self.0.revision.send_replace(content.revision);
        result
    }

    /// Writes a key, as somebody else would.
    pub fn put(&self, key: &str, value: impl Into<Bytes>) -> Revision {
        self.change(|content| {
            content.revision += 1;
            content.put(key, Some((value.into(), None)));
            Revision(content.revision)
        })
    }

    /// Takes a key away, as its lease's end would.
    pub fn remove(&self, key: &str) {
        self.change(|content| {
            content.revision += 1;
            content.put(key, None);
        });
    }

    /// What a key holds now.
    pub fn text(&self, key: &str) -> Option<String> {
        let raw = self.change(|content| content.keys.get(key).cloned())?;
        Some(String::from_utf8_lossy(&raw.value).into_owned())
    }

    /// The cluster, decoded.
    pub fn cluster(&self) -> Cluster {
        dcs::decode(&self.snapshot()).0
    }

    /// Lets the next commit go wrong.
    pub fn fail_next(&self, fault: Fault) {
        self.change(|content| content.next_fault = Some(fault));
    }

    /// Answers nothing from now on.
    pub fn fall_silent(&self) {
        self.change(|content| content.silent = true);
    }

    /// Waits until a key holds something else than `text`.
    pub async fn changed_from(&self, key: &str, text: Option<&str>) {
        let mut revision = self.0.revision.subscribe();
        while self.text(key).as_deref() == text {
            revision.changed().await.expect("the store lives as long as the test");
        }
    }

    fn snapshot(&self) -> RawSnapshot {
        self.change(|content| RawSnapshot {
            revision: Revision(content.revision),
            keys: content.keys.clone(),
        })
    }

    fn answering(&self, within: Duration) -> Result<(), StoreError> {
        let silent = self.change(|content| content.silent);
        if silent { Err(StoreError::NoAnswer(within)) } else { Ok(()) }
    }
}

impl Store for MemoryStore {
    type Changes = MemoryChanges;

    async fn read_all(&self, within: Duration) -> Result<RawSnapshot, StoreError> {
        self.answering(within)?;
        Ok(self.snapshot())
    }

    async fn commit(&self, txn: Txn, within: Duration) -> Result<TxnReply, StoreError> {
        self.answering(within)?;
        match self.change(|content| content.next_fault.take()) {
            None => Ok(self.change(|content| content.run(&txn))),
            Some(Fault::Lost) => Err(StoreError::NoAnswer(within)),
            Some(Fault::AppliedUnanswered) => {
                self.change(|content| content.run(&txn));
                Err(StoreError::NoAnswer(within))
            }
            Some(Fault::Overtaken(key)) => {
                self.put(key, "{\"overtaken\":true}");
                Ok(self.change(|content| content.run(&txn)))
            }
            Some(Fault::NoSpace) => Err(StoreError::NoSpace),
        }
    }

    async fn watch(&self, after: Revision, within: Duration) -> Result<MemoryChanges, StoreError> {
        self.answering(within)?;
        let next = self.change(|content| {
            let seen = |change: &Change| change.revision <= after;
            content.history.iter().take_while(|change| seen(change)).count()
        });
        Ok(MemoryChanges { store: self.clone(), next, revision: self.0.revision.subscribe() })
    }

    async fn grant_lease(&self, _: Duration, within: Duration) -> Result<LeaseId, StoreError> {
        self.answering(within)?;
        Ok(self.change(|content| {
            content.leases += 1;
            LeaseId(content.leases)
        }))
    }

    async fn keep_lease(&self, lease: LeaseId, within: Duration) -> Result<(), StoreError> {
        self.answering(within)?;
        let granted = self.change(|content| (1..=content.leases).contains(&lease.0));
        if granted { Ok(()) } else { Err(StoreError::NoSuchLease) }
    }
}

/// A watch.
pub struct MemoryChanges {
    store: MemoryStore,
    next: usize,
    revision: watch::Receiver<i64>,
}

impl Changes for MemoryChanges {
    async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            let news = self.store.change(|content| content.history[self.next..].to_vec());
            if !news.is_empty() {
                self.next += news.len();
                return Ok(news);
            }
            let ended = || StoreError::Failed("the store is gone".to_owned());
            self.revision.changed().await.map_err(|_| ended())?;
        }
    }
}
