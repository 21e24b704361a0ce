//! Putting settings in force: the cluster's when they change in the store, the node's on request.

use std::sync::Arc;

use tracing::{info, warn};

use super::report::OwnFile;
use super::{Agent, assemble, settings};
use crate::act::Ports;
use crate::cluster::State;
use crate::config::{Dynamic, Floors, effective_postgresql};
use crate::decide::Me;
use crate::postgres::Server;
use crate::publish::WatchdogSeen;

impl<P: Ports> Agent<P> {
    /// Puts the dynamic configuration in force when it has changed.
    pub(super) async fn apply_config(&mut self) {
        let cluster = self.inlets.context.cluster();
        let revision = cluster.config.as_ref().map(|config| config.revision);
        let is_new = revision != self.applied;
        // A server that hangs would hold up the loop, which has to judge it.
        let rests = self.configures_again_at.is_some_and(|at| self.now() < at)
            || self.look.state == State::Silent;
        if !is_new && (self.configured || rests) {
            return;
        }
        if is_new && let Some(config) = &cluster.config {
            match Dynamic::from_document(&config.value, Floors::Own) {
                Ok((dynamic, adjustments)) => {
                    for adjustment in adjustments {
                        warn!(%adjustment, "the dynamic configuration was adjusted");
                    }
                    self.inlets.dynamic = Arc::new(dynamic);
                    // What a leader writes back should the key vanish.
                    self.inlets.context.first_config.replace((*config.value).clone());
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "the configuration is kept");
                }
            }
        }
        self.applied = revision;
        self.put_in_force().await;
    }

    async fn put_in_force(&mut self) {
        let effective = effective_postgresql(&self.inlets.config, &self.inlets.dynamic);
        for warning in &effective.warnings {
            warn!(warning, "a setting is not in force");
        }
        let settings =
            Arc::new(settings(&self.inlets.dynamic, &effective, &self.inlets.config.pgbaton));
        self.inlets.times.send_if_modified(|times| {
            let changed = *times != settings.times;
            *times = settings.times;
            changed
        });
        let wanted = settings.dynamic.failsafe_mode;
        self.inlets.failsafe.send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
        self.inlets.context.settings.replace(settings);
        let within = self.lease_times().one_try;
        let written = self.inlets.context.server.configure(&effective);
        // The bound also frees a job that got the server's files before this did, and that nobody polls meanwhile.
        self.configured = match tokio::time::timeout(within, written).await {
            // A job may be starting the server, with the settings of before: then once more.
            Ok(Ok(_)) => self.job.is_none(),
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "the settings were not written");
                false
            }
            // A disk that does not answer must not hold up the turn, and with it the lease.
            Err(_) => {
                warn!(?within, "the settings were not written in time");
                false
            }
        };
        // Nor every turn until it answers again.
        let again_at = self.now() + self.lease_times().ttl;
        self.configures_again_at = (!self.configured).then_some(again_at);
    }

    pub(super) fn reload_files(&mut self) {
        let Some(read) = (self.inlets.reload)() else { return };
        let mut config = Arc::unwrap_or_clone(read);
        let waiting = config.keep_what_needs_a_restart(&self.inlets.config);
        info!("the files were read again");
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            warn!(keys, "changed in the files, and in force only after a restart of the agent");
        }
        let config = Arc::new(config);
        let me = Me { incarnation: self.inlets.context.me().incarnation, ..assemble::me(&config) };
        self.inlets.context.me.replace(Arc::new(me));
        self.own_file = OwnFile::of(&config);
        self.inlets.config = config;
        self.configured = false;
        self.configures_again_at = None;
        // What bars this node is looked at anew.
        self.watchdog = WatchdogSeen::default();
    }
}
