//! Tasks that can be frozen (not polled, as after SIGSTOP) and killed (dropped at once).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Whether the tasks behind it run.
#[derive(Default)]
pub struct Gate {
    closed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    /// Nothing behind it runs any more.
    pub fn close(&self) {
        self.closed.set(true);
    }

    /// Everything behind it runs again.
    pub fn open(&self) {
        self.closed.set(false);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// So often all agents together are polled in one step of time at the most.
pub const POLLS_MAX: u64 = 20_000;

type Slot = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// A running task; dropping the handle lets it run on.
pub struct Task {
    slot: Slot,
    join: tokio::task::JoinHandle<()>,
}

impl Task {
    /// Starts a task behind gates, all of which must be open for it to run.
    pub fn spawn(
        gates: Vec<Rc<Gate>>,
        polls: Rc<Cell<u64>>,
        future: impl Future<Output = ()> + 'static,
    ) -> Self {
        let slot: Slot = Rc::new(RefCell::new(Some(Box::pin(future))));
        let polled = Rc::clone(&slot);
        let join = tokio::task::spawn_local(std::future::poll_fn(move |context| {
            if let Some(gate) = gates.iter().find(|gate| gate.is_closed()) {
                gate.waiting.borrow_mut().push(context.waker().clone());
                return Poll::Pending;
            }
            polls.set(polls.get() + 1);
            if polls.get() > POLLS_MAX {
                // Goes round in circles: time would never pass again.
                return Poll::Pending;
            }
            match &mut *polled.borrow_mut() {
                Some(future) => future.as_mut().poll(context),
                None => Poll::Ready(()),
            }
        }));
        Self { slot, join }
    }

    /// Drops it where it stands. Not to be called from within it.
    pub fn kill(self) {
        let future = self.slot.borrow_mut().take();
        drop(future);
        self.join.abort();
    }
}
