//! What is really so, as no agent can know it: who holds the baton, since which send, and who opened
//! which server.

use std::collections::BTreeMap;
use std::time::Duration;

use pgbaton::cluster::{Baton, BatonState, Cluster, SyncState};
use pgbaton::dcs::{Op, RawSnapshot, RawValue, Txn, decode, keys};
use pgbaton::values::{Incarnation, Lsn, MemberName, Term, WalPosition};

use crate::carried::Accepted;
use crate::etcd::Author;
use crate::postgres::At;

/// A lease that the store has really given.
#[derive(Clone, Copy, Debug)]
pub struct TrueLease {
    /// Whose.
    pub incarnation: Incarnation,
    /// When the renewal that counts was sent, in true time.
    pub sent_at: Duration,
    /// For how long, at the most.
    pub ttl: Duration,
}

/// One time that a server was opened to writes.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Which server.
    pub node: usize,
}

/// What a change of holder began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// A race, or a bootstrap; with the last position that the former holder had published.
    Race(Option<WalPosition>),
    /// An offer by name.
    Offer,
    /// A person's word that this one may lead with what it has, given since the holder's last.
    Acceptance,
}

/// What is really so.
pub struct Truth {
    /// The baton in the store.
    pub baton: Option<Baton>,
    /// When it changed last.
    pub changed_at: Duration,
    /// The lease each node really has.
    pub leases: Vec<Option<TrueLease>>,
    /// The last term each node held.
    pub terms: Vec<Term>,
    /// The highest term for which each node's vote was told to anybody.
    pub told: Vec<Term>,
    /// Whom each node has accepted last while the store was away.
    pub accepted: Vec<Option<Accepted>>,
    /// When the last renewal was sent that each holder knows of.
    pub renewed: BTreeMap<Incarnation, Duration>,
    /// Whether the cluster has been founded: before, data may be undone and nobody is told of it.
    pub founded: bool,
    /// How the present leadership began.
    pub began: Began,
    /// Whom a person lets lead with what it has, until the baton changes.
    pub loss_accepted_of: Option<MemberName>,
    /// Every time a server was opened.
    pub openings: Vec<Opening>,
    /// The end of what was acknowledged last, on the cluster's one history.
    pub acknowledged: Option<At>,
    /// What the record of synchronous standbys says, while it says anything.
    pub sync: Option<SyncState>,
    /// The end of what was acknowledged while there was such a record.
    pub sync_acknowledged: Option<At>,
    /// When something was acknowledged last, and since which opening.
    pub last: Option<(Duration, usize)>,
    /// The longest `ttl` that was ever configured: whoever is cut off from the store goes by what it read last.
    pub longest_ttl: Duration,
    /// Who held the baton before its last change.
    pub previous: Option<Incarnation>,
    /// When the baton was last known to be free, or its holder had been silent for long.
    pub vacant_until: Option<Duration>,
}

impl Truth {
    /// Of a world that has not begun.
    pub fn new(nodes: usize, ttl: Duration) -> Self {
        Self {
            baton: None,
            changed_at: Duration::ZERO,
            leases: vec![None; nodes],
            terms: vec![Term::ZERO; nodes],
            founded: false,
            accepted: vec![None; nodes],
            renewed: BTreeMap::new(),
            told: vec![Term::ZERO; nodes],
            began: Began::Race(None),
            loss_accepted_of: None,
            openings: Vec::new(),
            acknowledged: None,
            sync: None,
            sync_acknowledged: None,
            last: None,
            longest_ttl: ttl,
            previous: None,
            vacant_until: None,
        }
    }

    /// A node's agent starts anew: it holds nothing.
    pub fn starts(&mut self, node: usize) {
        self.leases[node] = None;
    }

    /// A node has accepted a leader. Answers may be told out of order.
    pub fn accepts(&mut self, node: usize, new: Accepted) {
        if self.renewed.get(&new.incarnation).is_some_and(|renewed_at| new.sent_at < *renewed_at) {
            return;
        }
        let before = self.accepted[node].filter(|before| before.incarnation == new.incarnation);
        if before.is_none_or(|before| before.sent_at <= new.sent_at) {
            self.accepted[node] = Some(new);
        }
    }

    /// A holder knows that the store has renewed its lease: nothing rests on what was accepted before.
    pub fn renewed(&mut self, incarnation: Incarnation, sent_at: Duration) {
        self.renewed.insert(incarnation, sent_at);
        for accepted in &mut self.accepted {
            accepted.take_if(|one| one.incarnation == incarnation && one.sent_at < sent_at);
        }
    }

    /// A transaction was applied.
    pub fn applied(&mut self, author: Author, txn: &Txn, now: Duration) {
        self.founded |= txn.ops.iter().any(|op| {
            matches!(op, Op::Put(key, value, _) if key == keys::INITIALIZE && !value.is_empty())
        });
        self.records(txn);
        self.hears_a_person(txn);
        let baton = written(txn, keys::BATON).and_then(|cluster| cluster.baton);
        let (Some(baton), Some(node)) = (baton.map(|baton| baton.value), author.node) else {
            return;
        };
        if self.is_vacant() || self.is_silent(now) {
            self.vacant_until = Some(now);
        }
        self.longest_ttl = self.longest_ttl.max(baton.ttl);
        let before = self.baton.take();
        let accepted = self.loss_accepted_of.take();
        self.previous = before.as_ref().map(|baton| baton.incarnation);
        match baton.state {
            BatonState::Held => {
                let incarnation = author.incarnation;
                let lease = TrueLease { incarnation, sent_at: author.sent_at, ttl: baton.ttl };
                self.leases[node] = Some(lease);
                self.terms[node] = baton.term;
                self.holds(before.as_ref(), &baton, accepted);
            }
            BatonState::Offered | BatonState::Released => self.leases[node] = None,
        }
        self.baton = Some(baton);
        self.changed_at = now;
    }

    fn records(&mut self, txn: &Txn) {
        if let Some(cluster) = written(txn, keys::SYNC) {
            let state = cluster.sync.map(|sync| sync.value);
            self.sync = state.filter(|state| state.leader.is_some());
        }
        if txn.ops.iter().any(|op| matches!(op, Op::Delete(key) if key == keys::SYNC)) {
            self.sync = None;
        }
        if self.sync.is_none() {
            self.sync_acknowledged = None;
        }
    }

    fn hears_a_person(&mut self, txn: &Txn) {
        let Some(cluster) = written(txn, keys::FAILOVER) else { return };
        let accepting = cluster.pending_request().filter(|request| request.accepts_loss);
        self.loss_accepted_of = accepting.and_then(|request| request.candidate.clone());
    }

    fn holds(&mut self, before: Option<&Baton>, baton: &Baton, accepted: Option<MemberName>) {
        let Some(before) = before else { return };
        let same = before.incarnation == baton.incarnation;
        match before.state {
            BatonState::Offered if same => self.began = Began::Offer,
            BatonState::Held if same => {}
            _ if accepted.is_some_and(|name| name == baton.holder) => {
                self.began = Began::Acceptance;
            }
            BatonState::Offered | BatonState::Held | BatonState::Released => {
                self.began = Began::Race(before.position);
            }
        }
    }

    /// Whether nobody holds the baton.
    pub fn is_vacant(&self) -> bool {
        self.baton.as_ref().is_none_or(|baton| baton.state != BatonState::Held)
    }

    /// Whether the holder has been silent for so long that others may think it gone: they know of its
    /// last word a little late.
    pub fn is_silent(&self, now: Duration) -> bool {
        let ttl = self.baton.as_ref().map_or(Duration::ZERO, |baton| baton.ttl);
        now - self.changed_at >= ttl * 48 / 100
    }

    /// Whether this start of this agent really holds the baton.
    pub fn is_holder(&self, incarnation: Incarnation) -> bool {
        self.baton.as_ref().is_some_and(|baton| {
            baton.state == BatonState::Held && baton.incarnation == incarnation
        })
    }

    /// How much of what was acknowledged a new leader must have.
    pub fn due(&self, place: impl Fn(At, WalPosition) -> Option<At>, lag_max: u64) -> Option<At> {
        let acknowledged = self.acknowledged?;
        match self.began {
            Began::Offer => Some(acknowledged),
            Began::Race(None) | Began::Acceptance => None,
            Began::Race(Some(published)) => {
                let lsn = Lsn(published.lsn.0.saturating_sub(lag_max));
                place(acknowledged, WalPosition { lsn, ..published })
            }
        }
    }
}

/// What a transaction writes to a key, decoded.
fn written(txn: &Txn, key: &str) -> Option<Cluster> {
    let value = txn.ops.iter().find_map(|op| match op {
        Op::Put(put, value, _) if put == key => Some(value.clone()),
        Op::Put(..) | Op::Delete(_) => None,
    })?;
    let mut snapshot = RawSnapshot::default();
    let raw = RawValue { value, mod_revision: Default::default(), lease: None };
    snapshot.keys.insert(key.to_owned(), raw);
    Some(decode(&snapshot).0)
}
