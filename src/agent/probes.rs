//! What the loop tells the probes at the end of a turn.

use super::Agent;
use crate::act::Ports;
use crate::cluster::State;
use crate::decide::{JobKind, View};
use crate::observe::Glance;

impl<P: Ports> Agent<P> {
    /// Tells the probes what there is to be asked.
    pub(super) fn show_probes(&self, view: &View) {
        let position = match &*view.server {
            State::Primary(facts) => Some(facts.position.lsn),
            _ => None,
        };
        let making = self.job.as_ref().is_some_and(|running| {
            let kind = running.job.kind;
            matches!(kind, JobKind::Bootstrap | JobKind::Copy | JobKind::Rewind)
        });
        let glance = Glance {
            leads: view.my_term.is_some() && (position.is_some() || view.exposed),
            has_data: !making && *view.server != State::Empty,
            position,
            silent: *view.server == State::Silent,
            stall_timeout: view.settings.dynamic.primary_stall_timeout,
        };
        self.inlets.probes.glance.send_if_modified(|before| {
            let changed = *before != glance;
            *before = glance;
            changed
        });
    }
}
