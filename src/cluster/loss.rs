//! What a node gave up of its own log on its way back into the cluster.

use crate::values::{Lsn, Timeline};

/// A stretch of log that the cluster's history does not have, and that this node had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it was written down, Unix time in microseconds.
    pub at_micros: i64,
    /// The timeline it ends on.
    pub timeline: Timeline,
    /// Where the cluster's history and this node's parted; `None` where their records do not meet.
    pub from: Option<Lsn>,
    /// Where this node's log ended.
    pub to: Lsn,
    /// Whether `to` is the end; else it went at least that far.
    pub is_exact: bool,
    /// What became of it.
    pub step: LossStep,
}

/// What becomes of log that the cluster's history does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossStep {
    /// It is rewound over.
    Rewind,
    /// It is kept in the old data directory, aside.
    SetAside,
    /// It is removed with the data directory.
    Remove,
}

impl LossStep {
    /// The word for logs, keys and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            LossStep::Rewind => "rewind",
            LossStep::SetAside => "set aside",
            LossStep::Remove => "remove",
        }
    }
}

impl Loss {
    /// How many bytes of log; `None` where it is not known where they began.
    pub fn bytes(&self) -> Option<u64> {
        Some(self.from?.bytes_behind(self.to))
    }
}
