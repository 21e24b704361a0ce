//! Synchronous commit: whether a commit waits is one shared flag, by how many it is released is each
//! walsender's own reading of the settings, and all of these change at moments of their own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pgbaton::cluster::SyncNames;
use pgbaton::postgres::ServerError;
use pgbaton::values::Lsn;
use tokio::time::sleep;

use super::server::{SimServer, not_possible};
use super::{At, Process};
use crate::invariants;
use crate::world::World;

/// One server's side of it.
#[derive(Clone, Debug)]
pub struct Synchronous {
    /// Whether the configuration leaves the names to the agent.
    pub managed: bool,
    /// What the agent said last; nothing since the start.
    pub told: Option<SyncNames>,
    /// What a new process reads.
    pub names: SyncNames,
    /// Whether commits wait.
    pub waits: bool,
    /// When that is looked at again.
    pub waits_at: Option<Duration>,
    /// The walsenders, by whom they send to.
    pub senders: BTreeMap<usize, Sender>,
    /// Commits that are not acknowledged yet, with their opening.
    pub waiting: VecDeque<(At, usize)>,
}

/// One walsender.
#[derive(Clone, Debug)]
pub struct Sender {
    /// By how many it releases.
    pub count: usize,
    /// Whether the standby it sends to is one of those waited for.
    pub is_named: bool,
    /// When it reads the settings anew.
    reads_at: Option<Duration>,
    /// How far the standby has said that it is.
    acknowledged: Option<At>,
}

impl Default for Synchronous {
    fn default() -> Self {
        Self {
            managed: false,
            told: None,
            names: SyncNames::Nobody,
            waits: false,
            waits_at: None,
            senders: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl Synchronous {
    /// A server starts: nobody has told it anything.
    pub fn starts(&mut self) {
        let names = if self.managed { SyncNames::Closed } else { SyncNames::Nobody };
        let waits = names != SyncNames::Nobody;
        *self = Self { managed: self.managed, names, waits, ..Self::default() };
    }

    /// The processes are gone, and who waited is never told anything.
    pub fn ends(&mut self) {
        self.senders.clear();
        self.waiting.clear();
    }
}

/// What a walsender reads.
fn reading(world: &World, names: &SyncNames, node: usize) -> (usize, bool) {
    match names {
        SyncNames::Nobody => (0, false),
        SyncNames::Closed => (1_000_000, false),
        SyncNames::AnyOf { count, of } => (*count, of.contains(&world.hosts[node].name)),
    }
}

/// The settings are written down, and every process is told to read them.
fn told(world: &World, node: usize, names: SyncNames) {
    let now = world.now();
    let late = || match world.rng.chance(200) {
        true => world.rng.millis(0, 600),
        false => world.rng.millis(0, 30),
    };
    let mut pg = world.hosts[node].pg.borrow_mut();
    pg.sync.names = names;
    pg.sync.waits_at = Some(now + late());
    for sender in pg.sync.senders.values_mut() {
        sender.reads_at = Some(now + late());
    }
}

/// The configuration says whether the agent manages the names.
pub fn configured(world: &World, node: usize, managed: bool) {
    let (before, told_names, is_primary, is_up) = {
        let mut pg = world.hosts[node].pg.borrow_mut();
        let before = std::mem::replace(&mut pg.sync.managed, managed);
        let is_primary = matches!(pg.process, Process::Primary { .. });
        (before, pg.sync.told.clone(), is_primary, pg.process != Process::Off)
    };
    if before == managed || told_names.is_some() || !is_up {
        return;
    }
    if managed && is_primary {
        let mut pg = world.hosts[node].pg.borrow_mut();
        pg.sync.told = Some(pg.sync.names.clone());
        return;
    }
    told(world, node, if managed { SyncNames::Closed } else { SyncNames::Nobody });
}

/// The agent changes the names; see the port.
pub async fn set_names(
    server: &SimServer,
    names: Option<&SyncNames>,
    raises_count: bool,
    within: Duration,
) -> Result<Lsn, ServerError> {
    let (world, node) = (&server.world, server.node);
    server.disk().await;
    if !matches!(server.pg().process, Process::Primary { .. } | Process::Standby) {
        return Err(not_possible("the server does not run"));
    }
    server.pg().sync.told = names.cloned();
    let wanted = names.cloned().unwrap_or(SyncNames::Nobody);
    if server.pg().sync.names != wanted {
        told(world, node, wanted.clone());
    }
    sleep(world.rng.millis(1, 5)).await;
    let waits = wanted != SyncNames::Nobody;
    server
        .until("the change of synchronous standbys", within, |pg| {
            let done = !waits || pg.sync.waits && pg.sync.waits_at.is_none();
            (done && !pg.hung).then_some(Ok(()))
        })
        .await?;
    if raises_count {
        recycle(world, node, &wanted);
    }
    server
        .until("the change of synchronous standbys", within, |pg| {
            let read =
                |(to, sender): (&usize, &Sender)| reading(world, &wanted, *to).1 == sender.is_named;
            let done = !waits || pg.sync.senders.iter().all(read);
            (done && !pg.hung).then_some(Ok(()))
        })
        .await?;
    let at = server.pg().data().map(|data| data.at.lsn);
    at.ok_or_else(|| not_possible("there is no data"))
}

/// Walsenders that may release by fewer are ended; their standbys come again.
fn recycle(world: &World, node: usize, names: &SyncNames) {
    let connected: Vec<usize> =
        world.hosts[node].pg.borrow().sync.senders.keys().copied().collect();
    for to in connected {
        if reading(world, names, to).1 {
            world.hosts[node].pg.borrow_mut().sync.senders.remove(&to);
            world.hosts[to].pg.borrow_mut().drop_receiver();
        }
    }
}

/// One step of time for a server's walsenders and for who waits for them.
pub fn pass_time(world: &World, node: usize) {
    let process = world.hosts[node].pg.borrow().process;
    if process == Process::Off {
        return;
    }
    let now = world.now();
    let connected: Vec<(usize, Option<At>)> = world
        .hosts
        .iter()
        .enumerate()
        .filter(|(to, host)| *to != node && host.pg.borrow().receiver.connected == Some(node))
        .map(|(to, host)| (to, host.pg.borrow().data().map(|data| data.at)))
        .collect();
    let mut pg = world.hosts[node].pg.borrow_mut();
    let sync = &mut pg.sync;
    if sync.waits_at.is_some_and(|at| at <= now) {
        sync.waits_at = None;
        sync.waits = sync.names != SyncNames::Nobody;
    }
    sync.senders.retain(|to, _| connected.iter().any(|(one, _)| one == to));
    for (to, at) in connected {
        let (count, is_named) = reading(world, &sync.names, to);
        let new = Sender { count, is_named, reads_at: None, acknowledged: None };
        let sender = sync.senders.entry(to).or_insert(new);
        if sender.reads_at.is_some_and(|at| at <= now) {
            (sender.count, sender.is_named, sender.reads_at) = (count, is_named, None);
        }
        let net = world.net.borrow();
        if !net.wal[node][to].cut && !net.wal[to][node].cut && !world.hosts[to].gate.is_closed() {
            sender.acknowledged = at;
        }
    }
    drop(pg);
    if matches!(process, Process::Primary { .. }) {
        release(world, node);
    }
}

/// Whether a commit is released: one walsender of a named standby counts those who have it.
fn is_released(world: &World, sync: &Synchronous, commit: At) -> bool {
    let wal = world.wal.borrow();
    let named = || sync.senders.values().filter(|sender| sender.is_named);
    let has = |sender: &&Sender| sender.acknowledged.is_some_and(|at| wal.holds(at, commit));
    let having = named().filter(has).count();
    !sync.waits || named().any(|sender| having >= sender.count)
}

fn release(world: &World, node: usize) {
    loop {
        let mut pg = world.hosts[node].pg.borrow_mut();
        let Some((commit, opening)) = pg.sync.waiting.front().copied() else { return };
        if !is_released(world, &pg.sync, commit) {
            return;
        }
        pg.sync.waiting.pop_front();
        drop(pg);
        invariants::acknowledged(world, node, opening, commit);
    }
}
