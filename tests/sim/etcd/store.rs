//! One agent's way to the store. A request that was handed over arrives or does not, whatever becomes
//! of who sent it.

use std::rc::Rc;
use std::time::Duration;

use pgbaton::dcs::{LeaseId, RawSnapshot, Store, StoreError, Txn, TxnReply, keys};
use pgbaton::values::{Incarnation, Revision};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::watch::SimChanges;
use crate::sometimes::Sometimes;
use crate::world::World;

/// Who sent a request, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// The node; `None` for a person.
    pub node: Option<usize>,
    /// The start of its agent.
    pub incarnation: Incarnation,
    /// When it was handed over, in true time.
    pub sent_at: Duration,
}

/// The store as one agent reaches it.
#[derive(Clone)]
pub struct SimStore {
    pub(super) world: Rc<World>,
    pub(super) node: usize,
    incarnation: Incarnation,
}

enum Request {
    Read,
    Commit(Txn),
    Grant(Duration),
    Keep(LeaseId),
}

enum Reply {
    All(RawSnapshot),
    Committed(TxnReply),
    Granted(LeaseId),
    Kept,
}

type Answer = Result<Reply, StoreError>;

impl SimStore {
    /// The way of this start of this node's agent.
    pub fn new(world: Rc<World>, node: usize, incarnation: Incarnation) -> Self {
        Self { world, node, incarnation }
    }

    async fn ask(&self, request: Request, within: Duration) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let sent_at = self.world.now();
        let author = Author { node: Some(self.node), incarnation: self.incarnation, sent_at };
        let road = self.world.net.borrow().store[self.node].clone();
        if road.there.cut && self.world.rng.chance(300) {
            sleep(Duration::from_millis(2)).await;
            return Err(StoreError::Failed("connection refused".to_owned()));
        }
        tokio::task::spawn_local(deliver(Rc::clone(&self.world), author, request, sender));
        let answer = timeout(within, async {
            match receiver.await {
                Ok(answer) => answer,
                // Lost on the way: nothing ever comes.
                Err(_) => std::future::pending().await,
            }
        })
        .await;
        match answer {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::NoAnswer(within)),
        }
    }
}

async fn deliver(
    world: Rc<World>,
    author: Author,
    request: Request,
    answer: oneshot::Sender<Answer>,
) {
    let node = author.node.unwrap_or_default();
    let road = world.net.borrow().store[node].clone();
    if road.stale_leader {
        if let Request::Keep(lease) = request {
            sleep(Duration::from_millis(1)).await;
            if !world.etcd.borrow().has_lease(lease) {
                world.sometimes(Sometimes::StaleLeaderSeen);
            }
            // Whoever asked may be gone.
            let _ = answer.send(Ok(Reply::Kept));
        }
        return;
    }
    let Some(mut on_the_way) = road.there.carry(&world.rng) else { return };
    let straggles = !road.straggle.is_zero() && world.rng.chance(400);
    if straggles {
        on_the_way += world.rng.part(road.straggle, 20, 100);
        world.stragglers.set(world.stragglers.get() + 1);
    }
    sleep(on_the_way).await;
    if straggles {
        world.stragglers.set(world.stragglers.get() - 1);
    }
    if !world.etcd.borrow().up {
        // Some requests wait in a member's queue until there is a leader again.
        if world.rng.chance(600) {
            return;
        }
        let changed = Rc::clone(&world.etcd.borrow().changed);
        while !world.etcd.borrow().up {
            changed.notified().await;
        }
    }
    let result = carry_out(&world, author, request);
    let back = world.net.borrow().store[node].back.carry(&world.rng);
    let Some(back) = back else {
        world.sometimes(Sometimes::ReplyLost);
        return;
    };
    sleep(back).await;
    if !world.net.borrow().store[node].back.cut {
        // Whoever asked may be gone.
        let _ = answer.send(result);
    }
}

fn carry_out(world: &World, author: Author, request: Request) -> Answer {
    let now = world.now();
    match request {
        Request::Read => Ok(Reply::All(world.etcd.borrow().snapshot())),
        Request::Commit(txn) => world.commit(author, &txn).map(Reply::Committed),
        Request::Grant(ttl) => world.etcd.borrow_mut().grant(ttl, now).map(Reply::Granted),
        Request::Keep(lease) => world.etcd.borrow_mut().keep(lease, now).map(|()| Reply::Kept),
    }
}

fn other_reply() -> StoreError {
    StoreError::Failed("an answer to something else".to_owned())
}

impl Store for SimStore {
    type Changes = SimChanges;

    async fn read_all(&self, within: Duration) -> Result<RawSnapshot, StoreError> {
        match self.ask(Request::Read, within).await? {
            Reply::All(snapshot) => Ok(snapshot),
            _ => Err(other_reply()),
        }
    }

    async fn commit(&self, txn: Txn, within: Duration) -> Result<TxnReply, StoreError> {
        let renews = txn
            .ops
            .iter()
            .any(|op| matches!(op, pgbaton::dcs::Op::Put(key, ..) if key == keys::BATON));
        let sent_at = self.world.now();
        match self.ask(Request::Commit(txn), within).await? {
            Reply::Committed(reply) => {
                if renews && reply.succeeded {
                    self.world.renewal_answered(self.node, sent_at);
                }
                Ok(reply)
            }
            _ => Err(other_reply()),
        }
    }

    async fn watch(&self, after: Revision, within: Duration) -> Result<SimChanges, StoreError> {
        let road = self.world.net.borrow().store[self.node].clone();
        if road.there.cut || road.back.cut || road.stale_leader || !self.world.etcd.borrow().up {
            sleep(within).await;
            return Err(StoreError::NoAnswer(within));
        }
        sleep(self.world.rng.millis(0, 2)).await;
        Ok(SimChanges::open(Rc::clone(&self.world), self.node, after))
    }

    async fn grant_lease(&self, ttl: Duration, within: Duration) -> Result<LeaseId, StoreError> {
        match self.ask(Request::Grant(ttl), within).await? {
            Reply::Granted(lease) => Ok(lease),
            _ => Err(other_reply()),
        }
    }

    async fn keep_lease(&self, lease: LeaseId, within: Duration) -> Result<(), StoreError> {
        match self.ask(Request::Keep(lease), within).await? {
            Reply::Kept => Ok(()),
            _ => Err(other_reply()),
        }
    }
}
