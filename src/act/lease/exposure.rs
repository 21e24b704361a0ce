//! Whether the server may accept writes, and the fence that follows from it: armed with every
//! renewal while it may, disarmed only when it cannot.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::decide::HeldLease;
use crate::mutants::{Mutant, planted};
use crate::values::{Incarnation, LeaseDeadline, Strength, Watchdog};

/// What makes acknowledging impossible at the deadline, whatever the agent is doing then.
pub trait Fence {
    /// Moves the deadline. What it was before is forgotten.
    fn arm(&self, until: LeaseDeadline);

    /// Takes the deadline away: the server is down, or was never opened.
    fn disarm(&self);

    /// Leaves what the next start of the agent needs in order to go on under this lease; the soft stop
    /// begins so long before each deadline.
    fn deposit(&self, _lease: &HeldLease, _of: Incarnation, _soft_stop: Duration) {}

    /// Whether it is there, outside of this process.
    fn is_alive(&self) -> bool {
        true
    }

    /// Whether it goes by the deadline that it was told last: one that is stopped does not.
    fn follows(&self) -> bool {
        true
    }

    /// How strong it is for a server that is started under it.
    fn strength(&self) -> Strength {
        Strength::None
    }

    /// Why it is not stronger.
    fn remarks(&self) -> String {
        String::new()
    }

    /// What is asked of a watchdog device from now on; `None` for nothing.
    fn want_watchdog(&self, _watchdog: Option<Watchdog>) {}

    /// Why the device that is wanted cannot be armed, as far as that is known.
    fn watchdog_trouble(&self) -> Option<String> {
        None
    }

    /// Has the device armed that is wanted.
    ///
    /// # Errors
    /// Why it is not armed.
    fn arm_watchdog(&self) -> impl Future<Output = Result<(), String>> {
        std::future::ready(Ok(()))
    }

    /// Whether the device is armed.
    fn is_watched(&self) -> bool {
        false
    }

    /// What was done at a deadline and nobody has told of yet.
    fn take_report(&self) -> Option<FenceReport> {
        None
    }
}

/// What a fence did at a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceReport {
    /// All of it in words.
    pub text: String,
    /// How long ago the kill began, or was found to have nothing left to do.
    pub ago: Duration,
    /// How long before the deadline a soft stop had begun, if one had.
    pub soft_before: Option<Duration>,
    /// How many processes were killed.
    pub processes: u64,
    /// How long after the deadline the kill began.
    pub began_after: Duration,
    /// How long after the deadline every process was fenced.
    pub fenced_after: Duration,
    /// Whether all of them were gone by then.
    pub all_gone: bool,
}

/// The mark that the server may accept writes. Cheap to clone; held for a few instructions only.
pub struct Exposure<F> {
    inner: Arc<Inner<F>>,
}

impl<F> Clone for Exposure<F> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<F> {
    fence: F,
    exposed: Mutex<Exposed>,
}

#[derive(Clone, Copy, Default)]
struct Exposed {
    is: bool,
    /// An earlier start of this agent opened the server, and whose the lease is has to be found out.
    left_until: Option<LeaseDeadline>,
}

impl<F: Fence> Inner<F> {
    fn arm(&self, until: LeaseDeadline) {
        let late = planted(Mutant::GuardianArmedLate);
        let until = if late { until.moment() + Duration::from_secs(2) } else { until.moment() };
        self.fence.arm(LeaseDeadline::at(until));
    }
}

impl<F: Fence> Exposure<F> {
    /// Starts covered, unless an earlier start of this agent left the server open under a deadline that
    /// the fence holds.
    pub fn new(fence: F, left_until: Option<LeaseDeadline>) -> Self {
        let exposed = Mutex::new(Exposed { is: left_until.is_some(), left_until });
        Self { inner: Arc::new(Inner { fence, exposed }) }
    }

    /// The fence itself, for what changes nothing.
    pub fn fence(&self) -> &F {
        &self.inner.fence
    }

    /// Marks the server as one that may accept writes from now on, until `until`.
    pub fn expose(&self, until: LeaseDeadline) {
        let mut exposed = self.lock();
        *exposed = Exposed { is: true, left_until: None };
        self.inner.arm(until);
    }

    /// The lease was renewed.
    pub fn extend(&self, lease: &HeldLease, of: Incarnation, soft_stop: Duration) {
        let exposed = self.lock();
        self.inner.fence.deposit(lease, of, soft_stop);
        if exposed.is {
            self.inner.arm(lease.deadline);
        }
    }

    /// The lease shows itself as held, by which it is known whose it is. Not before: a view in between
    /// would have a server that is open under nobody's lease.
    pub fn settle(&self) {
        self.lock().left_until = None;
    }

    /// No process of the server is left that could accept a write.
    pub fn cover(&self) {
        let mut exposed = self.lock();
        *exposed = Exposed::default();
        self.inner.fence.disarm();
    }

    /// Whether the server may accept writes.
    pub fn is_exposed(&self) -> bool {
        self.lock().is
    }

    /// Until when the server is open under a lease that an earlier start of this agent left.
    pub fn left_until(&self) -> Option<LeaseDeadline> {
        self.lock().left_until
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Exposed> {
        self.inner.exposed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
