//! Doing it, and undoing it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pgbaton::cluster::Request;
use pgbaton::dcs::{codec, decode, keys, txns};
use pgbaton::values::{Incarnation, MemberName, Revision};
use pgbaton::wake::Call;

use super::{Fault, Target, What};
use crate::etcd::Author;
use crate::host;
use crate::net::Link;
use crate::plan::SyncPlan;
use crate::postgres::{Process, Stopped, USUAL_REPLAY_STEP, crash_postmaster, pass_time};
use crate::world::World;

/// A fault that has begun.
#[derive(Clone, Debug)]
pub struct Underway {
    /// What.
    pub what: What,
    /// Whose.
    pub node: usize,
    /// Until when.
    pub ends_at: Duration,
}

/// Lets a fault begin.
pub fn begin(world: &Rc<World>, fault: &Fault, last: Option<usize>) -> Underway {
    let node = match (fault.target, last) {
        (Target::Same, Some(last)) => last,
        (target, _) => choose(world, target),
    };
    world.note(node, told(fault.what), [0, 0]);
    match fault.what {
        What::KillNode => kill(world, node),
        What::KillAgent => {
            host::kill_agent(world, node);
            world.hosts[node].agent_gate.open();
            world.hosts[node].life.borrow_mut().start_at = None;
        }
        What::FreezeAgent => world.hosts[node].agent_gate.close(),
        What::CrashPostmaster => crash_postmaster(world, node),
        What::FreezeNode => world.hosts[node].gate.close(),
        What::StickLoop => world.hosts[node].loop_gate.close(),
        What::StopAgent => world.hosts[node].call(Call::Stop),
        What::RestartServer => restart(world, node),
        What::RecycleLog => {
            if let Some(data) = world.hosts[node].pg.borrow_mut().data_mut() {
                data.oldest = data.at.lsn;
            }
        }
        What::BreakRewinds => world.hosts[node].pg.borrow_mut().breaks_rewinds = true,
        What::StallDisk => world.hosts[node].pg.borrow_mut().stalled = true,
        What::HangServer => world.hosts[node].pg.borrow_mut().hung = true,
        What::StopServer => stop(world, node, Stopped::All),
        What::StopPostmaster => stop(world, node, Stopped::Postmaster),
        What::FillDisk => world.hosts[node].pg.borrow_mut().full = true,
        What::AwaitStandby => world.hosts[node].pg.borrow_mut().awaits_standby = true,
        What::SlowServer => {
            let slow = world.rng.part(world.plan.ttl, 10, 200);
            world.hosts[node].pg.borrow_mut().slow = slow;
        }
        What::SlowReplay => {
            world.hosts[node].pg.borrow_mut().replay_step = world.rng.between(0, 60);
        }
        What::StoreOutage | What::StoreElection => world.etcd.borrow_mut().up = false,
        What::StoreFull => world.etcd.borrow_mut().full = true,
        What::Compact => world.etcd.borrow_mut().compact(),
        What::ChangeTtl => change_ttl(world, *world.rng.pick(&[1, 2, 3, 5])),
        What::ShortestTtl => change_ttl(world, 1),
        What::ChangeSync => change_sync(world),
        What::Switchover | What::Failover => ask(world, fault.what == What::Switchover),
        What::AcceptLoss => accept_loss(world, node),
        What::CutFromLeader => {
            let (leader, cut) =
                (choose(world, Target::Leader), Link { cut: true, ..Link::default() });
            let mut net = world.net.borrow_mut();
            net.agents[node][leader] = cut;
            net.agents[leader][node] = cut;
        }
        _ => net(world, node, fault.what),
    }
    let lasts = match fault.what {
        What::StoreElection => world.rng.millis(100, 400),
        _ => fault.lasts,
    };
    Underway { what: fault.what, node, ends_at: world.now() + lasts }
}

/// A node dies, and is not started again by itself.
pub fn kill(world: &World, node: usize) {
    let host = &world.hosts[node];
    host::kill(world, node);
    host.gate.open();
    host.agent_gate.open();
    host.loop_gate.open();
    host.life.borrow_mut().start_at = None;
}

fn restart(world: &World, node: usize) {
    let host = &world.hosts[node];
    let (process, of) = (host.pg.borrow().process, host.pg.borrow().started_at.as_micros() as i64);
    if matches!(process, Process::Primary { .. } | Process::Standby) {
        // Whoever asked does not wait for the answer.
        let (answer, _) = tokio::sync::oneshot::channel();
        host.call(Call::Restart { of, answer });
    }
}

/// What is not there cannot be stopped.
fn stop(world: &World, node: usize, who: Stopped) {
    let mut pg = world.hosts[node].pg.borrow_mut();
    if pg.process != Process::Off {
        pg.stopped = Some(who);
    }
}

/// Whom it hits now; `Same` is anybody here.
pub fn choose(world: &World, target: Target) -> usize {
    let truth = world.truth.borrow();
    let leader = world.hosts.iter().position(|host| truth.is_holder(host.incarnation()));
    let any = world.rng.below(world.hosts.len() as u64) as usize;
    match (target, leader) {
        (Target::Leader, Some(leader)) => leader,
        (Target::Other, Some(leader)) if any == leader => (any + 1) % world.hosts.len(),
        _ => any,
    }
}

fn net(world: &World, node: usize, what: What) {
    let ttl = world.plan.ttl;
    let cut = Link { cut: true, ..Link::default() };
    let slow = Link { slow: world.rng.part(ttl, 5, 60), ..Link::default() };
    let lossy = Link { lossy: 500, ..Link::default() };
    let mut net = world.net.borrow_mut();
    let others: Vec<usize> = (0..world.hosts.len()).filter(|other| *other != node).collect();
    let road = &mut net.store[node];
    match what {
        What::CutStore | What::Isolate => (road.there, road.back) = (cut, cut),
        What::LoseReplies => road.back = cut,
        What::FlakyStore => (road.there, road.back) = (lossy, lossy),
        What::SlowStore => {
            (road.there, road.back) = (slow, slow);
            road.straggle = ttl * 2;
        }
        What::StaleLeader => road.stale_leader = true,
        What::HangWatches => road.hung_watches = road.watches,
        What::CutWatches => road.cut_watches = road.watches,
        What::DelayWatches => road.watch_delay = world.rng.part(ttl, 5, 80),
        _ => {}
    }
    for other in others {
        match what {
            What::Isolate => {
                net.agents[node][other] = cut;
                net.agents[other][node] = cut;
                net.wal[node][other] = cut;
                net.wal[other][node] = cut;
            }
            What::MuteAgent => net.agents[node][other] = cut,
            What::DeafAgent => net.agents[other][node] = cut,
            What::SlowAgents => {
                net.agents[node][other] = slow;
                net.agents[other][node] = slow;
            }
            What::CutReplication => {
                net.wal[node][other] = cut;
                net.wal[other][node] = cut;
            }
            What::SlowReplication => net.wal[node][other] = slow,
            _ => {}
        }
    }
    drop(net);
    world.etcd.borrow().changed.notify_waiters();
}

/// A person asks for another leader.
fn ask(world: &World, switchover: bool) {
    let snapshot = world.etcd.borrow().snapshot();
    let (cluster, _) = decode(&snapshot);
    let Some(baton) = cluster.baton else { return };
    let candidate = world.rng.pick(&world.hosts).name.clone();
    let candidate = (!switchover || world.rng.chance(500)).then_some(candidate);
    let leader: Option<MemberName> = switchover.then_some(baton.value.holder);
    request(world, &Request { leader, candidate, scheduled_at: None, accepts_loss: false });
}

/// A person names who is to lead with what it has; of those that run, where the one meant does not.
pub fn accept_loss(world: &World, node: usize) {
    let runs = |node: &usize| world.hosts[*node].life.borrow().published.is_some();
    let others = (0..world.hosts.len()).filter(|other| *other != node);
    let candidate = std::iter::once(node).chain(others).find(runs);
    let candidate = candidate.map(|node| world.hosts[node].name.clone());
    request(world, &Request { leader: None, candidate, scheduled_at: None, accepts_loss: true });
}

fn request(world: &World, request: &Request) {
    let (cluster, _) = decode(&world.etcd.borrow().snapshot());
    let read_at = cluster.request.map_or(Revision::ABSENT, |request| request.revision);
    let author = Author { node: None, incarnation: Incarnation(0), sent_at: world.now() };
    // A store that is full or away refuses; the person gives up.
    if world.etcd.borrow().up {
        let _ = world.commit(author, &txns::requested(read_at, Some(request)));
    }
}

/// A person edits the cluster's configuration.
fn change_ttl(world: &World, seconds: u64) {
    edit_config(world, |config| config["ttl"] = seconds.into());
    let longest = world.truth.borrow().longest_ttl.max(Duration::from_secs(seconds));
    world.truth.borrow_mut().longest_ttl = longest;
}

/// The same, of synchronous replication.
fn change_sync(world: &World) {
    let sync = SyncPlan::draw(&world.rng);
    edit_config(world, |config| {
        config["synchronous_mode"] = sync.mode.clone();
        config["synchronous_mode_strict"] = sync.strict.into();
        config["synchronous_node_count"] = sync.count.into();
    });
}

fn edit_config(world: &World, edit: impl FnOnce(&mut serde_json::Value)) {
    let (cluster, _) = decode(&world.etcd.borrow().snapshot());
    let Some(config) = cluster.config else { return };
    let mut edited = Arc::unwrap_or_clone(config.value);
    edit(&mut edited);
    let author = Author { node: None, incarnation: Incarnation(0), sent_at: world.now() };
    let value = codec::config(&edited);
    if world.etcd.borrow().up {
        // A store that is full refuses; the person gives up.
        let _ = world.commit(author, &txns::replaced(keys::CONFIG, config.revision, value));
    }
}

/// Lets a fault end.
pub fn end(world: &Rc<World>, one: &Underway) {
    let host = &world.hosts[one.node];
    world.note(one.node, over(one.what), [0, 0]);
    match one.what {
        What::KillNode | What::KillAgent => {
            host.life.borrow_mut().start_at = Some(world.now());
        }
        What::FreezeAgent => host.agent_gate.open(),
        What::StopAgent => host.life.borrow_mut().start_at = Some(world.now()),
        What::FreezeNode => thaw(world, one.node),
        What::StickLoop => host.loop_gate.open(),
        What::StallDisk => {
            let mut pg = host.pg.borrow_mut();
            pg.stalled = false;
            pg.lingering = false;
        }
        What::BreakRewinds => host.pg.borrow_mut().breaks_rewinds = false,
        What::HangServer => host.pg.borrow_mut().hung = false,
        What::StopServer | What::StopPostmaster => host.pg.borrow_mut().stopped = None,
        What::FillDisk => host.pg.borrow_mut().full = false,
        What::AwaitStandby => host.pg.borrow_mut().awaits_standby = false,
        What::SlowServer => host.pg.borrow_mut().slow = Duration::ZERO,
        What::SlowReplay => host.pg.borrow_mut().replay_step = USUAL_REPLAY_STEP,
        What::StoreOutage => world.etcd.borrow_mut().up = true,
        What::StoreElection => {
            let mut etcd = world.etcd.borrow_mut();
            etcd.up = true;
            etcd.lengthen_leases(world.now(), Duration::from_secs(1));
        }
        What::StoreFull => world.etcd.borrow_mut().full = false,
        What::CrashPostmaster
        | What::Compact
        | What::Switchover
        | What::Failover
        | What::AcceptLoss
        | What::ChangeTtl
        | What::ShortestTtl
        | What::RecycleLog
        | What::ChangeSync
        | What::HangWatches
        | What::CutWatches
        | What::RestartServer => {}
        _ => mend(world, one.node),
    }
    world.etcd.borrow().changed.notify_waiters();
}

/// After a freeze the fence acts before anybody else does: its timer has run on.
fn thaw(world: &World, node: usize) {
    world.hosts[node].gate.open();
    pass_time(world, node);
}

fn mend(world: &World, node: usize) {
    let mut net = world.net.borrow_mut();
    let road = &mut net.store[node];
    (road.there, road.back) = (Link::default(), Link::default());
    road.straggle = Duration::ZERO;
    road.stale_leader = false;
    road.watch_delay = Duration::ZERO;
    for other in 0..world.hosts.len() {
        net.agents[node][other] = Link::default();
        net.agents[other][node] = Link::default();
        net.wal[node][other] = Link::default();
        net.wal[other][node] = Link::default();
    }
}

/// Ends everything that is wrong.
pub fn heal(world: &Rc<World>, underway: &mut Vec<Underway>) {
    for one in underway.drain(..) {
        end(world, &one);
    }
    world.net.borrow_mut().heal();
    for (node, host) in world.hosts.iter().enumerate() {
        if host.gate.is_closed() {
            thaw(world, node);
        }
        host.agent_gate.open();
        host.loop_gate.open();
        let mut life = host.life.borrow_mut();
        if life.calls.is_none() && life.start_at.is_none() {
            life.start_at = Some(world.now());
        }
    }
    world.etcd.borrow().changed.notify_waiters();
}

fn told(what: What) -> &'static str {
    match what {
        What::KillNode => "FAULT: the node dies",
        What::KillAgent => "FAULT: the agent dies, and its server does not",
        What::FreezeAgent => "FAULT: the agent is frozen, and its server is not",
        What::CrashPostmaster => "FAULT: its postmaster dies",
        What::FreezeNode => "FAULT: the node is frozen",
        What::StickLoop => "FAULT: the agent's loop is stuck",
        What::StopAgent => "FAULT: the agent is told to stop",
        What::CutStore => "FAULT: it does not reach the store",
        What::LoseReplies => "FAULT: it does not hear the store",
        What::FlakyStore => "FAULT: its way to the store loses every other message",
        What::SlowStore => "FAULT: its way to the store is slow",
        What::StaleLeader => "FAULT: it talks to a stale leader of the store",
        What::Isolate => "FAULT: it is isolated",
        What::DeafAgent => "FAULT: its agent hears nobody",
        What::CutFromLeader => "FAULT: its agent and the leader's do not hear each other",
        What::SlowAgents => "FAULT: its agent and the others hear each other late",
        What::MuteAgent => "FAULT: its agent is not heard",
        What::CutReplication => "FAULT: its replication is cut",
        What::SlowReplication => "FAULT: log from it takes long",
        What::SlowReplay => "FAULT: it replays slowly",
        What::StallDisk => "FAULT: its disk does not answer",
        What::HangServer => "FAULT: its server does not answer",
        What::StopServer => "FAULT: its server's processes are stopped",
        What::StopPostmaster => "FAULT: its postmaster is stopped",
        What::FillDisk => "FAULT: its disk is full",
        What::AwaitStandby => "FAULT: commits on it wait for a standby",
        What::SlowServer => "FAULT: its server takes long for everything",
        What::HangWatches => "FAULT: its watches show nothing",
        What::CutWatches => "FAULT: its watches are cut",
        What::DelayWatches => "FAULT: its watches are late",
        What::StoreOutage => "FAULT: the store has no majority",
        What::StoreElection => "FAULT: the store elects a leader",
        What::StoreFull => "FAULT: the store has no space",
        What::Compact => "FAULT: the store compacts",
        What::Switchover => "somebody asks for a switchover",
        What::Failover => "somebody asks for a failover",
        What::AcceptLoss => "somebody accepts the loss",
        What::RecycleLog => "FAULT: its old log is gone",
        What::BreakRewinds => "FAULT: its rewinds break off",
        What::RestartServer => "somebody wants its server restarted",
        What::ChangeTtl | What::ShortestTtl => "somebody changes the ttl",
        What::ChangeSync => "somebody changes synchronous replication",
    }
}

fn over(what: What) -> &'static str {
    match what {
        What::KillNode | What::KillAgent | What::StopAgent => "over: the agent may start",
        What::FreezeNode => "over: the node runs again",
        What::StoreOutage | What::StoreElection => "over: the store works",
        What::CrashPostmaster
        | What::Compact
        | What::Switchover
        | What::Failover
        | What::AcceptLoss
        | What::ChangeTtl
        | What::RecycleLog
        | What::ShortestTtl
        | What::RestartServer
        | What::ChangeSync => "over",
        _ => "over: mended",
    }
}
