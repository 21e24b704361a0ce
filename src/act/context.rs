//! What an effect can reach, and what it leaves for the loop to remember.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::failsafe::FailsafeLists;
use super::journal::Notebook;
use super::lease::{Exposure, LeaseOrders};
use super::ports::Ports;
use crate::cluster::{Ballot, Guard, Lineage, Refusal, SyncNames, Versioned, Vote};
use crate::decide::{LeaseSight, Me, Settings, Sight};
use crate::postgres::CopyProgress;
use crate::publish::{Events, Metrics};
use crate::values::{Lsn, MemberName, Monotonic, Revision, Term, Timeline, WalPosition};

/// Something an effect found out, for the loop's memory.
#[derive(Debug)]
pub enum Note {
    /// The answers to a round of asking.
    Ballot(Arc<Ballot>),
    /// A request was answered, so a handover that failed for it need not be tried again.
    RequestTried(Revision, String),
    /// The leader's position was written for Patroni's readers.
    StatusWritten(Monotonic, Lsn),
    /// Commits are being told to wait for the last of these; anything before may have been acknowledged
    /// under any of them.
    NamesTold(Vec<SyncNames>),
    /// The record of synchronous standbys is being written over this revision.
    SyncWrite(Revision),
    /// That was answered.
    SyncWritten,
    /// They do, and everything up to there was acknowledged by them or by earlier names.
    NamesInForce(SyncNames, Lsn),
    /// The user's own names count again.
    NamesLeft,
    /// A write of this agent made the store's revision this one.
    Wrote(Revision),
    /// The agent is to end, with this error or none.
    Leave(Option<String>),
    /// A rewind ended: well, or with what it said where that was about the data.
    Rewound(Result<(), String>),
    /// A rewind was refused by its source, or there is no program for it: what was said.
    RewindRefused(String),
    /// A leader was asked whether it has the log from here on; its name, where it is gone.
    LogAsked(WalPosition, Option<MemberName>),
    /// These logical slots are being copied from the leader.
    CopiesSlots(Monotonic, Vec<String>),
    /// The leader was asked what it keeps for them: by slot, from which transaction on.
    AskedWhatIsKept(Monotonic, BTreeMap<String, u32>),
    /// What was left to archive was archived, or tried to be, of a server whose log ends there.
    Archived(WalPosition),
    /// How far a copy is.
    Copy(CopyProgress),
    /// This node was promoted to this timeline, for the callbacks and the log.
    Promoted(Timeline),
}

/// Where the answer to a promise that somebody asked for goes.
pub type PromiseAnswer = oneshot::Sender<Result<Vote, Refusal>>;

/// What the effects remember from one to the next. Gone with the process.
#[derive(Default)]
pub struct Kept {
    /// The revision of this agent's claim to bootstrap, until the bootstrap is written down.
    pub claim: Cell<Option<Revision>>,
    /// Who waits for a promise, and of which term.
    pub promise_answers: RefCell<Vec<(Term, PromiseAnswer)>>,
    /// The vote this node gave last, worth something until it receives again.
    pub standing_vote: RefCell<Option<(Term, Vote)>>,
    /// The record of promotions as this agent wrote it last.
    pub written_lineage: RefCell<Option<Versioned<Lineage>>>,
    /// The term of the lease as the events last told of it: `None` for none.
    pub lease_told: Cell<Option<Term>>,
    /// The revisions of the baton and of a person's word in the last round of asking, and how many rounds there were.
    pub rounds: Cell<((Revision, Option<Revision>), u32)>,
}

/// What an effect can reach.
pub struct Context<P: Ports> {
    /// The store, for everything but the lease.
    pub store: P::Store,
    /// The local server.
    pub server: P::Server,
    /// The way to the other members.
    pub peers: P::Peers,
    /// The clock.
    pub clock: P::Clock,
    /// What is written down.
    pub notebook: Notebook<P::JournalFile>,
    /// The lease's task.
    pub lease: LeaseOrders,
    /// What the lease's task shows.
    pub lease_sight: watch::Receiver<LeaseSight>,
    /// What the mirror shows.
    pub sight: watch::Receiver<Option<Arc<Sight>>>,
    /// The mark of what may accept writes.
    pub exposure: Exposure<P::Fence>,
    /// The lists of who carries the lease while the store is away.
    pub failsafe: FailsafeLists,
    /// The lease that a bootstrap's claim hangs on.
    pub display: watch::Receiver<Option<crate::dcs::LeaseId>>,
    /// What the effects remember from one to the next.
    pub kept: Kept,
    /// This node.
    pub me: RefCell<Arc<Me>>,
    /// The settings in force.
    pub settings: RefCell<Arc<Settings>>,
    /// The dynamic configuration to write when this node founds a cluster or finds none.
    pub first_config: RefCell<serde_json::Value>,
    /// What the effects leave for the loop.
    pub notes: mpsc::UnboundedSender<Note>,
    /// Counters.
    pub metrics: Metrics,
    /// What happened lately.
    pub events: Events,
}

impl<P: Ports> Context<P> {
    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// This node.
    pub fn me(&self) -> Arc<Me> {
        Arc::clone(&self.me.borrow())
    }

    /// The cluster as last seen; empty before the first read.
    pub fn cluster(&self) -> Arc<crate::cluster::Cluster> {
        let sight = self.sight.borrow();
        sight.as_ref().map(|sight| Arc::clone(&sight.cluster)).unwrap_or_default()
    }

    /// The guard of the lease that this agent holds.
    pub fn guard(&self) -> Option<Guard> {
        let held = self.lease_sight.borrow().held?;
        Some(Guard { term: held.term, incarnation: self.me().incarnation })
    }

    /// Leaves something for the loop.
    pub fn note(&self, note: Note) {
        // The loop outlives every effect; a closed channel means that it is being torn down.
        let _ = self.notes.send(note);
    }
}
