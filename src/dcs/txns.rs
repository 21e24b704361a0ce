//! The transactions that agents make. Every change of the cluster's state stands here under a
//! condition; only a member's own keys are put without one.

use bytes::Bytes;

use super::{Compare, LeaseId, Op, Txn, codec, keys};
use crate::cluster::{
    Basis, Baton, Guard, Initialize, Loss, Member, Presence, Recovered, Request, SyncState,
};
use crate::mutants::{Mutant, planted};
use crate::values::{Incarnation, MemberName, Revision};

/// A put of a value without a lease.
pub fn put(key: &str, value: Bytes) -> Op {
    Op::Put(key.to_owned(), value, None)
}

/// A leader's writes: done only while the guard is still its own.
pub fn guarded(guard: &Guard, ops: Vec<Op>) -> Txn {
    let own = Compare::Value(keys::GUARD.to_owned(), codec::guard(guard));
    let compares = if planted(Mutant::UnguardedWrite) { Vec::new() } else { vec![own] };
    Txn { compares, ops }
}

/// A write to a key that is still at the revision it was read at; [`Revision::ABSENT`] for one that
/// must not exist.
pub fn replaced(key: &str, read_at: Revision, value: Bytes) -> Txn {
    Txn { compares: vec![at(key, read_at)], ops: vec![put(key, value)] }
}

/// The deletion of a key that is still at the revision it was read at.
pub fn deleted(key: &str, read_at: Revision) -> Txn {
    Txn { compares: vec![at(key, read_at)], ops: vec![Op::Delete(key.to_owned())] }
}

/// A new request, or with `None` the end of one, over the one that was read.
pub fn requested(read_at: Revision, request: Option<&Request>) -> Txn {
    replaced(keys::FAILOVER, read_at, codec::request(request))
}

/// The same about the vacancy in which the baton was read: nothing is written where that has changed.
pub fn requested_in_vacancy(read_at: Revision, request: Option<&Request>, baton: Revision) -> Txn {
    let mut txn = requested(read_at, request);
    txn.compares.push(at(keys::BATON, baton));
    txn
}

/// A renewal: the holder's next baton over its last. `restored` puts `leader` back where it is
/// missing, and then asks that it still be missing.
pub fn renewed(last: Revision, next: &Baton, restored: Option<LeaseId>) -> Txn {
    let mut txn = replaced(keys::BATON, last, codec::baton(next));
    if let Some(lease) = restored {
        txn.compares.push(at(keys::LEADER, Revision::ABSENT));
        txn.ops.push(leader_is(&next.holder, Some(lease)));
    }
    txn
}

/// A renewal by the holder's next agent, under a later term: what the one before still has under way then fails at
/// the guard.
pub fn resumed(last: Revision, next: &Baton) -> Txn {
    let mut txn = renewed(last, next, None);
    txn.ops.push(put(keys::GUARD, codec::guard(&next.guard())));
    txn
}

/// A change of holder: by a race (over the revision that was seen unchanged, [`Revision::ABSENT`] for
/// the first), or by name (over the giver's own). The guard and `leader` change with it, whatever
/// lease `leader` hangs on.
pub fn taken(seen: Revision, next: &Baton, lease: Option<LeaseId>) -> Txn {
    let mut txn = replaced(keys::BATON, seen, codec::baton(next));
    txn.ops.push(put(keys::GUARD, codec::guard(&next.guard())));
    txn.ops.push(leader_is(&next.holder, lease));
    txn
}

/// The further conditions of a change of holder: what it rests on is unchanged.
pub fn rests_on(basis: Basis) -> impl Iterator<Item = Compare> {
    let list = basis.failsafe.map(|revision| at(keys::FAILSAFE, revision));
    list.into_iter().chain(basis.word.map(|revision| at(keys::FAILOVER, revision)))
}

/// A person accepts a store that went back: what it says of promotions is dropped, the next leader
/// writes down anew what its data is. So is what it says of synchronous standbys, which may have changed since.
/// What was once asked for is not asked for any more.
pub fn recovered(read_at: Revision, recovered: &Recovered) -> Txn {
    let mut txn = replaced(keys::RECOVERED, read_at, codec::recovered(recovered));
    txn.ops.push(Op::Delete(keys::LINEAGE.to_owned()));
    txn.ops.push(Op::Delete(keys::SYNC.to_owned()));
    txn.ops.push(put(keys::FAILOVER, codec::request(None)));
    txn
}

/// The holder of a cluster that the store has lost takes the baton of a later term in the empty store. Where
/// commits wait for standbys, nobody but the holder is known to have them all, until it has written down who has.
pub fn refounded(next: &Baton, lease: Option<LeaseId>, commits_wait: bool) -> Txn {
    let mut txn = taken(Revision::ABSENT, next, lease);
    if commits_wait {
        let alone = SyncState {
            leader: Some(next.holder.clone()),
            standbys: Default::default(),
            quorum: 0,
        };
        txn.ops.push(put(keys::SYNC, codec::sync(&alone)));
    }
    txn.compares.push(at(keys::INITIALIZE, Revision::ABSENT));
    txn.compares.push(at(keys::GUARD, Revision::ABSENT));
    txn
}

/// A release: the baton is marked as free, `leader` goes. The guard stays, so that what the holder
/// still has under way is judged by its own term until the next one takes over.
pub fn released(last: Revision, free: &Baton) -> Txn {
    let mut txn = replaced(keys::BATON, last, codec::baton(free));
    txn.ops.push(Op::Delete(keys::LEADER.to_owned()));
    txn
}

/// A claim to bootstrap, where there is none and no cluster yet. It goes with the claimant's lease.
/// Patroni's key has no room for whose it is; that stands beside it.
pub fn claimed(claimant: Incarnation, lease: LeaseId) -> Txn {
    let claim = codec::initialize(Initialize::Claimed);
    let claim = Op::Put(keys::INITIALIZE.to_owned(), claim, Some(lease));
    let claimant = Op::Put(keys::CLAIM.to_owned(), codec::claim(claimant), Some(lease));
    Txn { compares: vec![at(keys::INITIALIZE, Revision::ABSENT)], ops: vec![claim, claimant] }
}

/// The end of a claim that was read at this revision.
pub fn unclaimed(read_at: Revision) -> Txn {
    let mut txn = deleted(keys::INITIALIZE, read_at);
    txn.ops.push(Op::Delete(keys::CLAIM.to_owned()));
    txn
}

/// The bootstrap's end: guarded, and only while the claim is still the one it began with.
pub fn founded(guard: &Guard, claimed_at: Revision, mut ops: Vec<Op>) -> Txn {
    ops.push(Op::Delete(keys::CLAIM.to_owned()));
    let mut txn = guarded(guard, ops);
    txn.compares.push(at(keys::INITIALIZE, claimed_at));
    txn
}

/// A member's own record. Unconditional: nobody else writes it.
pub fn own_member(me: &Member, lease: LeaseId) -> Txn {
    let op = Op::Put(keys::member(&me.name), codec::member(me), Some(lease));
    Txn { compares: Vec::new(), ops: vec![op] }
}

/// An agent's own presence. Unconditional: nobody else writes it.
pub fn own_presence(me: &MemberName, presence: &Presence, lease: Option<LeaseId>) -> Txn {
    let op = Op::Put(keys::agent(me), codec::presence(presence), lease);
    Txn { compares: Vec::new(), ops: vec![op] }
}

/// What a member gave up of its own log. Unconditional: nobody else writes it. Without a lease: it
/// outlives the member.
pub fn own_losses(me: &MemberName, losses: &[Loss]) -> Txn {
    let op = put(&keys::losses(me), codec::losses(losses));
    Txn { compares: Vec::new(), ops: vec![op] }
}

fn at(key: &str, revision: Revision) -> Compare {
    Compare::ModRevision(key.to_owned(), revision)
}

fn leader_is(name: &MemberName, lease: Option<LeaseId>) -> Op {
    Op::Put(keys::LEADER.to_owned(), codec::leader(name), lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::BatonState;
    use crate::values::{Incarnation, Term};

    fn baton() -> Baton {
        Baton {
            term: Term(3),
            incarnation: Incarnation(0xff),
            holder: "pg-a".into(),
            sequence: 1,
            nonce: 2,
            position: None,
            ttl: std::time::Duration::ZERO,
            state: BatonState::Held,
        }
    }

    #[test]
    fn every_write_of_cluster_state_has_a_condition() {
        let (baton, at) = (baton(), Revision(5));
        for txn in [
            guarded(
                &baton.guard(),
                vec![put(
                    keys::STATUS,
                    codec::status(Default::default(), &Default::default(), &[]),
                )],
            ),
            replaced(keys::CONFIG, at, Bytes::new()),
            deleted(keys::SYNC, at),
            requested(Revision::ABSENT, None),
            renewed(at, &baton, None),
            renewed(at, &baton, Some(LeaseId(1))),
            taken(at, &baton, None),
            released(at, &baton),
            refounded(&baton, None, true),
            claimed(Incarnation(1), LeaseId(1)),
            unclaimed(at),
            founded(&baton.guard(), at, Vec::new()),
        ] {
            assert!(!txn.compares.is_empty(), "{txn:?}");
        }
    }

    #[test]
    fn in_an_emptied_store_the_holder_alone_has_every_commit() {
        let record = |commits_wait| {
            let txn = refounded(&baton(), None, commits_wait);
            let of_sync = |op: Op| match op {
                Op::Put(key, value, _) if key == keys::SYNC => Some(value),
                _ => None,
            };
            txn.ops.into_iter().find_map(of_sync)
        };
        assert_eq!(record(false), None);
        let spelled = br#"{"leader":"pg-a","quorum":0,"sync_standby":null}"#;
        assert_eq!(record(true), Some(Bytes::from_static(spelled)));
    }

    #[test]
    fn a_lease_that_is_taken_up_brings_another_guard() {
        let txn = resumed(Revision(5), &baton());
        assert!(txn.ops.contains(&put(keys::GUARD, codec::guard(&baton().guard()))));
        assert_eq!(txn.compares, [at(keys::BATON, Revision(5))]);
    }

    #[test]
    fn a_new_holder_brings_its_guard_and_its_name_along() {
        let txn = taken(Revision(5), &baton(), Some(LeaseId(9)));
        let spelled = br#"{"term":3,"incarnation":"00000000000000ff"}"#;
        let guard = Bytes::from_static(spelled);
        assert!(txn.ops.contains(&put(keys::GUARD, guard.clone())));
        let leader = Op::Put("leader".to_owned(), "pg-a".into(), Some(LeaseId(9)));
        assert!(txn.ops.contains(&leader));
        let compares = guarded(&baton().guard(), Vec::new()).compares;
        assert_eq!(compares, [Compare::Value(keys::GUARD.to_owned(), guard)]);
    }

    #[test]
    fn leader_is_put_back_only_where_it_is_missing() {
        let txn = renewed(Revision(5), &baton(), Some(LeaseId(9)));
        assert!(txn.compares.contains(&at(keys::LEADER, Revision::ABSENT)));
        assert_eq!(renewed(Revision(5), &baton(), None).ops.len(), 1);
    }
}
