//! Whether the server may accept writes, and the fence that follows from it: armed with every
//! renewal while it may, disarmed only when it cannot.

use std::sync::Arc;
use std::sync::Mutex;

use crate::values::LeaseDeadline;

/// What makes acknowledging impossible at the deadline, whatever the agent is doing then.
pub trait Fence {
    /// Moves the deadline. What it was before is forgotten.
    fn arm(&self, until: LeaseDeadline);

    /// Takes the deadline away: the server is down, or was never opened.
    fn disarm(&self);
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
    exposed: Mutex<bool>,
}

impl<F: Fence> Exposure<F> {
    /// Starts covered.
    pub fn new(fence: F) -> Self {
        Self { inner: Arc::new(Inner { fence, exposed: Mutex::new(false) }) }
    }

    /// Marks the server as one that may accept writes from now on, until `until`.
    pub fn expose(&self, until: LeaseDeadline) {
        let mut exposed = self.lock();
        *exposed = true;
        self.inner.fence.arm(until);
    }

    /// The lease was renewed.
    pub fn extend(&self, until: LeaseDeadline) {
        if *self.lock() {
            self.inner.fence.arm(until);
        }
    }

    /// No process of the server is left that could accept a write.
    pub fn cover(&self) {
        let mut exposed = self.lock();
        *exposed = false;
        self.inner.fence.disarm();
    }

    /// Whether the server may accept writes.
    pub fn is_exposed(&self) -> bool {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.inner.exposed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
