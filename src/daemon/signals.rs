//! What the process is told by signals.

use std::future::Future;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tracing::info;

use super::notify::Notify;
use crate::wake::{Call, Calls};

/// A signal that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGHUP: read the files again.
    Reload,
    /// SIGUSR2: another version of the program takes over.
    Upgrade,
    /// SIGTERM or SIGINT: stop. A second one changes nothing: what is under way is finished.
    Stop,
}

/// Passes signals on for ever.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn pass_on(to: UnboundedSender<Told>) -> Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut user = signal(SignalKind::user_defined2()).context("SIGUSR2")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    Ok(async move {
        loop {
            let told = tokio::select! {
                _ = hangup.recv() => Told::Reload,
                _ = user.recv() => Told::Upgrade,
                _ = terminate.recv() => Told::Stop,
                _ = interrupt.recv() => Told::Stop,
            };
            if to.send(told).is_err() {
                return;
            }
        }
    })
}

/// Takes one in.
pub fn take(told: Told, notify: &Notify, calls: &Calls) {
    let call = match told {
        Told::Reload => {
            notify.reloading(super::monotonic_micros());
            notify.ready();
            Call::Reload
        }
        Told::Upgrade => Call::Upgrade,
        Told::Stop => {
            notify.stopping();
            Call::Stop
        }
    };
    info!(signal = ?told, "received");
    // The loop is about to end where nobody takes the call any more.
    let _ = calls.send(call);
}
