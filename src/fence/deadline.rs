//! The thread that kills the server when the deadline passes, whatever the rest of the agent is doing.
//! It shares nothing with the agent's runtimes but one number and one timer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::{BoottimeClock, Target, kill_all};
use crate::values::{Clock, LeaseDeadline, Monotonic};

/// No deadline.
const NOT_ARMED: u64 = 0;

/// A kill that the deadline asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The deadline that passed.
    pub deadline: LeaseDeadline,
    /// When the kill began.
    pub began_at: Monotonic,
    /// When every process was fenced.
    pub fenced_at: Monotonic,
    /// How many processes were killed.
    pub processes: usize,
    /// Whether all of them were gone by then.
    pub all_gone: bool,
}

/// Holds the deadline, and kills the server when it passes. Dropping it disarms it.
#[derive(Debug)]
pub struct DeadlineFence {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    deadline_nanos: AtomicU64,
    timer: TimerFd,
    target: Arc<Target>,
    fired: Mutex<Option<Fired>>,
    ends: AtomicBool,
}

impl DeadlineFence {
    /// Starts the thread, not armed.
    ///
    /// # Errors
    /// When the kernel gives no timer on `CLOCK_BOOTTIME` or no thread.
    pub fn start(target: Arc<Target>) -> std::io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC)?;
        let shared = Arc::new(Shared {
            deadline_nanos: AtomicU64::new(NOT_ARMED),
            timer,
            target,
            fired: Mutex::new(None),
            ends: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("deadline-fence".into())
            .spawn(move || of_thread.keep())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sets the deadline; one that has passed already fires at once.
    pub fn arm(&self, deadline: LeaseDeadline) {
        let nanos = deadline.moment().since_boot().as_nanos().min(u128::from(u64::MAX)) as u64;
        self.shared.deadline_nanos.store(nanos.max(1), Ordering::SeqCst);
        self.shared.wake_at(Duration::from_nanos(nanos.max(1)));
    }

    /// Takes the deadline away: this node acknowledges nothing any more, or is a standby.
    pub fn disarm(&self) {
        self.shared.deadline_nanos.store(NOT_ARMED, Ordering::SeqCst);
    }

    /// The deadline that is set now.
    pub fn armed(&self) -> Option<LeaseDeadline> {
        let nanos = self.shared.deadline_nanos.load(Ordering::SeqCst);
        (nanos != NOT_ARMED).then(|| deadline_at(nanos))
    }

    /// The last kill that the deadline asked for.
    pub fn fired(&self) -> Option<Fired> {
        *self.shared.fired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeadlineFence {
    fn drop(&mut self) {
        self.disarm();
        self.shared.ends.store(true, Ordering::SeqCst);
        self.shared.wake_at(Duration::from_nanos(1));
        if let Some(thread) = self.thread.take() {
            // The thread has no panic that a caller could do anything about.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn wake_at(&self, since_boot: Duration) {
        let at = Expiration::OneShot(TimeSpec::from_duration(since_boot));
        self.timer
            .set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            .expect("a timer that was created can be set");
    }

    fn keep(&self) {
        while !self.ends.load(Ordering::SeqCst) {
            // A failed wait must not leave the deadline unguarded: then it is polled.
            if self.timer.wait().is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let nanos = self.deadline_nanos.load(Ordering::SeqCst);
            if nanos == NOT_ARMED {
                continue;
            }
            let deadline = deadline_at(nanos);
            let began_at = BoottimeClock.now();
            if deadline.has_passed(began_at) {
                self.fire(deadline, began_at);
            }
        }
    }

    fn fire(&self, deadline: LeaseDeadline, began_at: Monotonic) {
        let fenced = kill_all(&self.target);
        let fenced_at = BoottimeClock.now();
        let (processes, all_gone) = (fenced.processes, fenced.all_gone);
        let record = Fired { deadline, began_at, fenced_at, processes, all_gone };
        *self.fired.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
        // A deadline that was set meanwhile stays.
        let nanos = deadline.moment().since_boot().as_nanos() as u64;
        let _ = self.deadline_nanos.compare_exchange(
            nanos,
            NOT_ARMED,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
    }
}

fn deadline_at(nanos: u64) -> LeaseDeadline {
    LeaseDeadline::at(Monotonic::from_boot(Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Process;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    fn sleeper() -> (std::process::Child, Arc<Target>) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let target = Arc::new(Target::new("/nowhere".into(), "postgres"));
        target.runs(Process::read(child.id() as i32).unwrap(), "/nowhere".as_ref());
        (child, target)
    }

    #[test]
    fn the_server_is_killed_when_the_deadline_passes_and_not_before() {
        let (mut child, target) = sleeper();
        let fence = DeadlineFence::start(target).unwrap();
        let far = LeaseDeadline::at(BoottimeClock.now() + Duration::from_secs(600));
        fence.arm(far);
        assert_eq!(fence.armed(), Some(far));
        assert!(child.try_wait().unwrap().is_none());
        let near = LeaseDeadline::at(BoottimeClock.now() + Duration::from_millis(20));
        fence.arm(near);

        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        while fence.fired().is_none() {
            std::thread::yield_now();
        }
        let fired = fence.fired().unwrap();
        assert_eq!(fired.deadline, near);
        assert!(near.has_passed(fired.began_at) && fired.fenced_at >= fired.began_at);
        assert_eq!((fired.processes, fired.all_gone), (1, true));
    }

    #[test]
    fn a_disarmed_deadline_kills_nobody() {
        let (mut child, target) = sleeper();
        let fence = DeadlineFence::start(target).unwrap();
        let deadline = LeaseDeadline::at(BoottimeClock.now() + Duration::from_millis(30));
        fence.arm(deadline);
        fence.disarm();
        while !deadline.has_passed(BoottimeClock.now()) {
            std::thread::yield_now();
        }
        let shared = fence.shared.clone();
        // Joins the thread, which has seen the timer: afterwards nothing can fire any more.
        drop(fence);
        assert_eq!(*shared.fired.lock().unwrap(), None);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
