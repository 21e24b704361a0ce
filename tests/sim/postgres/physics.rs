//! Time passing for one server: the fence, starts, stops, promotions, writes, replay.

use std::time::Duration;

use pgbaton::cluster::ControlState;
use pgbaton::values::{Clock, Lsn};

use super::{Content, Process};
use super::{streaming, synchronous};
use crate::invariants;
use crate::sometimes::Sometimes;
use crate::world::World;

/// One step of time for a node's server. Nothing happens on a frozen node.
pub fn pass_time(world: &World, node: usize) {
    let host = &world.hosts[node];
    if host.gate.is_closed() {
        return;
    }
    fence(world, node);
    note_use(world, node);
    run_out_of_space(world, node);
    come_up(world, node);
    finish_promotion(world, node);
    finish_stop(world, node);
    write(world, node);
    streaming::receive(world, node);
    replay(world, node);
    synchronous::pass_time(world, node);
}

fn fence(world: &World, node: usize) {
    let host = &world.hosts[node];
    let due = host.pg.borrow().fence.is_some_and(|at| at <= host.clock.now());
    if due {
        let wrote = host.pg.borrow().writes().is_some();
        host.pg.borrow_mut().fence = None;
        if wrote {
            world.sometimes(Sometimes::Fenced);
        }
        world.note(node, "the fence kills the server", [0, 0]);
        kill_everything(world, node);
    }
}

/// Whether the server is of any use to anybody.
fn note_use(world: &World, node: usize) {
    let now = world.now();
    let mut pg = world.hosts[node].pg.borrow_mut();
    if pg.stalled || pg.stopped.is_some() || pg.full {
        // As long as it lasts, also over time in which the node itself was frozen.
        let since = match pg.useless {
            Some((since, _)) if pg.is_useless => since,
            _ => now,
        };
        pg.useless = Some((since, now));
        pg.is_useless = true;
    } else {
        pg.is_useless = false;
    }
}

/// A primary on a full disk ends when it needs another segment; one that starts does not get there.
fn run_out_of_space(world: &World, node: usize) {
    let pg = world.hosts[node].pg.borrow();
    let needs_space = match pg.process {
        Process::Primary { .. } => !pg.is_frozen() && world.rng.chance(200),
        Process::Starting { ready_at, as_primary } => as_primary && world.now() >= ready_at,
        Process::Off | Process::Standby | Process::Stopping { .. } => false,
    };
    if !pg.full || pg.stalled || !needs_space {
        return;
    }
    drop(pg);
    world.note(node, "ends: no space is left", [0, 0]);
    let fence = world.hosts[node].pg.borrow().fence;
    kill_everything(world, node);
    let mut pg = world.hosts[node].pg.borrow_mut();
    pg.complaints += 1;
    pg.fence = fence;
}

fn come_up(world: &World, node: usize) {
    let host = &world.hosts[node];
    let Process::Starting { ready_at, as_primary } = host.pg.borrow().process else { return };
    if world.now() < ready_at || host.pg.borrow().stalled || host.pg.borrow().is_frozen() {
        return;
    }
    if as_primary {
        world.note(node, "is up as a primary", [0, 0]);
        open(world, node);
    } else {
        world.note(node, "is up as a standby", [0, 0]);
        let mut pg = host.pg.borrow_mut();
        pg.process = Process::Standby;
        if let Some(data) = pg.data_mut() {
            data.control = ControlState::InRecovery;
        }
    }
}

/// From now on the server accepts writes.
fn open(world: &World, node: usize) {
    let host = &world.hosts[node];
    let at = host.pg.borrow().data().expect("a server that runs has data").at;
    let opening = invariants::opened(world, node, at);
    let mut pg = host.pg.borrow_mut();
    pg.process = Process::Primary { opening };
    pg.replayed = at.lsn;
    pg.drop_receiver();
    pg.receiver.received = None;
}

fn finish_promotion(world: &World, node: usize) {
    let host = &world.hosts[node];
    let due = host.pg.borrow().promoted_at.is_some_and(|at| at <= world.now());
    let stuck = host.pg.borrow().stalled || host.pg.borrow().stopped.is_some();
    if !due || stuck || host.pg.borrow().process != Process::Standby {
        return;
    }
    // Everything that is on this disk is replayed first.
    let (replayed, end) = {
        let pg = host.pg.borrow();
        (pg.replayed, pg.data().expect("a server that runs has data").at.lsn)
    };
    if replayed < end {
        return;
    }
    host.pg.borrow_mut().promoted_at = None;
    leave_timeline(world, node);
    open(world, node);
}

/// Chooses the id of the new timeline by what is on this disk, as PostgreSQL does: one more than the
/// newest of an unbroken row of history files.
fn leave_timeline(world: &World, node: usize) {
    let mut pg = world.hosts[node].pg.borrow_mut();
    let data = pg.data_mut().expect("a server that runs has data");
    let mut wal = world.wal.borrow_mut();
    let left = wal.branch(data.at).timeline;
    let mut newest = left;
    while data.histories.contains(&newest.next().0) {
        newest = newest.next();
    }
    let timeline = newest.next();
    if timeline.0 > left.0 + 1 {
        world.sometimes(Sometimes::BurntSkipped);
    }
    let forked = wal.fork(data.at, timeline);
    data.at = wal.append(forked, 56);
    data.histories.insert(timeline.0);
    data.control = ControlState::InProduction;
    world.note(node, "is on timeline {} from {}", [u64::from(timeline.0), forked.lsn.0]);
    let twin = wal.twin(data.at).is_some();
    drop(wal);
    if twin {
        let text = format!("{} began timeline {timeline} a second time", world.hosts[node].name);
        world.broken(invariants::EQUAL_TIMELINE, text);
    }
}

fn finish_stop(world: &World, node: usize) {
    let host = &world.hosts[node];
    let Process::Stopping { not_before, give_up_at, was_primary, checkpointed } =
        host.pg.borrow().process
    else {
        return;
    };
    let now = world.now();
    if now < not_before || host.pg.borrow().stalled || host.pg.borrow().stopped.is_some() {
        return;
    }
    if was_primary && !checkpointed {
        let mut pg = host.pg.borrow_mut();
        let data = pg.data_mut().expect("a server that runs has data");
        data.at = world.wal.borrow_mut().append(data.at, 120);
        data.checkpoint_timeline = world.wal.borrow().branch(data.at).timeline;
        data.redo = data.at.lsn;
        pg.process = Process::Stopping { not_before, give_up_at, was_primary, checkpointed: true };
        return;
    }
    if was_primary && now < give_up_at && !streaming::everybody_has_all(world, node) {
        return;
    }
    let mut pg = host.pg.borrow_mut();
    pg.process = Process::Off;
    pg.sync.ends();
    pg.drop_receiver();
    let exits = std::rc::Rc::clone(&pg.exits);
    if let Some(data) = pg.data_mut() {
        let end = data.at.lsn;
        data.redo = end;
        data.control =
            if was_primary { ControlState::ShutDown } else { ControlState::ShutDownInRecovery };
    }
    drop(pg);
    world.note(node, "has stopped", [0, 0]);
    exits.notify_waiters();
}

/// Clients try everywhere, all the time.
fn write(world: &World, node: usize) {
    let host = &world.hosts[node];
    let mut pg = host.pg.borrow_mut();
    let Some(opening) = pg.writes() else { return };
    if pg.stalled || pg.is_frozen() || pg.awaits_standby || world.rng.chance(300) {
        return;
    }
    let orphaned = pg.process == Process::Off;
    let Some(data) = pg.data_mut() else { return };
    let before = data.at;
    data.at = world.wal.borrow_mut().append(before, world.rng.between(40, 400));
    let (after, twin) = (data.at, data.at.branch != before.branch);
    let waits = pg.sync.waits;
    if waits && !orphaned {
        pg.sync.waiting.push_back((after, opening));
    }
    drop(pg);
    if twin {
        let text = format!("{} wrote over what another server had written", host.name);
        world.broken(invariants::EQUAL_TIMELINE, text);
    }
    if orphaned && !waits {
        world.sometimes(Sometimes::OrphansWrote);
    }
    if !waits {
        invariants::acknowledged(world, node, opening, after);
    }
}

fn replay(world: &World, node: usize) {
    let mut pg = world.hosts[node].pg.borrow_mut();
    if pg.process != Process::Standby || pg.stalled || pg.is_frozen() {
        return;
    }
    let step = pg.replay_step;
    let Some(end) = pg.data().map(|data| data.at.lsn) else { return };
    pg.replayed = end.min(Lsn(pg.replayed.0 + step));
    let chance = world.rng.chance(20);
    let replayed = pg.replayed;
    if let Some(data) = pg.data_mut().filter(|_| chance) {
        data.redo = replayed.max(data.redo);
    }
}

/// Every process of the server is killed at once.
pub fn kill_everything(world: &World, node: usize) {
    let host = &world.hosts[node];
    let cut_short = host.pg.borrow_mut().promoted_at.take().is_some();
    let was = host.pg.borrow().process;
    // A promotion that died may have got as far as the new timeline on this disk.
    if cut_short && was == Process::Standby && world.rng.chance(400) {
        let complete = {
            let pg = host.pg.borrow();
            pg.data().is_some_and(|data| pg.replayed >= data.at.lsn)
        };
        if complete {
            leave_timeline(world, node);
        }
    }
    let mut pg = host.pg.borrow_mut();
    pg.orphans = None;
    pg.fence = None;
    if was == Process::Off {
        return;
    }
    pg.process = Process::Off;
    pg.stopped = None;
    pg.sync.ends();
    pg.lingering = pg.stalled;
    pg.drop_receiver();
    pg.receiver.received = None;
    let exits = std::rc::Rc::clone(&pg.exits);
    if let Content::Whole(data) = &mut pg.content {
        left_running(data, was);
    }
    drop(pg);
    world.note(node, "its server was killed", [0, 0]);
    exits.notify_waiters();
}

fn left_running(data: &mut super::Data, was: Process) {
    data.control = match was {
        Process::Off => return,
        Process::Primary { .. }
        | Process::Starting { as_primary: true, .. }
        | Process::Stopping { was_primary: true, .. } => ControlState::InProduction,
        // What is on disk is a standby's, unless a promotion had got that far.
        Process::Standby if data.control == ControlState::InProduction => return,
        Process::Starting { .. } | Process::Standby | Process::Stopping { .. } => {
            ControlState::InRecovery
        }
    };
}

/// The postmaster dies alone; busy backends may live on.
pub fn crash_postmaster(world: &World, node: usize) {
    let host = &world.hosts[node];
    let was = host.pg.borrow().process;
    let fence = host.pg.borrow().fence;
    let backends = match was {
        Process::Primary { opening } if world.rng.chance(500) => Some(opening),
        _ => None,
    };
    kill_everything(world, node);
    let mut pg = host.pg.borrow_mut();
    pg.orphans = backends;
    pg.fence = fence;
}

/// How long a start takes: mostly little, sometimes a crash recovery that takes its time.
pub fn start_takes(world: &World, crashed: bool, slow: Duration) -> Duration {
    let usual = world.rng.millis(40, 150);
    let recovery = if crashed { world.rng.millis(20, 300) } else { Duration::ZERO };
    usual + recovery + slow
}
