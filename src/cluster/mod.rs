//! The shared state of one cluster as plain data: what the store holds, without how it is spelled
//! there (`dcs::codec` knows that) and without how it is reached.

mod ballot;
mod baton;
mod failsafe;
mod health;
mod lineage;
mod loss;
mod member;
mod quorum;
mod recovered;
mod request;
mod server;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use ballot::{Ballot, Basis, Refusal, Vote};
pub use baton::{Baton, BatonState, Guard};
pub use failsafe::{
    FailsafeAsk, Listed, NotAccepted, acceptances_needed, accepting, strangers, strangers_needed,
};
pub use health::{Finding, Health, ProbeFailures, Trouble};
pub use lineage::{Ancestor, Lineage, Promotion, PromotionState, Standing};
pub use loss::{Loss, LossStep};
pub use member::{COMPATIBLE_VERSION, Member, MemberState, ReplicationState, Role, UNFIT};
pub use quorum::{Step, SyncNames, Voters, next_step, on_promotion, resumed};
pub use recovered::Recovered;
pub use request::{Outcome, Request};
pub use server::{
    Control, ControlState, Downstream, Look, PrimaryFacts, Receiver, StandbyFacts, StartAs, State,
    StopMode, Upstream,
};

pub use slot::{MAJOR_THAT_SYNCS, Slot, SlotKind, SlotLog};

use crate::values::{Incarnation, Lsn, MemberName, Revision, SystemId, Term};

/// A value with the revision of the key it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What the key holds.
    pub value: T,
    /// The key's modification revision.
    pub revision: Revision,
}

/// What the `initialize` key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialize {
    /// Some node is bootstrapping right now (the key is there and empty).
    Claimed,
    /// The cluster's data has this identifier.
    Done(SystemId),
}

/// One finished timeline as Patroni's `/history` key shows it to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where it ended.
    pub lsn: Lsn,
    /// Why, as PostgreSQL's history file says.
    pub reason: String,
    /// When the next one began, ISO 8601; only where it was recorded.
    pub timestamp: Option<String>,
    /// Who began the next one; only where it was recorded.
    pub new_leader: Option<MemberName>,
}

/// What one agent says of itself under our own prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The start of the agent that published it.
    pub incarnation: Incarnation,
    /// The highest term the agent has promised.
    pub promised: Term,
}

/// What Patroni's `/sync` key says: who may be promoted in synchronous mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The leader that wrote it; `None` when synchronous mode is not active.
    pub leader: Option<MemberName>,
    /// The listed standbys.
    pub standbys: Vec<MemberName>,
    /// Patroni's `quorum` number.
    pub quorum: u32,
}

/// Everything below the cluster's prefix, decoded. What could not be decoded is absent here and was
/// reported by the decoder. A busy cluster makes many of these a second: what is large and seldom changes is shared
/// between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// The store's revision at which all of this was true.
    pub revision: Revision,
    /// Our lease.
    pub baton: Option<Versioned<Baton>>,
    /// The guard: term and incarnation that every leader's write is compared with.
    pub guard: Option<Versioned<Guard>>,
    /// Patroni's `leader` key.
    pub leader: Option<Versioned<MemberName>>,
    /// Patroni's `members/<name>` keys.
    pub members: BTreeMap<MemberName, Arc<Member>>,
    /// What our agents say of themselves, by member name.
    pub presences: BTreeMap<MemberName, Presence>,
    /// Patroni's `initialize` key.
    pub initialize: Option<Versioned<Initialize>>,
    /// Which start of which agent has claimed the bootstrap.
    pub claimant: Option<Incarnation>,
    /// Patroni's `config` key: the dynamic configuration.
    pub config: Option<Versioned<Arc<serde_json::Value>>>,
    /// Patroni's `status` key: the leader's last published position.
    pub optime: Option<Lsn>,
    /// How far the consumers of the leader's slots are, by that key.
    pub slot_positions: BTreeMap<String, Lsn>,
    /// The slots that the leader keeps for members that are gone, by that key.
    pub retained_slots: Vec<String>,
    /// Patroni's `failover` key, with its revision also when it asks for nothing.
    pub request: Option<Versioned<Option<Request>>>,
    /// What became of the last request.
    pub outcome: Option<Outcome>,
    /// Patroni's `history` key.
    pub history: Option<Versioned<Vec<HistoryEntry>>>,
    /// Ours: up to which term a person has accepted a store that went back.
    pub recovered: Option<Versioned<Recovered>>,
    /// Our record of promotions, intended and done.
    pub lineage: Option<Versioned<Lineage>>,
    /// What each member gave up of its own log when it came back, oldest first.
    pub losses: BTreeMap<MemberName, Vec<Loss>>,
    /// Patroni's `sync` key.
    pub sync: Option<Versioned<SyncState>>,
    /// Patroni's `failsafe` key.
    pub failsafe: Option<Versioned<Listed>>,
}

impl Cluster {
    /// The members, by name.
    pub fn each_member(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(Arc::as_ref)
    }

    /// The member of this name.
    pub fn member(&self, name: &MemberName) -> Option<&Member> {
        self.members.get(name).map(Arc::as_ref)
    }

    /// The switchover or failover that was asked for, if any.
    pub fn pending_request(&self) -> Option<&Request> {
        self.request.as_ref().and_then(|request| request.value.as_ref())
    }

    /// Who leads, or is offered the lead, and is there, as far as the store tells. The leader key outlives an agent that is gone; what the
    /// agent says of itself does not, and another start of it is another agent.
    pub fn present_leader(&self) -> Option<&MemberName> {
        let holder = self.baton.as_ref().map(|baton| &baton.value.holder);
        let leader = self.leader.as_ref().map(|leader| &leader.value);
        // The leader key of an agent of another kind, which has no baton.
        let of_another = leader.filter(|name| Some(*name) != holder);
        if let Some(leader) = of_another.filter(|name| self.members.contains_key(*name)) {
            return Some(leader);
        }
        let baton = &self.baton.as_ref()?.value;
        let is_there = self
            .presences
            .get(&baton.holder)
            .is_some_and(|presence| presence.incarnation == baton.incarnation);
        (baton.state != BatonState::Released && is_there).then_some(&baton.holder)
    }

    /// The baton's term, whoever holds it; the lowest where there is none.
    pub fn term(&self) -> Term {
        self.baton.as_ref().map_or(Term::ZERO, |baton| baton.value.term)
    }

    /// The revision of the baton, for a compare-and-swap.
    pub fn baton_revision(&self) -> Revision {
        self.baton.as_ref().map_or(Revision::ABSENT, |baton| baton.revision)
    }

    /// Whether a person has accepted this store for what it is, and nobody has led since.
    pub fn was_recovered(&self) -> bool {
        self.recovered.as_ref().is_some_and(|recovered| recovered.value.term >= self.term())
    }

    /// The recorded promotions; the empty record where the cluster has none yet.
    pub fn lineage(&self) -> Lineage {
        self.lineage.as_ref().map(|lineage| lineage.value.clone()).unwrap_or_default()
    }

    /// The highest term that anybody is known to have promised or taken.
    pub fn highest_term(&self) -> Term {
        let recovered = self.recovered.as_ref().map_or(Term::ZERO, |one| one.value.term.next());
        let promised = self.presences.values().map(|presence| presence.promised);
        promised.fold(self.term().max(recovered), Term::max)
    }

    /// The identifier of the cluster's data, once there is any.
    pub fn system_id(&self) -> Option<SystemId> {
        match self.initialize.as_ref()?.value {
            Initialize::Claimed => None,
            Initialize::Done(id) => Some(id),
        }
    }
}
