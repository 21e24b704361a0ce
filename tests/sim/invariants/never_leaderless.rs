//! Where enough members are left, one of them serves, also while nothing is mended.

use std::collections::BTreeSet;
use std::time::Duration;

use pgbaton::config::DivergedData;

use super::Check;
use crate::faults::Target;
use crate::host::Host;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;

pub const NAME: &str = "never_leaderless_with_quorum";

/// A primary that serves acknowledges something in any such time.
const RECENT: Duration = Duration::from_millis(500);
/// No standby of a world lags by more.
const NEVER_TOO_FAR: u64 = 1 << 20;

/// Looked at when the faults have lasted long enough.
pub fn check(world: &World) -> Check {
    let last = world.truth.borrow().last.map(|(at, _)| at);
    match last {
        Some(at) if world.now() - at <= RECENT => Ok(()),
        _ => Err(format!("nobody serves since {last:?}, and enough members are left")),
    }
}

/// Who stays away when all else is mended; nobody where the settings may forbid the others to lead.
pub fn draw_who_stays_away(rng: &Rng, plan: &Plan) -> Vec<Target> {
    let stays_down = plan.diverged_data == DivergedData::StayDown && !plan.remove_diverged;
    let may_be = plan.nodes > 2 && plan.lag_bytes_max >= NEVER_TOO_FAR && !stays_down;
    if !may_be || !rng.chance(250) {
        return Vec::new();
    }
    // With failsafe mode on, one of three cannot know whether the others carry the leader.
    let targets = [&[Target::Leader][..], &[Target::Other], &[Target::Leader, Target::Other]];
    let most = if plan.failsafe { 2 } else { 3 };
    rng.pick(&targets[..most]).to_vec()
}

/// Whether those who are left can tell what was acknowledged, and one of them may lead and has it or can
/// still get it.
pub fn are_enough_left(world: &World, away: &BTreeSet<usize>) -> bool {
    let truth = world.truth.borrow();
    let Some(acknowledged) = truth.acknowledged else { return false };
    let wal = world.wal.borrow();
    let left = || world.hosts.iter().enumerate().filter(|(node, _)| !away.contains(node));
    let fits = |host: &Host| {
        let pg = host.pg.borrow();
        let at = pg.data().map(|data| data.at);
        at.is_some_and(|at| wal.holds(at, acknowledged) || wal.may_stream(at, acknowledged))
    };
    let may_lead = left().any(|(node, host)| {
        fits(host) && !matches!(world.plan.tags[node], Some(("nofailover", _)))
    });
    let heard = truth.sync.as_ref().is_none_or(|record| {
        let leads = left().any(|(_, host)| record.leader.as_ref() == Some(&host.name));
        let votes = |host: &Host| record.standbys.contains(&host.name) && fits(host);
        leads || left().filter(|(_, host)| votes(host)).count() > record.quorum as usize
    });
    may_lead && heard && !left().any(|(_, host)| waits_for_others(host, left().count()))
}

/// Whether writes are to wait until a standby is back.
fn waits_for_others(host: &Host, left: usize) -> bool {
    let life = host.life.borrow();
    let Some(published) = &life.published else { return false };
    let dynamic = &published.get().dynamic;
    left == 1 && dynamic.manages_synchronous_standbys() && dynamic.synchronous_mode_strict
}
