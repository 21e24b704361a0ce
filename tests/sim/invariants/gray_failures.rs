//! A server that is alive and of no use is replaced in time, and one that is of use never is for that
//! reason: two rules about the same thing.

use std::time::Duration;

use pgbaton::decide::{RESTART_LABEL, Stall};

use super::Check;
use crate::faults::What;
use crate::sometimes::Sometimes;
use crate::world::World;

pub const WORKING: &str = "no_stall_failover_of_a_working_server";
pub const IN_TIME: &str = "gray_failure_is_handed_over";

/// How much more than `primary_stall_timeout` it may take.
const MORE: Duration = Duration::from_secs(2);

const STALLS: [Stall; 4] = [Stall::Disk, Stall::Postmaster, Stall::Sessions, Stall::Full];

/// A gray failure of the leader with which nothing else goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Alone {
    /// Whose.
    pub node: usize,
    /// When it has to be over.
    pub due: Duration,
    /// When it began.
    pub since: Duration,
}

/// Whether a fault leaves a server alive and useless.
pub fn is_gray(what: What) -> bool {
    matches!(what, What::StallDisk | What::StopServer | What::StopPostmaster | What::FillDisk)
}

/// When a failure that begins now has to be over: nobody is replaced so soon after taking the lead, and
/// whoever comes next misses the synchronous standbys for a renewal period before it goes on alone.
pub fn due(world: &World) -> Duration {
    let timeout = Duration::from_secs(world.plan.stall_timeout_seconds);
    let led_since = world.led_since.get();
    let is_managed = world.truth.borrow().sync.is_some();
    let alone = if is_managed { world.plan.ttl / 5 } else { Duration::ZERO };
    (world.now() + timeout).max(led_since + timeout * 3) + MORE + alone
}

/// Whoever gives its server up for a stall has one.
pub fn check_working(world: &World, node: usize) -> Check {
    let host = &world.hosts[node];
    let status = host.life.borrow().published.as_ref().map(|published| published.get());
    let Some(status) = status else { return Ok(()) };
    let (label, since) = (status.decision.reason.label, status.decision.since);
    let is_stall = STALLS.iter().any(|stall| stall.hand_over_label() == label);
    if !is_stall && label != RESTART_LABEL || host.judged.replace(Some(since)) == Some(since) {
        return Ok(());
    }
    world.sometimes(Sometimes::StallHandedOver);
    let now = world.now();
    let timeout = Duration::from_secs(world.plan.stall_timeout_seconds);
    let least = if label == Stall::Full.hand_over_label() { Duration::ZERO } else { timeout / 2 };
    let useless = host.pg.borrow().useless;
    let is_useless = useless.is_some_and(|(since, until)| {
        now - until < Duration::from_millis(300) && until - since >= least
    });
    if is_useless {
        return Ok(());
    }
    Err(format!(
        "{} says {}, and its server was well: {useless:?}",
        host.name, status.decision.reason
    ))
}

fn is_strict(world: &World, node: usize) -> bool {
    let life = world.hosts[node].life.borrow();
    let published = life.published.as_ref().map(|published| published.get());
    published.is_some_and(|status| status.dynamic.synchronous_mode_strict)
}

/// What has to be over by now is over.
pub fn check_in_time(world: &World) -> Check {
    let Some(alone) = world.alone.get() else { return Ok(()) };
    let truth = world.truth.borrow();
    let only_it_may_lead = truth.sync.as_ref().is_some_and(|sync| sync.standbys.is_empty());
    if only_it_may_lead || truth.sync.is_some() && is_strict(world, alone.node) {
        // Whoever else led could lack what it has acknowledged; or, in strict mode, may have nobody left
        // to wait for but the node that is sick.
        world.alone.set(None);
        return Ok(());
    }
    let served = truth.last.is_some_and(|(at, opening)| {
        at > alone.since && truth.openings[opening].node != alone.node
    });
    if served {
        world.alone.set(None);
    } else if world.now() > alone.due {
        world.alone.set(None);
        // Restarted in place, where a handover would have lost what new sessions wrote.
        if truth.last.is_some_and(|(at, _)| world.now() - at < Duration::from_millis(500)) {
            return Ok(());
        }
        let (host, since) = (&world.hosts[alone.node], alone.since);
        let life = host.life.borrow();
        let status = life.published.as_ref().map(|published| published.get());
        let says = status.map(|status| status.decision.reason.to_string());
        return Err(format!(
            "{} has been of no use since {since:?}, and nobody else serves; it says {says:?}",
            host.name
        ));
    }
    Ok(())
}
