//! The smaller ports of a simulated agent: its peers, its journal, its fence.

use std::rc::Rc;
use std::time::Duration;

use pgbaton::act::lease::Fence;
use pgbaton::act::{JournalFile, Ports};
use pgbaton::cluster::{FailsafeAsk, NotAccepted, Refusal, State, Vote};
use pgbaton::decide::{HeldLease, Journal};
use pgbaton::observe::{Ask, Peer, PeerError, PeerStatus, Peers};
use pgbaton::values::{Clock, Incarnation, LeaseDeadline, MemberName};
use pgbaton::wake::Call;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::carried::Accepted;
use crate::clock::SimClock;
use crate::etcd::SimStore;
use crate::invariants;
use crate::postgres::{SimProbes, SimServer, node_of};
use crate::sometimes::Sometimes;
use crate::world::World;

/// The outside world of a simulated agent.
pub struct SimPorts;

impl Ports for SimPorts {
    type Store = SimStore;
    type Server = SimServer;
    type Probes = SimProbes;
    type Peers = SimPeers;
    type JournalFile = SimJournal;
    type Fence = SimFence;
    type Clock = SimClock;
}

/// The way from one agent to the others.
pub struct SimPeers {
    /// The world.
    pub world: Rc<World>,
    /// Whose way.
    pub node: usize,
}

impl SimPeers {
    fn target(&self, peer: &Peer) -> Result<usize, PeerError> {
        let host = peer.api_url.strip_prefix("http://").and_then(|rest| rest.split(':').next());
        host.and_then(node_of).ok_or_else(|| PeerError::Nonsense {
            name: peer.name.clone(),
            what: peer.api_url.clone(),
        })
    }

    async fn carry(&self, from: usize, to: usize) {
        let link = self.world.net.borrow().agents[from][to];
        match link.carry(&self.world.rng) {
            Some(delay) => sleep(delay).await,
            None => std::future::pending().await,
        }
    }

    async fn ask(&self, to: usize, ask: &Ask) -> Result<Vote, Refusal> {
        self.carry(self.node, to).await;
        let (answer, reply) = oneshot::channel();
        let call = Call::Promise { term: ask.term, answer };
        let sent = self.world.hosts[to].life.borrow().calls.clone();
        let delivered = sent.is_some_and(|calls| calls.send(call).is_ok());
        let reply = if delivered { reply.await.ok() } else { None };
        let Some(reply) = reply else { return std::future::pending().await };
        if matches!(reply, Ok(_) | Err(Refusal::Abstains(_))) {
            invariants::promised(&self.world, to);
        }
        if reply.is_ok() {
            let told = &mut self.world.truth.borrow_mut().told[to];
            *told = ask.term.max(*told);
        }
        self.carry(to, self.node).await;
        reply
    }
}

impl Peers for SimPeers {
    async fn promise(
        &self,
        peer: &Peer,
        ask: &Ask,
        within: Duration,
    ) -> Result<Result<Vote, Refusal>, PeerError> {
        let to = self.target(peer)?;
        invariants::asked_for_a_promise(&self.world, self.node);
        match timeout(within, self.ask(to, ask)).await {
            Ok(answer) => {
                if let Err(Refusal::Carries(_)) = answer {
                    self.world.sometimes(Sometimes::TakerHeldOff);
                }
                if let Err(Refusal::HolderIsAlive) = answer {
                    self.world.sometimes(Sometimes::HolderSeenAlive);
                }
                Ok(answer)
            }
            Err(_) => Err(PeerError::Silent(peer.name.clone())),
        }
    }

    async fn failsafe(
        &self,
        peer: &Peer,
        ask: &FailsafeAsk,
        within: Duration,
    ) -> Result<Result<(), NotAccepted>, PeerError> {
        let to = self.target(peer)?;
        let (sender, answer) = oneshot::channel();
        let question = Question { from: self.node, to, ask: ask.clone() };
        // What was sent arrives, whatever becomes of who sent it.
        tokio::task::spawn_local(carry_question(Rc::clone(&self.world), question, sender));
        match timeout(within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => Err(PeerError::Silent(peer.name.clone())),
        }
    }

    async fn status(&self, peer: &Peer, within: Duration) -> Result<PeerStatus, PeerError> {
        let to = self.target(peer)?;
        let silent = || PeerError::Silent(peer.name.clone());
        let answer = timeout(within, async {
            self.carry(self.node, to).await;
            while self.world.hosts[to].gate.is_closed() {
                sleep(Duration::from_millis(50)).await;
            }
            let status = read_status(&self.world, to, &peer.name);
            self.carry(to, self.node).await;
            status
        });
        answer.await.ok().flatten().ok_or_else(silent)
    }
}

/// A primary's question on its way.
struct Question {
    from: usize,
    to: usize,
    ask: FailsafeAsk,
}

async fn carry_question(
    world: Rc<World>,
    question: Question,
    sender: oneshot::Sender<Result<(), NotAccepted>>,
) {
    let Question { from, to, ask } = question;
    let sent_at = world.now();
    let incarnation = world.hosts[from].incarnation();
    let link = |from: usize, to: usize| world.net.borrow().agents[from][to];
    let Some(there) = link(from, to).carry(&world.rng) else { return };
    sleep(there).await;
    let (ttl, term) = (ask.ttl, ask.lease.map(|(term, _)| term));
    let (answer, reply) = oneshot::channel();
    let calls = world.hosts[to].life.borrow().calls.clone();
    let delivered = calls.is_some_and(|calls| calls.send(Call::Failsafe { ask, answer }).is_ok());
    if !delivered {
        return;
    }
    let Ok(reply) = reply.await else { return };
    if reply.is_ok() {
        let at = world.now();
        let accepted = Accepted { leader: from, incarnation, term, sent_at, at, ttl };
        world.truth.borrow_mut().accepts(to, accepted);
        world.note(to, "carries the leader", [from as u64, 0]);
    }
    let Some(back) = link(to, from).carry(&world.rng) else { return };
    sleep(back).await;
    // Whoever asked may have given up.
    let _ = sender.send(reply);
}

fn read_status(world: &World, node: usize, name: &MemberName) -> Option<PeerStatus> {
    let status = world.hosts[node].life.borrow().published.as_ref()?.get();
    let (position, in_recovery) = match &status.look.state {
        State::Standby(facts) => (facts.position(), true),
        State::Primary(facts) => (facts.position, false),
        _ => return None,
    };
    Some(PeerStatus {
        name: name.clone(),
        in_recovery,
        lsn: position.lsn,
        timeline: Some(position.timeline),
    })
}

/// A node's journal, on the disk of its server.
pub struct SimJournal {
    /// The world.
    pub world: Rc<World>,
    /// Whose.
    pub node: usize,
}

impl JournalFile for SimJournal {
    async fn save(&self, journal: &Journal) -> std::io::Result<()> {
        let host = &self.world.hosts[self.node];
        sleep(self.world.rng.millis(0, 3)).await;
        while host.pg.borrow().stalled {
            sleep(Duration::from_millis(10)).await;
        }
        if host.pg.borrow().full {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        *host.journal.borrow_mut() = journal.clone();
        Ok(())
    }
}

/// What kills a node's server at its deadline.
pub struct SimFence {
    /// The world.
    pub world: Rc<World>,
    /// Whose.
    pub node: usize,
}

impl Fence for SimFence {
    fn arm(&self, until: LeaseDeadline) {
        let host = &self.world.hosts[self.node];
        host.guardian.borrow_mut().armed = Some(until);
        // It is scheduled late, and takes its time: within what the deadline allows for that.
        let late = self.world.rng.millis(0, 130);
        self.world.hosts[self.node].pg.borrow_mut().fence = Some(until.moment() + late);
    }

    fn disarm(&self) {
        self.world.hosts[self.node].guardian.borrow_mut().armed = None;
        self.world.hosts[self.node].pg.borrow_mut().fence = None;
    }

    fn deposit(&self, _: &HeldLease, of: Incarnation, _: Duration) {
        self.world.hosts[self.node].guardian.borrow_mut().deposited = Some(of);
    }
}

/// Whether a lease's deadline has passed by this node's clock.
pub fn is_past(world: &World, node: usize, deadline: LeaseDeadline) -> bool {
    deadline.has_passed(world.hosts[node].clock.now())
}
