//! A store that lost the baton with everything else. Nobody can hold one there, so the lease runs on to
//! its deadline, unrenewed; until then its holder may take the baton of a later term.

use tracing::{info, warn};

use super::exposure::Fence;
use super::held::Held;
use super::keeper::{Keeper, Written};
use super::orders::LeaseError;
use crate::cluster::Cluster;
use crate::dcs::{Store, txns};
use crate::values::{Clock, LeaseDeadline, Revision, Term};

/// Whether a store holds nothing of a cluster but what its members say of themselves.
pub(super) fn is_empty(cluster: &Cluster) -> bool {
    cluster.baton.is_none()
        && cluster.guard.is_none()
        && cluster.initialize.is_none()
        && cluster.lineage.is_none()
        && cluster.leader.is_none()
}

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// The baton is gone with everything else.
    pub(super) fn is_emptied(&mut self) {
        let Some(held) = self.held.clone() else { return };
        if !held.emptied {
            warn!("the store holds nothing of this cluster any more: the lease is not renewed");
        }
        self.hold(Held { emptied: true, ..held });
    }

    pub(super) async fn refound(
        &mut self,
        term: Term,
        commits_wait: bool,
    ) -> Result<LeaseDeadline, LeaseError> {
        let held = self.held.clone().filter(|held| held.emptied).ok_or(LeaseError::NotHeld)?;
        let mut baton = held.baton.clone();
        baton.term = term;
        baton.sequence += 1;
        baton.nonce = (self.parts.nonces)();
        baton.position = self.parts.pulse.position().or(baton.position);
        baton.ttl = self.times().ttl;
        // The lease that `leader` hung on is gone, too. This one ends by itself; `leader` is then put
        // back like one that is missing.
        let (store, times) = (self.parts.store.clone(), self.times());
        let granting = async move { store.grant_lease(times.ttl * 4, times.one_try).await };
        let lease = self.meanwhile(granting).await.ok();
        self.open.clear();
        let mut written = self.write(&baton, txns::refounded(&baton, lease, commits_wait)).await;
        while matches!(written, Written::Unknown) && !self.has_lapsed() {
            written = self.look_up().await;
        }
        match written {
            Written::Ours(..) if self.has_lapsed() => Err(LeaseError::TooLate),
            Written::Ours(_, revision, sent) => {
                let renewed = sent.deadline();
                let (carried, since) = (None, revision);
                info!(%term, "the emptied store has a holder again");
                self.hold(Held { baton, revision, sent, renewed, carried, since, emptied: false });
                Ok(renewed)
            }
            Written::Foreign(Revision::ABSENT) => Err(LeaseError::Unresolved),
            Written::Given | Written::Foreign(_) => Err(LeaseError::Conflict),
            Written::Unknown | Written::Emptied => Err(LeaseError::Unresolved),
        }
    }
}
