//! Log on its way from one server to the next: late, cut, and by PostgreSQL's own view of who may
//! stream from whom.

use std::time::Duration;

use pgbaton::values::{Lsn, Term};

use super::{At, Process, node_of};
use crate::invariants;
use crate::world::World;

/// One step of a standby's receiver: takes in what arrived, asks for more.
pub fn receive(world: &World, node: usize) {
    let pg = world.hosts[node].pg.borrow();
    let (process, stalled) = (pg.process, pg.stalled || pg.is_frozen() || pg.full);
    let upstream = pg.data().and_then(|data| data.upstream.as_ref());
    let from = upstream.and_then(|one| node_of(&one.host));
    let connected = pg.receiver.connected;
    drop(pg);
    let receives = process == Process::Standby && !stalled;
    let Some(from) = from.filter(|from| receives && *from != node) else {
        if connected.is_some() && process != Process::Standby {
            world.hosts[node].pg.borrow_mut().drop_receiver();
        }
        return;
    };
    take_in(world, node);
    let theirs = serving(world, from).filter(|_| !is_cut(world, from, node));
    match (theirs, connected) {
        (Some(theirs), Some(at)) if at == from => send(world, from, node, theirs),
        (Some(theirs), _) => connect(world, from, node, theirs),
        (None, Some(_)) => {
            // What was sent before the end still arrives; then the connection is known to be gone.
            let mut pg = world.hosts[node].pg.borrow_mut();
            if pg.receiver.pipe.is_empty() {
                pg.receiver.connected = None;
            }
        }
        (None, None) => {}
    }
}

fn is_cut(world: &World, from: usize, to: usize) -> bool {
    let net = world.net.borrow();
    net.wal[from][to].cut || net.wal[to][from].cut
}

/// The end of the log that a server sends to others, while it does.
fn serving(world: &World, node: usize) -> Option<At> {
    let host = &world.hosts[node];
    let pg = host.pg.borrow();
    let serves = match pg.process {
        Process::Primary { .. }
        | Process::Standby
        | Process::Stopping { was_primary: true, .. } => true,
        Process::Off | Process::Starting { .. } | Process::Stopping { .. } => false,
    };
    let at = pg.data()?.at;
    (serves && !host.gate.is_closed() && !pg.stalled).then_some(at)
}

/// Whether a server still has the log from a position on.
fn has_log_from(world: &World, node: usize, lsn: Lsn) -> bool {
    world.hosts[node].pg.borrow().data().is_none_or(|data| data.oldest <= lsn)
}

fn connect(world: &World, from: usize, to: usize, theirs: At) {
    let host = &world.hosts[to];
    let mine = host.pg.borrow().data().expect("a standby has data").at;
    let closed = world.hosts[from].pg.borrow().stopped.is_some();
    if closed || world.now() < host.pg.borrow().receiver.retry_at {
        return;
    }
    let mut pg = host.pg.borrow_mut();
    pg.receiver.retry_at = world.now() + world.rng.millis(50, 200);
    pg.receiver.connected = None;
    if !world.wal.borrow().may_stream(mine, theirs) {
        return;
    }
    drop(pg);
    if !has_log_from(world, from, mine.lsn) {
        return;
    }
    let mut pg = host.pg.borrow_mut();
    if !world.wal.borrow().holds(theirs, mine) {
        let text = format!(
            "{} streams from {}, which has other records under the same timeline id",
            host.name, world.hosts[from].name
        );
        world.broken(invariants::EQUAL_TIMELINE, text);
    }
    pg.receiver.connected = Some(from);
    pg.receiver.pipe.clear();
    // Streaming begins at the start of a segment.
    pg.receiver.received = Some(Lsn(mine.lsn.0 & !0xFFFF));
    drop(pg);
    let histories = {
        let other = world.hosts[from].pg.borrow();
        other.data().map(|data| data.histories.clone()).unwrap_or_default()
    };
    let mut pg = host.pg.borrow_mut();
    if let Some(data) = pg.data_mut() {
        data.histories.extend(histories);
    }
    drop(pg);
    world.note(to, "streams from {}", [from as u64, 0]);
}

fn send(world: &World, from: usize, to: usize, theirs: At) {
    let host = &world.hosts[to];
    let sent = host.pg.borrow().receiver.pipe.back().map(|(_, at, _)| *at);
    let last = sent.or_else(|| host.pg.borrow().data().map(|data| data.at));
    if last == Some(theirs) {
        return;
    }
    if !world.wal.borrow().may_stream(last.unwrap_or(theirs), theirs) {
        // The upstream itself has gone another way.
        host.pg.borrow_mut().drop_receiver();
        return;
    }
    let slow = world.net.borrow().wal[from][to].slow;
    let usual = world.rng.millis(0, 4);
    let arrives = world.now() + usual + slow;
    let term = match world.hosts[from].pg.borrow().process {
        // What a standby passes on came from a leader that it has looked at itself.
        Process::Standby => Term(u64::MAX),
        _ => world.truth.borrow().terms[from],
    };
    let mut pg = host.pg.borrow_mut();
    let after = pg.receiver.pipe.back().map_or(Duration::ZERO, |(at, _, _)| *at);
    pg.receiver.pipe.push_back((arrives.max(after), theirs, term));
}

fn take_in(world: &World, node: usize) {
    let host = &world.hosts[node];
    let now = world.now();
    loop {
        let mut pg = host.pg.borrow_mut();
        let due = pg.receiver.pipe.front().is_some_and(|(at, _, _)| *at <= now);
        if !due {
            return;
        }
        let Some((_, at, term)) = pg.receiver.pipe.pop_front() else { return };
        pg.receiver.received = Some(at.lsn);
        let Some(data) = pg.data_mut() else { return };
        data.at = at;
        let timeline = world.wal.borrow().branch(at).timeline;
        data.histories.insert(timeline.0);
        drop(pg);
        invariants::received(world, node, term);
    }
}

/// Whether every standby that is connected to a server has all of its log.
pub fn everybody_has_all(world: &World, node: usize) -> bool {
    let Some(end) = world.hosts[node].pg.borrow().data().map(|data| data.at) else { return true };
    world.hosts.iter().enumerate().filter(|(other, _)| *other != node).all(|(_, host)| {
        let pg = host.pg.borrow();
        pg.receiver.connected != Some(node) || pg.data().is_none_or(|data| data.at == end)
    })
}
