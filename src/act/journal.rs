//! What this node writes down beside its data directory, so that it survives the agent: the terms it
//! has promised, and the destructive step that is under way.

use std::future::Future;
use std::sync::Arc;

use std::cell::RefCell;

use crate::cluster::Loss;
use crate::decide::{Journal, Unfinished};
use crate::values::Term;

/// How many losses are remembered.
const LOSSES_KEPT: usize = 8;

/// Where the journal is kept.
pub trait JournalFile {
    /// Writes the journal down for good: on return it survives a power failure.
    ///
    /// # Errors
    /// When it does not: then nothing may be promised on its strength.
    fn save(&self, journal: &Journal) -> impl Future<Output = std::io::Result<()>>;
}

/// The journal in memory and on disk; the disk comes first.
pub struct Notebook<F> {
    file: F,
    current: RefCell<Arc<Journal>>,
    /// Side work writes beside a job: each writes what the other has written, too.
    writing: tokio::sync::Mutex<()>,
}

impl<F: JournalFile> Notebook<F> {
    /// Starts from what was found on disk.
    pub fn new(file: F, found: Journal) -> Self {
        Self { file, current: RefCell::new(Arc::new(found)), writing: tokio::sync::Mutex::new(()) }
    }

    /// What is written down.
    pub fn read(&self) -> Arc<Journal> {
        Arc::clone(&self.current.borrow())
    }

    /// Promises a term. Promising an earlier one again changes nothing.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn promise(&self, term: Term) -> std::io::Result<()> {
        self.change(|journal| journal.promised = journal.promised.max(term)).await
    }

    /// The store shows a holder of this term.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn saw(&self, term: Term) -> std::io::Result<()> {
        self.change(|journal| journal.seen = journal.seen.max(term)).await
    }

    /// Clients are let read the data of the server that was started then.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn admitted(&self, since: i64) -> std::io::Result<()> {
        self.change(|journal| journal.admitted = Some(since)).await
    }

    /// A destructive step begins, or (with `None`) is finished.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn step(&self, unfinished: Option<Unfinished>) -> std::io::Result<()> {
        self.change(|journal| journal.unfinished = unfinished).await
    }

    /// Writes down what this node is about to give up of its own log.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn lose(&self, loss: Loss) -> std::io::Result<()> {
        self.change(|journal| add_loss(&mut journal.losses, loss)).await
    }

    /// Writes down which slots are made, before they are, and which were dropped.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn slots(&self, made: &[String], dropped: &[String]) -> std::io::Result<()> {
        self.change(|journal| {
            journal.slots.retain(|name| !dropped.contains(name));
            journal.carried.retain(|name| !dropped.contains(name));
            journal.slots.extend(made.iter().cloned());
        })
        .await
    }

    /// Writes down which logical slots are copied from the leader, before they are.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn carries(&self, names: &[String]) -> std::io::Result<()> {
        self.change(|journal| journal.carried.extend(names.iter().cloned())).await
    }

    /// None of this node's slots is a copy any more but for these.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn carries_none_but(&self, names: &[String]) -> std::io::Result<()> {
        self.change(|journal| journal.carried.retain(|name| names.contains(name))).await
    }

    async fn change(&self, change: impl FnOnce(&mut Journal)) -> std::io::Result<()> {
        let _writing = self.writing.lock().await;
        let before = self.read();
        let mut journal = Journal::clone(&before);
        change(&mut journal);
        if journal == *before {
            return Ok(());
        }
        self.file.save(&journal).await?;
        *self.current.borrow_mut() = Arc::new(journal);
        Ok(())
    }
}

/// The same stretch on its next rung stays one loss: when it was first given up is what counts.
fn add_loss(losses: &mut Vec<Loss>, loss: Loss) {
    let is_same = |last: &&mut Loss| {
        (last.timeline, last.from, last.to) == (loss.timeline, loss.from, loss.to)
    };
    match losses.last_mut().filter(is_same) {
        Some(last) => last.step = loss.step,
        None => losses.push(loss),
    }
    let surplus = losses.len().saturating_sub(LOSSES_KEPT);
    losses.drain(..surplus);
}
