//! The agent's side of the watchdog device: what is wanted of it, and what the guardian made of that.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::client::{Guardian, lock};
use super::page::Watched;
use super::watchdog::trouble;
use super::wire::{self, Request};
use crate::values::Watchdog;

/// How long the guardian may take to arm it.
const ARMS_WITHIN: Duration = Duration::from_secs(3);
/// One that could not be armed is tried again after this.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What is wanted, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    watchdog: Option<Watchdog>,
    failed: Option<(Instant, String)>,
}

impl Guardian {
    /// What is wanted from now on. One that is armed is armed so, or disarmed when its server has ended.
    pub fn want_watchdog(&self, watchdog: Option<Watchdog>) {
        let mut wanted = lock(&self.0.watchdog);
        if wanted.watchdog == watchdog {
            return;
        }
        *wanted = Wanted { watchdog: watchdog.clone(), failed: None };
        drop(wanted);
        if let Some(link) = self.link()
            && link.page.watched() != Watched::Not
        {
            // What comes of it shows on the page.
            let _ = wire::send(link.socket.as_fd(), &Request::Watch(watchdog), &[]);
        }
    }

    /// Why the device that is wanted cannot be armed, as far as that is known.
    pub fn watchdog_trouble(&self) -> Option<String> {
        let wanted = lock(&self.0.watchdog);
        let failed = wanted.failed.as_ref().filter(|(at, _)| at.elapsed() < TRY_AGAIN_AFTER);
        let failed = failed.map(|(_, why)| why.clone());
        failed.or_else(|| trouble(wanted.watchdog.as_ref()?))
    }

    /// Has it armed, and waits for that: not for a runtime's thread.
    ///
    /// # Errors
    /// Why it is not armed; nothing where none is wanted.
    pub fn arm_watchdog(&self) -> Result<(), String> {
        let Some(watchdog) = lock(&self.0.watchdog).watchdog.clone() else { return Ok(()) };
        let armed = self.ask_to_watch(watchdog);
        let failed = armed.as_ref().err().map(|why| (Instant::now(), why.clone()));
        lock(&self.0.watchdog).failed = failed;
        armed
    }

    fn ask_to_watch(&self, watchdog: Watchdog) -> Result<(), String> {
        if let Some(why) = trouble(&watchdog) {
            return Err(why);
        }
        let link = self.living_link().map_err(|error| error.to_string())?;
        let told = lock(&link.watching.1);
        while told.try_recv().is_ok() {}
        wire::send(link.socket.as_fd(), &Request::Watch(Some(watchdog)), &[])
            .map_err(|error| error.to_string())?;
        match told.recv_timeout(ARMS_WITHIN) {
            Ok(why) if why.is_empty() => Ok(()),
            Ok(why) => Err(why),
            Err(_) => Err("the guardian does not say that it is armed".to_owned()),
        }
    }

    /// Whether the device is armed.
    pub fn watched(&self) -> Watched {
        self.link().map_or(Watched::Not, |link| link.page.watched())
    }

    /// Another guardian is in the place of one that left the device armed: it goes on, or disarms it.
    pub(super) fn watch_again(&self, was_watched: bool) {
        let watchdog = lock(&self.0.watchdog).watchdog.clone();
        if let (true, Some(watchdog), Some(link)) = (was_watched, watchdog, self.link()) {
            let _ = wire::send(link.socket.as_fd(), &Request::Watch(Some(watchdog)), &[]);
        }
    }
}
