//! Until when a node's lease is really carried by the listed members, as no agent can know it.

use std::time::Duration;

use pgbaton::cluster::Listed;
use pgbaton::dcs::{RawSnapshot, decode, keys};
use pgbaton::values::{Clock, Incarnation, Monotonic, Term};

use crate::sometimes::Sometimes;
use crate::world::World;

/// One acceptance.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Whose lease.
    pub leader: usize,
    /// Which start of its agent.
    pub incarnation: Incarnation,
    /// In which term it asked: what it takes up after a release is another lease.
    pub term: Option<Term>,
    /// When it was asked for, in true time.
    pub sent_at: Duration,
    /// When it was given, in true time.
    pub at: Duration,
    /// For how long it binds.
    pub ttl: Duration,
}

/// Until when, by the node's own clock; `None` when it is not carried.
pub fn until(world: &World, node: usize) -> Option<Monotonic> {
    let list = listed(world)?;
    let name = &world.hosts[node].name;
    if !list.contains_key(name) {
        return None;
    }
    let needed = if list.len() < 3 { list.len() } else { list.len() - 1 };
    let clock = world.hosts[node].clock;
    let truth = world.truth.borrow();
    let others = list.keys().filter(|other| *other != name);
    let mut ends: Vec<Monotonic> = others
        .filter_map(|other| {
            let host = world.hosts.iter().position(|host| host.name == *other);
            let accepted = truth.accepted[host?]?;
            let is_for_it =
                accepted.leader == node && accepted.incarnation == world.hosts[node].incarnation();
            is_for_it.then(|| clock.at(accepted.sent_at) + (accepted.ttl - accepted.ttl / 1000))
        })
        .collect();
    ends.sort_unstable_by(|one, other| other.cmp(one));
    if needed <= 1 {
        return Some(Monotonic::from_boot(Duration::MAX));
    }
    let end = ends.get(needed - 2).copied()?;
    let all = ends.iter().filter(|end| **end > clock.now()).count() + 1 == list.len();
    if end > clock.now() {
        world.sometimes(Sometimes::CarriedByMembers);
        if !all {
            world.sometimes(Sometimes::CarriedWithOneGone);
        }
    }
    Some(end)
}

/// The list in the store.
fn listed(world: &World) -> Option<Listed> {
    let mut snapshot = RawSnapshot::default();
    let raw = world.etcd.borrow().key(keys::FAILSAFE)?.clone();
    snapshot.keys.insert(keys::FAILSAFE.to_owned(), raw);
    Some(decode(&snapshot).0.failsafe?.value)
}
