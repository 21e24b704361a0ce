//! The cluster's state is written by whoever the guard names, and by nobody who was deposed.

use bytes::Bytes;
use pgbaton::cluster::{Guard, Initialize};
use pgbaton::dcs::{Op, Txn, codec, keys};

use super::Check;
use crate::etcd::Author;
use crate::world::World;

pub const NAME: &str = "term_guarded_writes";

pub fn check(world: &World, author: Author, txn: &Txn, guard: Option<&Bytes>) -> Check {
    let Some(node) = author.node else { return Ok(()) };
    let takes = txn.ops.iter().any(|op| matches!(op, Op::Put(key, ..) if key == keys::BATON));
    for op in &txn.ops {
        let (key, value) = match op {
            Op::Put(key, value, _) => (key.as_str(), Some(value)),
            Op::Delete(key) => (key.as_str(), None),
        };
        let own = ["members/", "agents/", "losses/"].iter().any(|prefix| key.starts_with(prefix));
        let claim = key == keys::CLAIM
            || key == keys::INITIALIZE
                && value.is_none_or(|value| *value == codec::initialize(Initialize::Claimed));
        if takes || own || claim || is_author(guard, author) {
            continue;
        }
        return Err(format!("{} writes {key} under somebody else's guard", world.hosts[node].name));
    }
    Ok(())
}

/// Whether the guard names this start of this agent, in whichever term.
fn is_author(guard: Option<&Bytes>, author: Author) -> bool {
    let Some(guard) = guard else { return false };
    let Ok(text) = std::str::from_utf8(guard) else { return false };
    let own = Guard { term: Default::default(), incarnation: author.incarnation };
    let own = codec::guard(&own);
    let Ok(own) = std::str::from_utf8(&own) else { return false };
    let incarnation = |text: &str| text.split("\"incarnation\":").nth(1).map(str::to_owned);
    incarnation(text) == incarnation(own)
}
