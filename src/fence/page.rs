//! One page of memory that the agent and the guardian share: the deadline goes one way, what was done
//! about it the other. Nobody waits for anybody here, and no disk is behind it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::sys;
use crate::values::{Incarnation, LeaseDeadline, Monotonic, Revision, Term};

const BYTES: usize = 4096;
/// No deadline.
const NOT_ARMED: u64 = 0;

#[repr(C)]
#[derive(Debug)]
struct Fields {
    deadline: AtomicU64,
    soft_stop: AtomicU64,
    incarnation: AtomicU64,
    term: AtomicU64,
    revision: AtomicU64,
    taken_in: AtomicU64,
    fired_deadline: AtomicU64,
    fired_soft_at: AtomicU64,
    fired_at: AtomicU64,
    fenced_at: AtomicU64,
    processes: AtomicU64,
    all_gone: AtomicU64,
    fired_count: AtomicU64,
    reported_count: AtomicU64,
    ended_count: AtomicU64,
    ended_status: AtomicU64,
    watched: AtomicU64,
}

/// The shared page, as one of the two has mapped it.
#[derive(Debug)]
pub struct Page {
    fields: *mut Fields,
    memory: OwnedFd,
}

// SAFETY: the mapping lives as long as the value, and everything in it is atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// What an agent leaves with the guardian at each renewal: by it the next one knows the lease again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The start of the agent that the baton names.
    pub incarnation: Incarnation,
    /// Its term.
    pub term: Term,
    /// The baton's revision.
    pub revision: Revision,
}

/// A kill at a deadline that the guardian carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// The deadline that passed.
    pub deadline: LeaseDeadline,
    /// When the soft stop had begun, if one had.
    pub soft_at: Option<Monotonic>,
    /// When the kill began.
    pub began_at: Monotonic,
    /// When every process was fenced.
    pub fenced_at: Monotonic,
    /// How many processes were killed.
    pub processes: u64,
    /// Whether all of them were gone by then.
    pub all_gone: bool,
}

/// Whether a watchdog device is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// It is not.
    Not,
    /// It is, and takes the signs of life.
    Armed,
    /// It is, and did not take the last sign: it will restart the machine.
    Deaf,
}

impl Page {
    /// A new page.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn make() -> io::Result<Self> {
        Self::map(sys::memory_file(c"pgbaton-deadline", BYTES)?)
    }

    /// The page behind a descriptor that was handed over.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map(memory: OwnedFd) -> io::Result<Self> {
        Ok(Self { fields: sys::map_shared(memory.as_raw_fd(), BYTES)?.cast(), memory })
    }

    /// The same page once more, for another thread.
    ///
    /// # Errors
    /// When it cannot be mapped again.
    pub fn another_view(&self) -> io::Result<Self> {
        Self::map(self.memory.try_clone()?)
    }

    /// Says whether a watchdog device is armed.
    pub fn watch(&self, watched: Watched) {
        self.fields().watched.store(watched as u64, Ordering::SeqCst);
    }

    /// Whether a watchdog device is armed.
    pub fn watched(&self) -> Watched {
        match self.fields().watched.load(Ordering::SeqCst) {
            0 => Watched::Not,
            1 => Watched::Armed,
            _ => Watched::Deaf,
        }
    }

    /// To be handed over.
    pub fn memory(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.memory.as_fd()
    }

    fn fields(&self) -> &Fields {
        // SAFETY: mapped for as long as `self` lives, zeroed at first, aligned to a page, atomics only.
        unsafe { &*self.fields }
    }

    /// Sets the deadline, and how long before it the soft stop begins.
    pub fn arm(&self, deadline: LeaseDeadline) {
        self.fields().deadline.store(nanos(deadline.moment()), Ordering::SeqCst);
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.fields().deadline.store(NOT_ARMED, Ordering::SeqCst);
    }

    /// Takes this deadline away, unless another was set meanwhile.
    pub fn disarm_if(&self, deadline: LeaseDeadline) {
        let expected = nanos(deadline.moment());
        let (done, failed) = (Ordering::SeqCst, Ordering::SeqCst);
        let _ = self.fields().deadline.compare_exchange(expected, NOT_ARMED, done, failed);
    }

    /// The deadline that is set.
    pub fn armed(&self) -> Option<LeaseDeadline> {
        moment(self.fields().deadline.load(Ordering::SeqCst)).map(LeaseDeadline::at)
    }

    /// How long before a deadline the soft stop begins.
    pub fn soft_stop(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.fields().soft_stop.load(Ordering::SeqCst))
    }

    /// Leaves what the next agent needs in order to go on.
    pub fn deposit(&self, deposit: Deposit, soft_stop: std::time::Duration) {
        let fields = self.fields();
        fields.soft_stop.store(soft_stop.as_nanos() as u64, Ordering::SeqCst);
        fields.incarnation.store(deposit.incarnation.0, Ordering::SeqCst);
        fields.term.store(deposit.term.0, Ordering::SeqCst);
        fields.revision.store(deposit.revision.0 as u64, Ordering::SeqCst);
    }

    /// What the last agent left; `None` when it never held the lease.
    pub fn deposited(&self) -> Option<Deposit> {
        let read = |field: &AtomicU64| field.load(Ordering::SeqCst);
        let incarnation = Incarnation(read(&self.fields().incarnation));
        (incarnation.0 != 0).then(|| Deposit {
            incarnation,
            term: Term(read(&self.fields().term)),
            revision: Revision(read(&self.fields().revision) as _),
        })
    }

    /// The guardian's timers are set for this.
    pub fn take_in(&self, deadline: Option<LeaseDeadline>) {
        let value = deadline.map_or(NOT_ARMED, |deadline| nanos(deadline.moment()));
        self.fields().taken_in.store(value, Ordering::SeqCst);
    }

    /// What the guardian's timers are set for.
    pub fn taken_in(&self) -> Option<LeaseDeadline> {
        moment(self.fields().taken_in.load(Ordering::SeqCst)).map(LeaseDeadline::at)
    }

    /// The kill was carried out.
    pub fn fired(&self, done: &Enforced) {
        let fields = self.fields();
        let store = |field: &AtomicU64, value: u64| field.store(value, Ordering::SeqCst);
        store(&fields.fired_deadline, nanos(done.deadline.moment()));
        store(&fields.fired_soft_at, done.soft_at.map_or(0, nanos));
        store(&fields.fired_at, nanos(done.began_at));
        store(&fields.fenced_at, nanos(done.fenced_at));
        store(&fields.processes, done.processes);
        store(&fields.all_gone, u64::from(done.all_gone));
        fields.fired_count.fetch_add(1, Ordering::SeqCst);
    }

    /// The last kill, unless somebody has told of it already. Told of from now on.
    pub fn take_report(&self) -> Option<Enforced> {
        let fields = self.fields();
        let read = |field: &AtomicU64| field.load(Ordering::SeqCst);
        let count = read(&fields.fired_count);
        if fields.reported_count.swap(count, Ordering::SeqCst) == count {
            return None;
        }
        Some(Enforced {
            deadline: LeaseDeadline::at(moment(read(&fields.fired_deadline))?),
            soft_at: moment(read(&fields.fired_soft_at)),
            began_at: moment(read(&fields.fired_at))?,
            fenced_at: moment(read(&fields.fenced_at))?,
            processes: read(&fields.processes),
            all_gone: read(&fields.all_gone) != 0,
        })
    }

    /// The postmaster ended, with this status as `waitpid` tells it.
    pub fn server_ended(&self, status: i32) {
        self.fields().ended_status.store(status as u32 as u64, Ordering::SeqCst);
        self.fields().ended_count.fetch_add(1, Ordering::SeqCst);
    }

    /// How many postmasters have ended, and how the last one did.
    pub fn ended(&self) -> (u64, i32) {
        let count = self.fields().ended_count.load(Ordering::SeqCst);
        (count, self.fields().ended_status.load(Ordering::SeqCst) as u32 as i32)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        sys::unmap(self.fields.cast(), BYTES);
    }
}

fn nanos(moment: Monotonic) -> u64 {
    (moment.since_boot().as_nanos().min(u128::from(u64::MAX)) as u64).max(1)
}

fn moment(nanos: u64) -> Option<Monotonic> {
    let at = || Monotonic::from_boot(std::time::Duration::from_nanos(nanos));
    (nanos != 0).then(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn both_sides_see_the_same_page() {
        let agents = Page::make().unwrap();
        let guardians = Page::map(agents.memory().as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!((guardians.armed(), guardians.deposited()), (None, None));
        let until = LeaseDeadline::at(at(7));
        let deposit = Deposit { incarnation: Incarnation(3), term: Term(2), revision: Revision(5) };
        agents.deposit(deposit, Duration::from_millis(600));
        agents.arm(until);
        assert_eq!(guardians.armed(), Some(until));
        assert_eq!(guardians.deposited(), Some(deposit));
        assert_eq!(guardians.soft_stop(), Duration::from_millis(600));
        // Another deadline was set meanwhile: it stays.
        guardians.disarm_if(LeaseDeadline::at(at(6)));
        assert_eq!(agents.armed(), Some(until));
        guardians.disarm_if(until);
        assert_eq!(agents.armed(), None);
    }

    #[test]
    fn a_kill_is_reported_once() {
        let page = Page::make().unwrap();
        assert_eq!(page.take_report(), None);
        let done = Enforced {
            deadline: LeaseDeadline::at(at(7)),
            soft_at: Some(at(6)),
            began_at: at(7),
            fenced_at: at(8),
            processes: 12,
            all_gone: true,
        };
        page.fired(&done);
        assert_eq!(page.take_report(), Some(done));
        assert_eq!(page.take_report(), None);
    }
}
