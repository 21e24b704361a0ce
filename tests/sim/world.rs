//! A whole world on one thread: what all of its parts share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use pgbaton::cluster::BatonState;
use pgbaton::dcs::{Compare, Op, StoreError, Txn, TxnReply, keys};

use crate::clock::{self, SimClock};
use crate::etcd::{Author, Etcd};
use crate::host::Host;
use crate::invariants;
use crate::invariants::gray_failures::Alone;
use crate::net::Net;
use crate::plan::Plan;
use crate::postgres::Wal;
use crate::rng::Rng;
use crate::sometimes::{self, Counts, Sometimes};
use crate::trace::Trace;
use crate::truth::Truth;

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub text: String,
    /// When.
    pub at: Duration,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {:.3}: {}", self.invariant, self.at.as_secs_f64(), self.text)
    }
}

/// A whole world.
pub struct World {
    /// What it is like.
    pub plan: Plan,
    /// Where chance comes from.
    pub rng: Rng,
    /// What happened.
    pub trace: Trace,
    /// The store.
    pub etcd: RefCell<Etcd>,
    /// The links.
    pub net: RefCell<Net>,
    /// The logs.
    pub wal: RefCell<Wal>,
    /// The nodes.
    pub hosts: Vec<Host>,
    /// What is really so.
    pub truth: RefCell<Truth>,
    /// The first rule that was broken.
    pub violation: RefCell<Option<Violation>>,
    /// The cluster is being founded, nothing goes wrong meanwhile, and that is to be over soon.
    pub founds_quickly: Cell<bool>,
    /// Since when the present holder has held the baton.
    pub led_since: Cell<Duration>,
    /// A gray failure with which nothing else goes wrong.
    pub alone: Cell<Option<Alone>>,
    /// How often any agent was polled in this step of time.
    pub polls: Rc<Cell<u64>>,
    /// How many requests to the store are on their way that their senders have given up, or soon will.
    pub stragglers: Cell<u32>,
    counts: RefCell<Counts>,
}

/// The members' names.
pub const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Plan, rng: Rng, told: bool) -> Self {
        let clock = || {
            let rate = rng.below(2000) as i64 - 1000;
            SimClock::new(rng.millis(1_000, 90_000), rate)
        };
        let hosts = NAMES[..plan.nodes].iter().map(|name| Host::new(name, clock())).collect();
        Self {
            trace: Trace::new(told),
            etcd: RefCell::new(Etcd::new(plan.shortest_lease)),
            net: RefCell::new(Net::new(plan.nodes)),
            wal: RefCell::new(Wal::default()),
            hosts,
            truth: RefCell::new(Truth::new(plan.nodes, plan.ttl)),
            violation: RefCell::new(None),
            founds_quickly: Cell::new(plan.spares_quiet_time && !plan.faults_from_the_start),
            led_since: Cell::new(Duration::ZERO),
            alone: Cell::new(None),
            polls: Rc::new(Cell::new(0)),
            stragglers: Cell::new(0),
            counts: RefCell::new(sometimes::NONE),
            plan,
            rng,
        }
    }

    /// True time since the beginning.
    pub fn now(&self) -> Duration {
        clock::passed()
    }

    /// Something happened at a node.
    pub fn note(&self, node: usize, what: &'static str, numbers: [u64; 2]) {
        self.trace.note(self.now(), self.hosts[node].name.as_str(), what, numbers);
    }

    /// Something happened elsewhere.
    pub fn note_of(&self, who: &str, what: &'static str, numbers: [u64; 2]) {
        self.trace.note(self.now(), who, what, numbers);
    }

    /// Something happened that has to happen sometimes.
    pub fn sometimes(&self, what: Sometimes) {
        self.counts.borrow_mut()[what as usize] += 1;
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// A rule was broken. Only the first one counts.
    pub fn broken(&self, invariant: &'static str, text: String) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            if self.trace.is_told() {
                println!("{:9.3} BROKEN {invariant}: {text}", self.now().as_secs_f64());
            }
            *violation = Some(Violation { invariant, text, at: self.now() });
        }
    }

    /// A transaction reaches the store.
    pub fn commit(&self, author: Author, txn: &Txn) -> Result<TxnReply, StoreError> {
        let now = self.now();
        let guard = self.etcd.borrow().key(keys::GUARD).map(|guard| guard.value.clone());
        let result = self.etcd.borrow_mut().apply(txn, now);
        let writes =
            |wanted: &str| txn.ops.iter().any(|op| matches!(op, Op::Put(key, ..) if key == wanted));
        match &result {
            Ok(reply) if reply.succeeded => {
                self.tell_of(author, txn);
                invariants::written(self, author, txn, guard.as_ref());
                // Who has released it and takes it again leads anew.
                let holder = |truth: &Truth| {
                    let held = truth.baton.as_ref().filter(|it| it.state == BatonState::Held);
                    held.map(|it| it.incarnation)
                };
                let before = self.truth.borrow().baton.as_ref().map(|baton| baton.term);
                let held_by = holder(&self.truth.borrow());
                self.truth.borrow_mut().applied(author, txn, now);
                if holder(&self.truth.borrow()) != held_by {
                    self.led_since.set(now);
                }
                if writes(keys::SYNC) {
                    self.sometimes(Sometimes::SyncSetChanged);
                }
                if writes(keys::BATON) {
                    self.count_resumed(author);
                    invariants::baton_changed(self, before);
                }
            }
            Ok(_) => {
                if txn.compares.iter().any(|compare| matches!(compare, Compare::Value(..))) {
                    self.sometimes(Sometimes::LateWriteRefused);
                }
                if writes(keys::BATON) {
                    self.refused_baton(author, writes(keys::GUARD));
                }
            }
            Err(StoreError::NoSpace) if writes(keys::BATON) => self.sometimes(Sometimes::NoSpace),
            Err(_) => {}
        }
        result
    }

    fn count_resumed(&self, author: Author) {
        let Some(node) = author.node else { return };
        let resumed = std::mem::take(&mut self.hosts[node].guardian.borrow_mut().is_resuming);
        if resumed && self.truth.borrow().is_holder(author.incarnation) {
            self.sometimes(Sometimes::LeaseResumed);
            // The next agent does not know for how long the last one has led.
            self.led_since.set(self.now());
        }
    }

    fn refused_baton(&self, author: Author, takes: bool) {
        let truth = self.truth.borrow();
        let Some(baton) = &truth.baton else { return };
        if baton.incarnation == author.incarnation && baton.state == BatonState::Held {
            self.sometimes(Sometimes::AmbiguousResolved);
        } else if takes {
            self.sometimes(Sometimes::TakeConflict);
        }
    }

    fn tell_of(&self, author: Author, txn: &Txn) {
        for op in &txn.ops {
            let (key, value) = match op {
                Op::Put(key, value, _) => (key, Some(value)),
                Op::Delete(key) => (key, None),
            };
            self.trace.bytes(key.as_bytes());
            if key == keys::OUTCOME && value.is_some_and(|value| refused(value)) {
                self.sometimes(Sometimes::RequestRefused);
            }
            self.trace.bytes(value.map_or(&[][..], |value| value));
            if self.trace.is_told() {
                let text = value.map_or("deleted".into(), |value| String::from_utf8_lossy(value));
                let who = author.node.map_or("person", |node| self.hosts[node].name.as_str());
                println!("{:9.3} {who:>6}  -> {key} = {text}", self.now().as_secs_f64());
            }
        }
    }

    /// A node was told that the renewal it had sent was applied.
    pub fn renewal_answered(&self, node: usize, sent_at: Duration) {
        self.truth.borrow_mut().renewed(self.hosts[node].incarnation(), sent_at);
        let status = self.hosts[node].life.borrow().published.as_ref().map(|one| one.get());
        let late = status.is_some_and(|status| {
            status.lease.is_some_and(|(_, until)| crate::ports::is_past(self, node, until))
        });
        if late {
            self.sometimes(Sometimes::LateReply);
        }
    }
}

/// Whether an outcome says that a request was refused.
fn refused(outcome: &[u8]) -> bool {
    String::from_utf8_lossy(outcome).contains("\"done\":false")
}
