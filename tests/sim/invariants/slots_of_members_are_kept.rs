//! A member's slot outlives its absence: no world lasts as long as `member_slots_ttl`.

use super::Check;
use crate::world::World;

pub const NAME: &str = "slots_of_members_are_kept";

pub fn check(world: &World, node: usize, dropped: &[String]) -> Check {
    let others = world.hosts.iter().enumerate().filter(|(other, _)| *other != node);
    for (_, host) in others {
        let slot = host.name.slot_name();
        if dropped.contains(&slot) {
            let leader = &world.hosts[node].name;
            return Err(format!("{leader} drops the slot of {}, which may come back", host.name));
        }
    }
    Ok(())
}
