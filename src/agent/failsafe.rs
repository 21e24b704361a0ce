//! Answering primaries that do not reach the store. An acceptance binds every decision after it, so it
//! is given between two decisions, by the same view as the second.

use tokio::sync::oneshot;
use tracing::info;

use super::Agent;
use crate::act::Ports;
use crate::cluster::{Cluster, FailsafeAsk, NotAccepted};
use crate::decide::{LeaseSight, View, judge};
use crate::values::{MemberName, Revision};

/// A question, and where its answer goes.
pub(super) struct Asked {
    pub(super) ask: FailsafeAsk,
    pub(super) answer: oneshot::Sender<Result<(), NotAccepted>>,
}

impl<P: Ports> Agent<P> {
    /// Who carries the lease, while it rests on that.
    pub(super) fn carried_by(&self, lease: &LeaseSight) -> Vec<MemberName> {
        match lease.held {
            Some(held) if held.deadline > held.renewed => self.inlets.context.failsafe.carried_by(),
            Some(_) | None => Vec::new(),
        }
    }

    /// A store that went back knows nothing of what this agent wrote before.
    pub(super) fn forget_an_old_store(&mut self, cluster: Option<&Cluster>) {
        let Some(cluster) = cluster else { return };
        if cluster.revision < self.memory.store_revision {
            self.memory.wrote = Revision::ABSENT;
            self.memory.status_written = None;
            self.inlets.context.kept.written_lineage.replace(None);
        }
        self.memory.store_revision = cluster.revision;
    }

    /// Answers all that wait, and puts what was accepted into the view.
    pub(super) fn answer_failsafe(&mut self, view: &mut View) {
        for Asked { ask, answer } in std::mem::take(&mut self.failsafe_asked) {
            let verdict = judge(view, &ask);
            let shown = verdict.as_ref().map(|_| ()).map_err(Clone::clone);
            self.tell_verdict(view, &ask, &shown);
            if let Ok(acceptance) = verdict {
                // A vote that stood from before is worth nothing any more.
                self.inlets.context.kept.standing_vote.replace(None);
                let before = self.memory.accepted.take();
                self.memory.accepted = Some(acceptance.or_longer(before));
                view.memory.accepted = self.memory.accepted.clone();
            }
            // Whoever asked may have given up; the acceptance stands all the same.
            let _ = answer.send(shown);
        }
    }

    /// Said once for a row of the same.
    fn tell_verdict(&mut self, view: &View, ask: &FailsafeAsk, verdict: &Result<(), NotAccepted>) {
        let before = self.failsafe_told.as_ref();
        let said_lately = before.is_some_and(|(at, name, said)| {
            view.now.since(*at) < view.settings.times.ttl && *name == ask.name && said == verdict
        });
        self.failsafe_told = Some((view.now, ask.name.clone(), verdict.clone()));
        if said_lately {
            return;
        }
        let leader = ask.name.as_str();
        match verdict {
            Ok(()) => info!(leader, "failsafe: this node carries the leader's lease"),
            Err(why) => info!(leader, ?why, "failsafe: the leader's lease is not carried"),
        }
    }
}
