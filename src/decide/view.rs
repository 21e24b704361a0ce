//! Everything a decision may know, at one moment. Built by `observe`; whatever could not be read is
//! there as not known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::carried::CarriedMemory;
use super::decision::Reason;
use super::failsafe::Acceptance;
use super::ladder::Ladder;
use super::slots::SlotMemory;
use crate::cluster::{Ballot, Cluster, Health, Listed, Loss, State, SyncNames};
use crate::config::{DivergedData, Dynamic};
use crate::values::{
    Incarnation, LeaseDeadline, LeaseTimes, Lsn, MemberName, Monotonic, Revision, Term,
};

use super::symptoms::Symptoms;

/// One moment, as this node sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// When this view was put together.
    pub now: Monotonic,
    /// This node.
    pub me: Arc<Me>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The cluster as last read, however long ago; `None` before the first read.
    pub cluster: Option<Arc<Cluster>>,
    /// Who holds the leader's seat.
    pub seat: Seat,
    /// The term of this node's own lease, while it holds one.
    pub my_term: Option<Term>,
    /// Who carries this node's lease while the store does not renew it; empty while it does.
    pub carried_by: Vec<MemberName>,
    /// Whether the store holds nothing of this cluster any more, although this node leads it.
    pub emptied: bool,
    /// What the local server is doing.
    pub server: Arc<State>,
    /// What this node is busy with.
    pub job: Option<Job>,
    /// Whether the server may accept writes: it was started or promoted to, and has not been down
    /// since.
    pub exposed: bool,
    /// Until when the guardian holds the server open under a lease that an earlier start of this agent
    /// left, while it is not known yet whether it still holds it.
    pub left_until: Option<LeaseDeadline>,
    /// What the probes found.
    pub health: Arc<Health>,
    /// Whether side work (checkpoint, slots, status keys) is under way.
    pub upkeep_running: bool,
    /// What this agent remembers from its earlier turns.
    pub memory: Memory,
    /// What is written down on this node's disk.
    pub journal: Arc<Journal>,
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq)]
pub struct Me {
    /// Its name.
    pub name: MemberName,
    /// This start of its agent.
    pub incarnation: Incarnation,
    /// Whether its tags let it lead, and nothing bars it.
    pub may_lead: bool,
    /// What bars it from leading, besides its tags.
    pub barred: Option<String>,
    /// Whether its server is not opened to writes without a watchdog device.
    pub needs_watchdog: bool,
    /// Its `failover_priority`.
    pub priority: i64,
    /// Whether its file says how to bootstrap a cluster.
    pub can_bootstrap: bool,
    /// The member it is to stream from instead of the leader (`replicatefrom`).
    pub replicatefrom: Option<MemberName>,
    /// Whether it streams from nobody, and replays what `restore_command` brings (`nostream`).
    pub nostream: bool,
}

impl Me {
    /// Why this node does not lead: `tagged` where its tags say so, else `barred` with what bars it.
    pub fn why_it_may_not_lead(
        &self,
        tagged: &'static str,
        barred: &'static str,
    ) -> Option<Reason> {
        if self.may_lead {
            return None;
        }
        Some(match &self.barred {
            Some(why) => Reason::with(barred, why.as_str()),
            None => Reason::plain(tagged),
        })
    }
}

/// The settings a decision needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The cluster-wide ones.
    pub dynamic: Dynamic,
    /// What follows from `ttl`.
    pub times: LeaseTimes,
    /// How long a start may take where nobody waits for a primary (`pg_ctl_timeout`).
    pub start_within: Duration,
    /// Whether a diverged directory may be rewound.
    pub use_pg_rewind: bool,
    /// Whether members' slots are kept.
    pub use_slots: bool,
    /// Whether standbys carry permanent logical slots along.
    pub carries_logical_slots: bool,
    /// Whether a commit waits until standbys have replayed it (`synchronous_commit: remote_apply`).
    pub remote_apply: bool,
    /// Whether a directory that cannot be rewound may be removed and copied anew.
    pub remove_diverged: bool,
    /// Whether a directory whose rewind failed may be removed and copied anew.
    pub remove_after_failed_rewind: bool,
    /// What becomes of data that went another way and cannot be rewound, where neither is set.
    pub diverged_data: DivergedData,
    /// How many old data directories are kept aside.
    pub keep_aside: u32,
    /// How much log slots may keep, in bytes (`max_slot_wal_keep_size`, or our default where it is
    /// without bound).
    pub slots_may_keep: u64,
    /// Whether a standby also gets its log through a `restore_command`.
    pub has_archive: bool,
}

/// Who holds the leader's seat, as far as it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// This start of this agent.
    Mine(LeaseDeadline),
    /// Offered by name to this start of this agent, which has not accepted yet.
    Offered,
    /// Somebody else (or an earlier start of this agent); see the cluster's baton.
    Held {
        /// When this node learned the baton's last change, by its own clock.
        changed_at: Monotonic,
    },
    /// Nobody.
    Vacant(Vacancy),
    /// The store did not answer. Never treated as `Vacant`.
    Unknown,
}

/// Why the seat is vacant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// There never was a holder.
    NeverHeld,
    /// The holder gave it up.
    Released,
    /// The holder was silent for a whole `ttl`, by this node's own clock.
    Silent,
}

/// Something this node is busy with, beside its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What.
    pub kind: JobKind,
    /// Since when.
    pub since: Monotonic,
}

/// What a node can be busy with: the effect that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Making the first data of a cluster.
    Bootstrap,
    /// Copying another member's data.
    Copy,
    /// Rewinding a diverged directory, recovery included.
    Rewind,
    /// Starting the server.
    Start,
    /// Stopping or killing the server.
    Stop,
    /// Taking the seat and promoting.
    Promote,
    /// Handing the seat over.
    HandOver,
    /// Asking the others, or answering one of them.
    Vote,
    /// Anything short.
    Other,
}

/// What this agent remembers from its earlier turns. Gone with the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The answers to the last round of asking.
    pub ballot: Option<Arc<Ballot>>,
    /// Since when the seat has been vacant in this node's eyes.
    pub vacant_since: Option<Monotonic>,
    /// Since when this node leads and its server does not accept writes.
    pub unserved_since: Option<Monotonic>,
    /// How often the server ended while this node led, in this span of not being served.
    pub starts_failed: u32,
    /// The last effect that failed, with when, why and how often in a row.
    pub failure: Option<Failure>,
    /// A promise somebody asks for, to be answered this turn.
    pub promise_asked: Option<Term>,
    /// Whom this node has accepted last while the store was away.
    pub accepted: Option<Acceptance>,
    /// When this agent was started: what it had accepted before is not known.
    pub started_at: Option<Monotonic>,
    /// The latest revision that the store has shown.
    pub store_revision: Revision,
    /// Where the members' agents were when the store last showed a holder.
    pub known_members: Arc<Listed>,
    /// Members of a failsafe list of three or more whose keys have run out since, and which stream from here.
    pub keyless: Listed,
    /// Whether the agent was told to stop.
    pub stop_asked: bool,
    /// Which server is to be restarted, by when it was started (Unix time in microseconds), until another
    /// one runs in its place.
    pub restart_of: Option<i64>,
    /// What the leader found wrong with the pending request, by the request's revision: said once.
    pub request_tried: Option<(Revision, String)>,
    /// The pending request, by its revision, and since when this node has known of it.
    pub request_since: Option<(Revision, Monotonic)>,
    /// Since when the local standby has stood where the cluster's history does not go.
    pub diverged_since: Option<Monotonic>,
    /// What is known of whom commits wait for.
    pub sync: SyncMemory,
    /// The revision over which a change of the record of synchronous standbys was sent that was not
    /// answered: as long as the record has that revision, it may still be applied.
    pub sync_write: Option<Revision>,
    /// When the leader last wrote down its position for Patroni's readers, and which.
    pub status_written: Option<(Monotonic, Lsn)>,
    /// What was tried on the way back into the cluster.
    pub ladder: Ladder,
    /// What is known of slots whose members are gone.
    pub slots: SlotMemory,
    /// What is known of the logical slots that this standby carries along.
    pub carried: CarriedMemory,
    /// What has to last before it means something.
    pub symptoms: Symptoms,
    /// The store's revision after this agent's last write: before the view shows it, the view does
    /// not show what was written.
    pub wrote: Revision,
}

/// What an agent knows of whom the commits of its server wait for, since that server is a primary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncMemory {
    /// All names under which something may have been acknowledged that not enough members of those in
    /// force are known to have; those told last at the end. Empty while nothing is known.
    pub possible: Vec<SyncNames>,
    /// Where the log ended when the last of them were in force everywhere; `None` before.
    pub in_force_at: Option<Lsn>,
    /// Whether enough of them have everything up to there.
    pub caught_up: bool,
    /// Since when no standby could be waited for.
    pub lonely_since: Option<Monotonic>,
    /// Whether clients are let in: enough standbys have what this primary began with.
    pub admits: bool,
    /// When the server was started, Unix time in microseconds, while it admits.
    pub admitted: Option<i64>,
}

/// An effect that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub kind: JobKind,
    /// When it failed.
    pub at: Monotonic,
    /// Why, as a chain of causes.
    pub reason: String,
    /// How often in a row.
    pub times: u32,
}

impl View {
    /// The cluster's state; an empty one before the first read.
    pub fn cluster(&self) -> std::borrow::Cow<'_, Cluster> {
        match &self.cluster {
            Some(cluster) => std::borrow::Cow::Borrowed(cluster),
            None => std::borrow::Cow::Owned(Cluster::default()),
        }
    }

    /// Whether the last failure was of this kind and its pause is not over; until when.
    pub fn resting_until(&self, kind: JobKind) -> Option<Monotonic> {
        let failure = self.memory.failure.as_ref().filter(|failure| failure.kind == kind)?;
        let until = failure.at + failure.pause(self.settings.times.renewal_period);
        (self.now < until).then_some(until)
    }
}

impl Failure {
    /// How long to wait before the next try: the tick, doubled with each failure, a minute at most.
    pub fn pause(&self, tick: Duration) -> Duration {
        (tick * 2_u32.saturating_pow(self.times.saturating_sub(1).min(6)))
            .min(Duration::from_secs(60))
    }
}

/// What is written down beside the data directory, and survives the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The highest term this node has promised: it follows no leader of an earlier one.
    pub promised: Term,
    /// The highest term that the store ever showed a holder of: a store that shows less is not the one
    /// that this node knows.
    pub seen: Term,
    /// A destructive step that was begun and not finished: the directory must not be started.
    pub unfinished: Option<Unfinished>,
    /// What this node gave up of its own log, oldest first; written down before it is done.
    pub losses: Vec<Loss>,
    /// The names of the slots that this node's agents made, and did not drop again: these may be dropped.
    pub slots: BTreeSet<String>,
    /// The logical slots that were copied from a leader since this node last led.
    pub carried: BTreeSet<String>,
    /// When the server was started, Unix time in microseconds, of which clients were let read what its synchronous
    /// standbys have: an agent that finds it running need not find that out anew.
    pub admitted: Option<i64>,
}

/// A step that leaves the data directory unusable until it is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfinished {
    /// The directory is this node's own bootstrap, not yet the cluster's.
    Bootstrap,
    /// The directory is a copy that is not complete.
    Copy,
    /// The directory is being rewound.
    Rewind,
    /// The directory is being set aside.
    SetAside,
}
