//! What the loop has to do with the watchdog device: says what is wanted of it, and stands back where one
//! is required that cannot be armed.

use std::sync::Arc;

use super::{Agent, assemble};
use crate::act::Ports;
use crate::act::lease::Fence;
use crate::decide::Me;
use crate::publish::WatchdogSeen;
use crate::values::WatchdogMode;

impl<P: Ports> Agent<P> {
    /// Tells the guardian what is wanted, and finds out whether that can be had.
    pub(super) fn see_to_the_watchdog(&mut self) {
        let config = &self.inlets.config.watchdog;
        let fence = self.inlets.context.exposure.fence();
        let ttl = self.lease_times().ttl;
        let known = self.own_file.watchdog.take().filter(|(at, _)| *at == ttl);
        let (_, wanted) =
            self.own_file.watchdog.insert(known.unwrap_or_else(|| (ttl, config.at(ttl))));
        fence.want_watchdog(wanted.as_ref().ok().cloned().flatten());
        let trouble = wanted.as_ref().err().cloned().or_else(|| fence.watchdog_trouble());
        let (mode, is_armed) = (config.mode, fence.is_watched());
        let seen = WatchdogSeen { mode, is_armed, trouble };
        if seen == self.watchdog {
            return;
        }
        let required = mode == WatchdogMode::Required;
        match &seen.trouble {
            Some(why) if required => {
                tracing::error!(why, "the watchdog is required and not usable")
            }
            Some(why) => tracing::debug!(why, "no watchdog device can be used"),
            None if seen.is_armed != self.watchdog.is_armed => {
                tracing::info!(armed = seen.is_armed, "the watchdog device");
            }
            None => {}
        }
        let barred = seen.trouble.clone().filter(|_| required && !is_armed);
        let barred = barred.map(|why| format!("the watchdog is required, but {why}"));
        let me = self.inlets.context.me();
        if me.barred != barred {
            let tagged = assemble::me(&self.inlets.config).may_lead;
            let may_lead = tagged && barred.is_none();
            self.inlets.context.me.replace(Arc::new(Me { barred, may_lead, ..(*me).clone() }));
        }
        self.watchdog = seen;
    }
}
