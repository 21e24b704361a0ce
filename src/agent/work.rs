//! What runs beside the loop: one job, and side work; how each begins and what its end means.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use tracing::{debug, warn};

use super::Agent;
use crate::act::{EffectError, Ports, Telling, carry_out, chain, refuse};
use crate::decide::{Decision, Effect, Job, JobKind};
use crate::publish::Stage;
use crate::values::{Clock, Revision};

type Work = Pin<Box<dyn Future<Output = Result<(), EffectError>>>>;

/// Something that runs beside the loop.
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) work: Work,
}

impl<P: Ports> Agent<P> {
    pub(super) fn job_ended(&mut self, result: Result<(), EffectError>) {
        let Some(running) = self.job.take() else { return };
        let kind = running.job.kind;
        self.copy = None;
        if kind == JobKind::Vote {
            self.memory.promise_asked = None;
            self.inlets.context.kept.promise_answers.borrow_mut().clear();
        }
        match result {
            Ok(()) => self.memory.succeeded(kind),
            Err(error) => {
                let reason = chain(&error);
                warn!(job = ?kind, reason, "could not be finished");
                let request = self.cluster_request();
                self.memory.failed(kind, self.inlets.context.clock.now(), reason, request);
            }
        }
        self.inlets.metrics.turn(Stage::Act, self.now().since(running.job.since));
    }

    fn cluster_request(&self) -> Option<Revision> {
        let cluster = self.inlets.context.cluster();
        let request = cluster.request.as_ref()?;
        request.value.as_ref().map(|_| request.revision)
    }

    pub(super) fn upkeep_ended(&mut self, result: Result<(), EffectError>) {
        self.upkeep = None;
        let rest = || self.now() + self.lease_times().heartbeat;
        self.upkeep_rests_until = result.is_err().then(rest);
        let reason = result.as_ref().map_or_else(|error| chain(error), |()| String::new());
        // It comes again by itself: what is the same as before is said quietly.
        if !reason.is_empty() && reason != self.side_work_failed {
            warn!(reason, "side work could not be finished");
        } else if !reason.is_empty() {
            debug!(reason, "side work could not be finished again");
        }
        self.side_work_failed = reason;
    }

    /// Starts what was decided. A job that is dropped stops where it is.
    pub(super) fn begin(&mut self, decision: Decision) {
        let since = self.now();
        if let [Effect::RefusePromise(refusal)] = decision.effects.as_slice() {
            // An answer, not work: it must not wait for the job that it is about.
            refuse(&self.inlets.context, refusal);
            self.memory.promise_asked = None;
            return;
        }
        if decision.interrupt && self.job.take().is_some() {
            self.copy = None;
        }
        if !decision.effects.is_empty() && self.job.is_none() {
            let job = Job { kind: decision.kind, since };
            let work = Box::pin(carry_out(
                Rc::clone(&self.inlets.context),
                decision.effects,
                Telling::Steps,
            ));
            self.job = Some(Running { job, work });
        }
        if !decision.upkeep.is_empty() && self.upkeep.is_none() {
            let job = Job { kind: JobKind::Other, since };
            let work = Box::pin(carry_out(
                Rc::clone(&self.inlets.context),
                decision.upkeep,
                Telling::Quietly,
            ));
            self.upkeep = Some(Running { job, work });
        }
    }
}

/// Polls what runs, if anything does.
pub(super) async fn finished(running: &mut Option<Running>) -> Result<(), EffectError> {
    match running {
        Some(running) => running.work.as_mut().await,
        None => std::future::pending().await,
    }
}
