//! A decision: why, and what is to be done about it, leaving the executor nothing to choose.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{
    Basis, Lineage, Listed, Loss, Outcome, Refusal, StartAs, StopMode, SyncNames, SyncState,
    Upstream, Versioned,
};
use crate::config::PermanentSlot;
use crate::values::{
    Incarnation, Lsn, MemberName, Monotonic, Revision, SystemId, Term, Timeline, WalPosition,
};

use super::view::{JobKind, Unfinished};

/// What to do this turn, and why.
#[must_use = "a decision that is not carried out is a lost turn"]
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Why; its text is shared by the log line, the REST body and the metric label.
    pub reason: Reason,
    /// What kind of work the effects are, for the status and for the next turns' views.
    pub kind: JobKind,
    /// Drop what this node is busy with first.
    pub interrupt: bool,
    /// In order; each may rely on the ones before it.
    pub effects: Vec<Effect>,
    /// Side work that may go on while the loop turns and other effects run.
    pub upkeep: Vec<Effect>,
    /// When something changes without an event: look again then, at the latest.
    pub look_again_at: Option<Monotonic>,
}

impl Decision {
    /// Does nothing, for a reason.
    pub fn wait(reason: Reason) -> Self {
        Self {
            reason,
            kind: JobKind::Other,
            interrupt: false,
            effects: Vec::new(),
            upkeep: Vec::new(),
            look_again_at: None,
        }
    }

    /// Does `effects`, for a reason.
    pub fn act(reason: Reason, kind: JobKind, effects: Vec<Effect>) -> Self {
        Self { kind, effects, ..Self::wait(reason) }
    }

    /// The same, dropping first what this node is busy with.
    pub fn interrupting(mut self) -> Self {
        self.interrupt = true;
        self
    }

    /// The same, with side work.
    pub fn with_upkeep(mut self, upkeep: Vec<Effect>) -> Self {
        self.upkeep = upkeep;
        self
    }

    /// The same, with a time to look again.
    pub fn and_look_again_at(mut self, moment: Monotonic) -> Self {
        self.look_again_at = Some(self.look_again_at.map_or(moment, |at| at.min(moment)));
        self
    }
}

/// One thing to do. Everything it needs is in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Create the `initialize` key, empty, on this agent's own lease: only one node bootstraps.
    ClaimInitialize,
    /// Give the claim up again.
    DropClaim,
    /// Write down that a step begins which leaves the directory unusable until it is finished.
    Begin(Unfinished),
    /// Write down that it is finished.
    Finish,
    /// `initdb`.
    InitializeData,
    /// Remove the data directory's content, which this node made itself or may remove.
    RemoveData,
    /// Create the accounts and run `post_bootstrap`.
    CreateAccounts,
    /// Write the identifier, the dynamic configuration and the first promotion, guarded.
    FinishBootstrap,
    /// Ask every member for its promise to this term, and for its position.
    CollectVotes {
        /// The term.
        term: Term,
        /// The baton's revision that is to be replaced.
        baton: Revision,
        /// The revision of a person's word that is to count: who answers all the same matters then.
        word: Option<Revision>,
    },
    /// Get the log up to here from a voter, which has it and may not lead.
    FetchLog(Fetch),
    /// Promise the term that somebody asked for, and tell this node's position.
    Promise {
        /// The term.
        term: Term,
    },
    /// Answer a promise that was asked for with a refusal.
    RefusePromise(Refusal),
    /// Replace the baton by compare-and-swap on this revision.
    TakeBaton {
        /// What must still be there.
        baton: Revision,
        /// The new term.
        term: Term,
        /// What must be unchanged beside it.
        basis: Basis,
    },
    /// The first renewal of a baton that was offered by name.
    AcceptOffer,
    /// Go on under the lease that an earlier start of this agent left, if the store says that it holds it.
    ResumeLease,
    /// Give a term that was promised to somebody else a holder: this one.
    RaiseTerm(Term),
    /// Write down, guarded, what is about to be promoted. The timeline is the one that
    /// PostgreSQL will choose once the burnt ids are planted.
    RecordIntent {
        /// The record with whatever was witnessed meanwhile; the intent is added to it.
        known: Arc<Versioned<Lineage>>,
    },
    /// Plant the burnt ids, clear `restore_command`, promote. Refused by the executor once the
    /// lease's deadline lies too near.
    Promote,
    /// Record the promotion as done, guarded.
    RecordPromotion,
    /// Start the server.
    Start {
        /// As what.
        start_as: StartAs,
        /// The bound.
        within: Duration,
    },
    /// Stop the server.
    Stop {
        /// How.
        mode: StopMode,
        /// The bound; what runs longer is killed by a later decision.
        within: Duration,
    },
    /// Kill every process of the server.
    Kill,
    /// Give the baton up, for whoever is fit. Asserted: the server is down or in recovery.
    Release,
    /// The same, without asking the server's files where its log ends: their disk may not answer.
    ReleaseUnread,
    /// Wait until the candidate has everything up to the end of the shut-down server's log.
    AwaitReceived {
        /// The candidate.
        candidate: MemberName,
        /// The bound.
        within: Duration,
    },
    /// Hand the baton over to one agent, by name. Asserted: the server is down.
    Offer {
        /// The successor.
        to: MemberName,
        /// The start of its agent.
        incarnation: Incarnation,
    },
    /// Answer the pending request and clear it, guarded.
    AnswerRequest(Outcome),
    /// Stream from this upstream, without a restart.
    Follow(Option<Upstream>),
    /// Copy this member's data into the empty directory.
    CopyFrom(Upstream),
    /// Bring a crashed directory to a clean stop.
    RecoverAlone,
    /// Remove the history files of these timelines, which a standby would wait for in vain.
    LeaveTimelines(Vec<Timeline>),
    /// Have what the former primary had not archived archived.
    ArchiveLeft(LeftToArchive),
    /// Rewind the stopped directory against this member.
    Rewind(Upstream),
    /// Write down what this node is about to give up of its own log: journal, log, store.
    RecordLoss(Loss),
    /// Make sure of something before a step that leaves nothing else to do.
    Check(Check),
    /// Keep the data directory under a dated name, and remove the oldest of what is kept so.
    SetAside {
        /// How many old directories are kept.
        keep: u32,
    },
    /// Ask this member whether it still has the log from this position on.
    AskForLog {
        /// Whom.
        upstream: Upstream,
        /// From where.
        from: WalPosition,
    },
    /// Change something of synchronous replication.
    Sync(SyncChange),
    /// Checkpoint.
    Checkpoint,
    /// Have these slots, and not those.
    ArrangeSlots {
        /// Create what is missing.
        wanted: Vec<String>,
        /// Drop what is inactive.
        unwanted: Vec<String>,
    },
    /// Make a logical slot.
    MakeLogicalSlot {
        /// Its name.
        name: String,
        /// The database it is of.
        database: String,
        /// Its output plugin.
        plugin: String,
    },
    /// Move physical slots of a standby on.
    AdvanceSlots(Vec<(String, Lsn)>),
    /// What has to do with logical slots that a standby carries along.
    Carry(Carry),
    /// Write the leader's position and its slots', guarded.
    WriteStatus {
        /// The leader's position.
        optime: Lsn,
        /// How far each slot's consumer is.
        slots: BTreeMap<String, Lsn>,
        /// The slots that are kept for members that are gone.
        retained: Vec<String>,
    },
    /// Write the finished timelines for people, guarded.
    WriteHistory,
    /// Write who is asked while the store is away, guarded, over what was read; or remove the key.
    WriteFailsafe {
        /// The listed members; `None` removes the key.
        list: Option<Listed>,
        /// What is replaced.
        read_at: Revision,
    },
    /// Promise the term that somebody asked for, without a vote.
    PromiseWithoutVote {
        /// The term.
        term: Term,
        /// Why there is no vote.
        why: String,
    },
    /// Write down that the store has shown a holder of this term.
    RememberTerm(Term),
    /// Write down that clients are let read the data of the server that was started then, Unix time in microseconds.
    RememberAdmitted(i64),
    /// Take the baton in a store that was emptied, if no member that answers knows a later term.
    Refound {
        /// The new term.
        term: Term,
        /// Where the members' agents are.
        members: Listed,
    },
    /// Write the identifier into a missing or unreadable `initialize` key, guarded.
    RepairInitialize(SystemId),
    /// Write the dynamic configuration into a missing `config` key, guarded.
    RepairConfig,
    /// End the agent: it was told to stop, and nothing is left to do.
    Leave,
    /// End the agent with an error, which is a person's to mend.
    Exit(String),
}

/// What there is to do for logical slots that a standby carries along.
#[derive(Clone, Debug, PartialEq)]
pub enum Carry {
    /// Get these from the leader, for the next start of the standby.
    Copy {
        /// The leader.
        from: Upstream,
        /// Which.
        slots: Vec<PermanentSlot>,
    },
    /// Ask the leader what it keeps for those that were copied.
    AskWhatIsKept {
        /// The leader.
        of: Upstream,
        /// Their names.
        names: Vec<String>,
    },
    /// Move them on: name, database, position.
    Advance(Vec<(String, String, Lsn)>),
    /// No slot is a copy any more but for these, which are dropped.
    KeepNoneBut(Vec<String>),
}

/// What is made sure of before a destructive step.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// A rewind could ask this member.
    Source(Upstream),
    /// The directory could be set aside, and a copy would find room beside it.
    Aside {
        /// How many old directories are kept.
        keep: u32,
    },
}

/// What a former primary may archive: log that is on the cluster's history, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftToArchive {
    /// Segments that end before this position.
    pub before: Lsn,
    /// The histories of these timelines.
    pub timelines: Vec<Timeline>,
    /// Where its log ends.
    pub end: WalPosition,
}

/// Log that a voter has and a candidate lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// Whose.
    pub from: Upstream,
    /// Up to where.
    pub upto: WalPosition,
    /// The bound.
    pub within: Duration,
}

/// A change of synchronous replication.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncChange {
    /// Write down, guarded, who may be promoted. Refused by the executor where anything could have been
    /// acknowledged that they need not have.
    Record {
        /// What to write.
        state: SyncState,
        /// The key's revision that this replaces.
        over: Revision,
        /// The names under which something may have been acknowledged.
        possible: Vec<SyncNames>,
    },
    /// Remove that record, guarded: synchronous replication is off.
    Forget(Revision),
    /// Have commits wait for these.
    SetNames {
        /// For whom.
        names: SyncNames,
        /// The names under which something may have been acknowledged so far.
        possible: Vec<SyncNames>,
        /// Whether more of them are waited for than before.
        raises_count: bool,
    },
    /// Have commits wait for whom the user's own settings say.
    LeaveNames,
}

/// Why a decision was made. The label is one of a fixed set (metrics, tests); the detail is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of a fixed set.
    pub label: &'static str,
    /// What is particular to this time; empty where there is nothing.
    pub detail: String,
}

impl Reason {
    /// A reason without detail.
    pub const fn plain(label: &'static str) -> Self {
        Self { label, detail: String::new() }
    }

    /// A reason with detail.
    pub fn with(label: &'static str, detail: impl Into<String>) -> Self {
        Self { label, detail: detail.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
