//! What this node writes down beside its data directory, so that it survives the agent: the terms it
//! has promised, and the destructive step that is under way.

use std::future::Future;
use std::rc::Rc;

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
    current: Rc<RefCell<Journal>>,
}

impl<F: JournalFile> Notebook<F> {
    /// Starts from what was found on disk.
    pub fn new(file: F, found: Journal) -> Self {
        Self { file, current: Rc::new(RefCell::new(found)) }
    }

    /// What is written down.
    pub fn read(&self) -> Journal {
        self.current.borrow().clone()
    }

    /// Promises a term. Promising an earlier one again changes nothing.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn promise(&self, term: Term) -> std::io::Result<()> {
        let current = self.read();
        if current.promised >= term {
            return Ok(());
        }
        self.write(Journal { promised: term, ..current }).await
    }

    /// A destructive step begins, or (with `None`) is finished.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn step(&self, unfinished: Option<Unfinished>) -> std::io::Result<()> {
        let current = self.read();
        if current.unfinished == unfinished {
            return Ok(());
        }
        self.write(Journal { unfinished, ..current }).await
    }

    /// Writes down what this node is about to give up of its own log.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn lose(&self, loss: Loss) -> std::io::Result<()> {
        let mut current = self.read();
        let is_same = |last: &Loss| {
            (last.timeline, last.from, last.to) == (loss.timeline, loss.from, loss.to)
        };
        // The same stretch on its next rung: when it was first given up is what counts.
        match current.losses.last_mut().filter(|last| is_same(last)) {
            Some(last) if last.step == loss.step => return Ok(()),
            Some(last) => last.step = loss.step,
            None => current.losses.push(loss),
        }
        let surplus = current.losses.len().saturating_sub(LOSSES_KEPT);
        current.losses.drain(..surplus);
        self.write(current).await
    }

    async fn write(&self, journal: Journal) -> std::io::Result<()> {
        self.file.save(&journal).await?;
        *self.current.borrow_mut() = journal;
        Ok(())
    }
}
