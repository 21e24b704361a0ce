//! Replication slots, as a server shows them.

use crate::values::Lsn;

/// From this major version of PostgreSQL on a standby can keep logical slots like its primary's by itself.
pub const MAJOR_THAT_SYNCS: u32 = 17;

/// One replication slot of a server. Temporary ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Physical or logical.
    pub kind: SlotKind,
    /// Whether somebody uses it right now.
    pub is_active: bool,
    /// Where the log begins that it keeps; `None` while it keeps none.
    pub restart: Option<Lsn>,
    /// What the consumer of a logical slot has confirmed.
    pub confirmed: Option<Lsn>,
    /// Whether the log that it needs is there.
    pub log: SlotLog,
    /// The oldest transaction whose changes of the catalogs the consumer of a logical slot may still need.
    pub catalog_xmin: Option<u32>,
    /// Whether it keeps rows from being vacuumed (`xmin`): its consumer told so by `hot_standby_feedback`.
    pub keeps_rows: bool,
    /// Whether the server itself keeps it like its primary's (PostgreSQL 17 and later).
    pub is_synced: bool,
    /// Whether standbys may keep it like this (`failover`); `None` where the server does not know that (before 17).
    pub has_failover: Option<bool>,
}

/// What kind of slot it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// For a standby, or whoever receives all log.
    Physical,
    /// For one database's changes.
    Logical {
        /// The database.
        database: String,
        /// The output plugin.
        plugin: String,
    },
}

/// Whether the log that a slot needs is there (`wal_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotLog {
    /// It is.
    Kept,
    /// It may go with the next checkpoint.
    Unreserved,
    /// Some of it is gone: the slot is of no use any more.
    Lost,
}

impl Slot {
    /// A physical slot that nobody uses.
    pub fn physical(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: SlotKind::Physical,
            is_active: false,
            restart: None,
            confirmed: None,
            log: SlotLog::Kept,
            catalog_xmin: None,
            keeps_rows: false,
            is_synced: false,
            has_failover: None,
        }
    }

    /// How far its consumer is: what a copy of it may be moved to.
    pub fn position(&self) -> Option<Lsn> {
        match self.kind {
            SlotKind::Physical => self.restart,
            SlotKind::Logical { .. } => self.confirmed,
        }
    }

    /// How much log it keeps on a server whose log ends there.
    pub fn keeps(&self, end: Lsn) -> u64 {
        self.restart.map_or(0, |restart| restart.bytes_behind(end))
    }
}
