//! The thread that tends the device. Not the guardian's own: a driver may take its time, and the kill at
//! the deadline waits for nobody. It shares the deadline's page and two flags with it, reserves nothing
//! once it runs, and takes no lock.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::page::{Page, Watched};
use super::super::{BoottimeClock, sys};
use super::device::{self, Device};
use super::rules::{Due, Rules};
use crate::values::{Clock, Watchdog};

/// How often it is looked what is due.
const LOOK_EVERY_MILLIS: i32 = 50;
/// How long the guardian's own end waits for the device.
const ENDS_WITHIN_MILLIS: i32 = 1000;
/// A small stack: the guardian's memory is locked.
const STACK_BYTES: usize = 64 * 1024;

/// What the thread is told.
#[derive(Debug, Default)]
struct Told {
    nothing_left: AtomicBool,
    ends: AtomicBool,
}

/// A device that is armed, and the thread that tends it.
#[derive(Debug)]
pub struct Tender {
    watchdog: Watchdog,
    told: Arc<Told>,
    ended: std::os::fd::OwnedFd,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tended {
    /// It is armed.
    Armed,
    /// It was disarmed.
    Disarmed,
}

impl Tender {
    /// Arms the device.
    ///
    /// # Errors
    /// Why it is not armed.
    pub fn arm(watchdog: &Watchdog, page: &Page) -> Result<Self, String> {
        let failed = |error: io::Error| format!("no thread to tend the watchdog: {error}");
        let page = page.another_view().map_err(failed)?;
        let ended = sys::event().map_err(failed)?;
        let bell = ended.try_clone().map_err(failed)?;
        let told = Arc::new(Told::default());
        let of_thread = Arc::clone(&told);
        let timeout = Duration::from_secs(watchdog.seconds.into());
        let device = device::open(watchdog)?;
        let tend = move || {
            page.watch(Watched::Armed);
            tend(device, timeout, &page, &of_thread);
            sys::ring(bell.as_fd());
        };
        let started =
            std::thread::Builder::new().name("watchdog".into()).stack_size(STACK_BYTES).spawn(tend);
        match started {
            Ok(_) => Ok(Self { watchdog: watchdog.clone(), told, ended }),
            Err(error) => {
                // The device went with the closure, and was not disarmed: that is done over.
                let again = device::open(watchdog);
                let _ = again.and_then(|mut one| one.disarm().map_err(|error| error.to_string()));
                Err(failed(error))
            }
        }
    }

    /// What it was armed as.
    pub fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Whether any process of the server is left that could do anything.
    pub fn tell(&self, nothing_left: bool) {
        self.told.nothing_left.store(nothing_left, Ordering::SeqCst);
    }

    /// Whether it is armed still.
    pub fn state(&self) -> Tended {
        if sys::is_ready(self.ended.as_fd(), 0) { Tended::Disarmed } else { Tended::Armed }
    }

    /// Disarms it where nothing of the server is left, for the guardian leaves.
    pub fn end(self) {
        self.told.ends.store(true, Ordering::SeqCst);
        sys::is_ready(self.ended.as_fd(), ENDS_WITHIN_MILLIS);
    }
}

fn tend(mut device: Box<dyn Device>, timeout: Duration, page: &Page, told: &Told) {
    let mut rules = Rules::new(timeout, BoottimeClock.now());
    loop {
        let nothing_left = told.nothing_left.load(Ordering::SeqCst);
        let ends = told.ends.load(Ordering::SeqCst);
        match rules.due(BoottimeClock.now(), page.armed(), nothing_left) {
            Due::Nothing => {}
            Due::KeepAlive => {
                let taken = device.keep_alive();
                page.watch(if taken.is_ok() { Watched::Armed } else { Watched::Deaf });
            }
            Due::Disarm => break,
        }
        if ends && nothing_left {
            break;
        }
        let _ = sys::poll(&mut [], LOOK_EVERY_MILLIS);
    }
    let disarmed = device.disarm();
    drop(device);
    page.watch(if disarmed.is_ok() { Watched::Not } else { Watched::Deaf });
}
