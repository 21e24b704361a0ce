//! One node: its agent's life, behind gates that freeze it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pgbaton::agent::{Assembly, Ended, Node, Tasks, assemble};
use pgbaton::decide::Journal;
use pgbaton::publish::{Events, Metrics, Published};
use pgbaton::values::{Incarnation, LeaseDeadline, MemberName, Monotonic};
use pgbaton::wake::{Call, Calls};
use tracing::Instrument;

use crate::clock::SimClock;
use crate::etcd::SimStore;
use crate::gate::{Gate, Task};
use crate::nodefile;
use crate::ports::{SimFence, SimJournal, SimPeers, SimPorts};
use crate::postgres::{Pg, SimProbes, SimServer, kill_everything};
use crate::rng::Rng;
use crate::world::World;

/// One node.
pub struct Host {
    /// The member's name.
    pub name: MemberName,
    /// Its clock.
    pub clock: SimClock,
    /// Its server.
    pub pg: RefCell<Pg>,
    /// What its disk has of the agent's journal.
    pub journal: RefCell<Journal>,
    /// Closed while the whole node is frozen.
    pub gate: Rc<Gate>,
    /// Closed while the agent alone is frozen; its server and the guardian go on.
    pub agent_gate: Rc<Gate>,
    /// What the guardian has, which outlives the agent.
    pub guardian: RefCell<SimGuardian>,
    /// Closed while the agent's loop alone is stuck.
    pub loop_gate: Rc<Gate>,
    /// The last decision that was looked at for its reason.
    pub judged: Cell<Option<Monotonic>>,
    /// Its agent.
    pub life: RefCell<Life>,
}

/// What a node's guardian was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimGuardian {
    /// The deadline.
    pub armed: Option<LeaseDeadline>,
    /// The start of the agent that holds the lease.
    pub deposited: Option<Incarnation>,
    /// A new agent has to find out whose the lease is.
    pub is_resuming: bool,
}

/// An agent's life.
#[derive(Default)]
pub struct Life {
    /// This start of it; zero before the first.
    pub incarnation: Incarnation0,
    /// The way to its loop, while it runs.
    pub calls: Option<Calls>,
    /// Its status, while it runs.
    pub published: Option<Published>,
    /// Why it ended by itself.
    pub ended: Option<Ended>,
    /// When it is started again.
    pub start_at: Option<Duration>,
    tasks: Vec<Task>,
}

/// An incarnation that starts out as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation0(pub Incarnation);

impl Default for Incarnation0 {
    fn default() -> Self {
        Self(Incarnation(0))
    }
}

impl Host {
    /// A node that was never started.
    pub fn new(name: &str, clock: SimClock) -> Self {
        Self {
            name: name.into(),
            clock,
            pg: RefCell::new(Pg::default()),
            journal: RefCell::new(Journal::default()),
            gate: Rc::new(Gate::default()),
            agent_gate: Rc::new(Gate::default()),
            guardian: RefCell::new(SimGuardian::default()),
            loop_gate: Rc::new(Gate::default()),
            judged: Cell::new(None),
            life: RefCell::new(Life::default()),
        }
    }

    /// Whether its agent runs (or would, if it were not frozen).
    pub fn is_up(&self) -> bool {
        let life = self.life.borrow();
        life.calls.is_some() && life.ended.is_none()
    }

    /// This start of its agent.
    pub fn incarnation(&self) -> Incarnation {
        self.life.borrow().incarnation.0
    }

    /// Calls its loop, if it runs.
    pub fn call(&self, call: Call) {
        if let Some(calls) = &self.life.borrow().calls {
            // A loop that has just ended hears nothing any more.
            let _ = calls.send(call);
        }
    }
}

/// Starts a node's agent.
pub fn start(world: &Rc<World>, node: usize) {
    let host = &world.hosts[node];
    let left = left_by_the_last(world, node);
    let incarnation = left.map_or(Incarnation(world.rng.next()), |(incarnation, _)| incarnation);
    world.note(
        node,
        "the agent starts, with a lease to take up: {}",
        [u64::from(left.is_some()), 0],
    );
    host.guardian.borrow_mut().is_resuming = left.is_some();
    if left.is_none() {
        world.truth.borrow_mut().starts(node);
    }
    let store = || SimStore::new(Rc::clone(world), node, incarnation);
    let nonces = Rng::new(world.rng.next());
    // The generator never leaves this thread, as nothing of a world does.
    let mut nonce = nonces.next();
    let assembly: Assembly<SimPorts> = Assembly {
        config: Arc::new(nodefile::of(world, node)),
        reload: Box::new(|| None),
        incarnation,
        left_until: left.map(|(_, until)| until),
        journal: host.journal.borrow().clone(),
        nonces: Box::new(move || {
            nonce = nonce.wrapping_add(0x9E37_79B9_7F4A_7C15);
            nonce
        }),
        store: store(),
        lease_store: store(),
        server: SimServer::new(Rc::clone(world), node),
        probes: SimProbes::new(Rc::clone(world), node),
        peers: SimPeers { world: Rc::clone(world), node },
        failsafe_peers: SimPeers { world: Rc::clone(world), node },
        journal_file: SimJournal { world: Rc::clone(world), node },
        fence: SimFence { world: Rc::clone(world), node },
        clock: host.clock,
        metrics: Metrics::default(),
        events: Events::default(),
    };
    let Node { agent, tasks, published, calls } = assemble(assembly);
    let Tasks { keeper, mirror, asker, publisher, health } = tasks;
    let gate = || vec![Rc::clone(&host.gate), Rc::clone(&host.agent_gate)];
    let polls = || Rc::clone(&world.polls);
    let span = tracing::info_span!("node", name = %host.name);
    let this = Rc::clone(world);
    let looping = async move {
        let ended = agent.run().await;
        this.note(node, "the agent ends", [0, 0]);
        this.hosts[node].life.borrow_mut().ended = Some(ended);
    };
    let mut loop_gates = gate();
    loop_gates.push(Rc::clone(&host.loop_gate));
    let tasks = vec![
        Task::spawn(loop_gates, polls(), looping.instrument(span.clone())),
        Task::spawn(gate(), polls(), keeper.run().instrument(span.clone())),
        Task::spawn(gate(), polls(), asker.run().instrument(span.clone())),
        Task::spawn(gate(), polls(), mirror.run().instrument(span.clone())),
        Task::spawn(gate(), polls(), publisher.run().instrument(span.clone())),
        Task::spawn(gate(), polls(), health.run().instrument(span)),
    ];
    *host.life.borrow_mut() = Life {
        incarnation: Incarnation0(incarnation),
        calls: Some(calls),
        published: Some(published),
        ended: None,
        start_at: None,
        tasks,
    };
}

/// The lease under which the server is open, if the guardian holds its deadline.
fn left_by_the_last(world: &World, node: usize) -> Option<(Incarnation, LeaseDeadline)> {
    let host = &world.hosts[node];
    let guardian = *host.guardian.borrow();
    // Nothing is armed any more once everything was killed.
    host.pg.borrow().fence?;
    guardian.deposited.zip(guardian.armed)
}

/// Agent, guardian and server are gone.
pub fn kill(world: &World, node: usize) {
    kill_agent(world, node);
    *world.hosts[node].guardian.borrow_mut() = SimGuardian::default();
    kill_everything(world, node);
}

/// The agent alone is gone. Its server lives on under the guardian.
pub fn kill_agent(world: &World, node: usize) {
    let host = &world.hosts[node];
    let tasks = {
        let mut life = host.life.borrow_mut();
        life.calls = None;
        life.published = None;
        life.ended = None;
        std::mem::take(&mut life.tasks)
    };
    for task in tasks {
        task.kill();
    }
}
