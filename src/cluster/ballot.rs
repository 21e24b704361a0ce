//! What the members answered when they were asked for a promise.

use crate::cluster::Ancestor;
use crate::values::{MemberName, Monotonic, Revision, Term, WalPosition};

/// One member's promise to follow nobody of an earlier term, and where it stands: told only after it
/// stopped receiving, wrote the promise down and finished replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who promised.
    pub name: MemberName,
    /// The end of everything it has.
    pub position: WalPosition,
    /// How its timeline came to be, from its own history file.
    pub ancestors: Vec<Ancestor>,
    /// Whether it may lead (`nofailover`, `failover_priority`).
    pub may_lead: bool,
    /// Its `failover_priority`.
    pub priority: i64,
}

/// Why a member did not promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It sees a holder that renews.
    HolderIsAlive,
    /// It has promised this higher term already.
    Promised(Term),
    /// It is no standby that could vote now; the text says what it is.
    NotAVoter(String),
    /// The same, and it has promised all the same: it will not carry an earlier holder.
    Abstains(String),
    /// It may be carrying the holder's lease; the text says why.
    Carries(String),
    /// It has seen a later term than the store shows it, and builds nothing on that store.
    StoreIsOlder,
}

/// What a seat is taken on the strength of beside the votes. These keys have to be as they were then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The revision of the `failsafe` key, by which those were counted who may carry the last holder.
    pub failsafe: Option<Revision>,
    /// The revision of the `failover` key, where a person's word in it counts.
    pub word: Option<Revision>,
}

/// The answers to one round of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The term that was asked for.
    pub term: Term,
    /// The baton's revision at that time; a ballot is worth nothing once that has changed.
    pub baton: Revision,
    /// The revision of the person's word in answer to which was asked, if there was one: then everybody was
    /// asked of whom there is an address, and given their time.
    pub word: Option<Revision>,
    /// When asking ended: all had answered, or had had their time.
    pub counted_at: Monotonic,
    /// Which round this is since the seat fell vacant, from 1.
    pub round: u32,
    /// Who promised, oneself included.
    pub votes: Vec<Vote>,
    /// Who answered with a refusal.
    pub refusals: Vec<(MemberName, Refusal)>,
    /// Who did not answer. Not answering is not being behind.
    pub silent: Vec<MemberName>,
}
