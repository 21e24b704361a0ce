//! Once the faults are over: one writable primary, everybody else streams from it, perhaps through another;
//! except who stays down because its settings say so.

use pgbaton::config::DivergedData;
use pgbaton::values::{Clock, Lsn, WalPosition};

use crate::postgres::Process;
use crate::world::World;

/// What is still missing.
pub fn missing(world: &World) -> Result<(), String> {
    let truth = world.truth.borrow();
    let up =
        world.hosts.iter().position(|host| host.is_up() && truth.is_holder(host.incarnation()));
    let Some(leader) = up else { return Err(format!("nobody holds the baton: {:?}", truth.baton)) };
    let host = &world.hosts[leader];
    let Process::Primary { opening } = host.pg.borrow().process else {
        return Err(format!("{} leads, and its server is no primary", host.name));
    };
    if waits_for_nobody(world, leader) {
        return Ok(());
    }
    let writable = host
        .life
        .borrow()
        .published
        .as_ref()
        .is_some_and(|published| published.get().is_writable(host.clock.now()));
    if !writable {
        return Err(format!("{} leads, and does not say so", host.name));
    }
    match truth.last {
        Some((at, last)) if last == opening && world.now() - at < world.plan.ttl => {}
        _ => return Err(format!("{} leads, and takes no writes", host.name)),
    }
    for (node, other) in world.hosts.iter().enumerate().filter(|(node, _)| *node != leader) {
        if streams(world, node, leader) {
            continue;
        }
        if !may_stay_down(world, node) {
            return Err(format!("{} does not stream from {}", other.name, host.name));
        }
    }
    Ok(())
}

/// Where every node says that it may not lead because it, or another one, lacks more than was allowed to lag,
/// and does: who lacks least. Nothing that an agent may do mends that.
pub fn least_behind(world: &World) -> Option<usize> {
    if world.truth.borrow().sync.is_some() {
        return None;
    }
    let says = |node: usize| {
        let life = world.hosts[node].life.borrow();
        let reason = life.published.as_ref()?.get().decision.reason.clone();
        (reason.label == "no candidate is fit").then_some(reason.detail)
    };
    let said: Vec<String> = (0..world.hosts.len()).filter_map(says).collect();
    if said.len() < world.hosts.len() {
        return None;
    }
    let lacks = |text: &str| {
        let (name, rest) = text.split_once(" lacks ")?;
        let bytes: u64 = rest.strip_suffix(" bytes")?.parse().ok()?;
        Some((bytes, world.hosts.iter().position(|host| host.name.as_str() == name)?))
    };
    let named = said[0].split(", ").filter_map(lacks).min().map(|(_, node)| node);
    // Whoever has it all the same must be out of the question by the record.
    let is_left = |node: usize| said[0].contains(&format!("{} its ", world.hosts[node].name));
    named.filter(|_| (0..world.hosts.len()).all(|node| !has_enough(world, node) || is_left(node)))
}

/// Whether a node has what the last holder told, less what may be lost.
fn has_enough(world: &World, node: usize) -> bool {
    let told = world.truth.borrow().baton.as_ref().and_then(|baton| baton.position);
    let (Some(told), pg) = (told, world.hosts[node].pg.borrow()) else { return true };
    let Some(data) = pg.data() else { return false };
    let lsn = Lsn(told.lsn.0.saturating_sub(world.plan.lag_bytes_max));
    let found = world.wal.borrow().place(data.at, WalPosition { lsn, ..told });
    found.is_some_and(|found| found.lsn >= lsn)
}

/// Whether a node's server gets its log from the leader, straight or through others.
fn streams(world: &World, node: usize, leader: usize) -> bool {
    let mut at = node;
    for _ in 0..world.hosts.len() {
        let pg = world.hosts[at].pg.borrow();
        if pg.process != Process::Standby {
            return false;
        }
        match pg.receiver.connected {
            Some(from) if from == leader => return true,
            Some(from) => at = from,
            None => return false,
        }
    }
    false
}

/// Whether writes are to wait for a standby, and every other node stays down because it was told to.
fn waits_for_nobody(world: &World, leader: usize) -> bool {
    let life = world.hosts[leader].life.borrow();
    let strict = life.published.as_ref().is_some_and(|published| {
        let dynamic = &published.get().dynamic;
        dynamic.manages_synchronous_standbys() && dynamic.synchronous_mode_strict
    });
    strict && (0..world.hosts.len()).all(|node| node == leader || may_stay_down(world, node))
}

/// Whether this node says that it stays down because it was told to.
fn may_stay_down(world: &World, node: usize) -> bool {
    let life = world.hosts[node].life.borrow();
    let Some(published) = &life.published else { return false };
    let plan = &world.plan;
    let told = plan.diverged_data == DivergedData::StayDown && !plan.remove_diverged;
    told && published.get().decision.reason.label == "stay down: the data went another way"
}
