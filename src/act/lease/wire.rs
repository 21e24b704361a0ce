//! The wire side of the lease: one try at a write, and reading back what became of it.

use std::error::Error;

use tracing::warn;

use super::exposure::Fence;
use super::keeper::{Keeper, Written};
use super::refound;
use super::tries::Sent;
use crate::cluster::{Baton, BatonState, Versioned};
use crate::dcs::{Store, Txn, decode};
use crate::mutants::{Mutant, planted};
use crate::values::{Clock, LeaseTimes, Revision};

impl<S: Store, C: Clock, F: Fence> Keeper<S, C, F> {
    /// One try at writing the baton, and where the answer is not clear, one at reading it back.
    pub(super) async fn write(&mut self, baton: &Baton, txn: Txn) -> Written {
        let within = self.times().one_try;
        let sent_at = self.now();
        let sent = Sent { at: sent_at, times: LeaseTimes::for_ttl(baton.ttl) };
        self.open.add(baton.nonce, sent);
        // A shorter ttl binds from the moment the others may learn it.
        self.shorten(sent.deadline());
        let store = self.parts.store.clone();
        let result = self.meanwhile(async move { store.commit(txn, within).await }).await;
        self.parts.metrics.store("renew", self.now().since(sent_at), result.is_ok());
        match result {
            Ok(reply) if reply.succeeded => {
                self.is_unanswered = false;
                self.open.clear();
                let late = planted(Mutant::DeadlineFromReply);
                let at = if late { self.now() } else { sent_at };
                if self.gives(baton) {
                    return Written::Given;
                }
                Written::Ours(Box::new(baton.clone()), reply.revision, Sent { at, ..sent })
            }
            Ok(_) => self.look_up().await,
            Err(error) => {
                if planted(Mutant::KeepaliveAsProof) && self.keepalive_says_yes(sent).await {
                    return Written::Unknown;
                }
                // Said once for a row of them: the tries come many to a second.
                if !std::mem::replace(&mut self.is_unanswered, true) {
                    warn!(error = &error as &dyn Error, "the lease was not renewed this time");
                }
                // An answer in no time at all must not turn this into a busy loop.
                let spent = self.now().since(sent_at);
                self.meanwhile(tokio::time::sleep((within / 10).saturating_sub(spent))).await;
                Written::Unknown
            }
        }
    }

    async fn keepalive_says_yes(&mut self, sent: Sent) -> bool {
        let lease = *self.parts.display.borrow();
        let Some(lease) = lease else { return false };
        let kept = self.parts.store.keep_lease(lease, self.times().one_try).await.is_ok();
        if kept {
            self.believe_the_keepalive(sent);
        }
        kept
    }

    /// Whether a baton that this agent wrote gives the lease away.
    fn gives(&self, baton: &Baton) -> bool {
        baton.state != BatonState::Held || baton.incarnation != self.parts.incarnation
    }

    /// Reads the baton, linearizably, and recognises what this agent wrote.
    pub(super) async fn look_up(&mut self) -> Written {
        let within = self.times().one_try;
        let asked_at = self.now();
        let store = self.parts.store.clone();
        let snapshot = match self.meanwhile(async move { store.read_all(within).await }).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                warn!(error = &error as &dyn Error, "the baton could not be read back");
                let spent = self.now().since(asked_at);
                self.meanwhile(tokio::time::sleep((within / 10).saturating_sub(spent))).await;
                return Written::Unknown;
            }
        };
        let (cluster, _) = decode(&snapshot);
        if refound::is_empty(&cluster) {
            return Written::Emptied;
        }
        let Some(found) = cluster.baton else { return Written::Foreign(Revision::ABSENT) };
        let by_name = planted(Mutant::OwnerByName) && found.value.holder == self.parts.name;
        let Versioned { value: baton, revision } = found;
        match self.open.sent(baton.nonce) {
            Some(_) if self.gives(&baton) => {
                self.open.clear();
                Written::Given
            }
            Some(sent) => {
                self.open.clear();
                Written::Ours(Box::new(baton), revision, sent)
            }
            None if by_name => {
                let times = LeaseTimes::for_ttl(self.times().ttl.max(baton.ttl));
                let baton = Baton { incarnation: self.parts.incarnation, ..baton };
                Written::Ours(Box::new(baton), revision, Sent { at: asked_at, times })
            }
            None => Written::Foreign(revision),
        }
    }
}
