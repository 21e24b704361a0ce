//! The system calls of the guardian and of those who talk to it, one thin function each: no policy, and
//! nothing that waits unless it is told for how long.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::values::Monotonic;

fn checked(outcome: i64) -> io::Result<i32> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome as i32) }
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just given this descriptor to us alone.
    checked(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Memory that can be handed over.
pub fn memory_file(name: &CStr, bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: a name that ends in zero; the rest are numbers.
    let memory = owned(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) }.into())?;
    // SAFETY: numbers only.
    checked(unsafe { libc::ftruncate(memory.as_raw_fd(), bytes as i64) }.into())?;
    Ok(memory)
}

/// Maps it, and touches it, so that it is there when it is needed.
pub fn map_shared(fd: RawFd, bytes: usize) -> io::Result<*mut libc::c_void> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
    // SAFETY: a new mapping that overlaps nothing.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) };
    if place == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(place) }
}

/// Ends a mapping.
pub fn unmap(place: *mut libc::c_void, bytes: usize) {
    // SAFETY: the caller's own mapping, which nobody uses any more.
    unsafe { libc::munmap(place, bytes) };
}

/// A pipe: its reading and its writing end, neither of which waits where `waits` is false.
pub fn pipe(waits: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let flags = if waits { libc::O_CLOEXEC } else { libc::O_CLOEXEC | libc::O_NONBLOCK };
    // SAFETY: room for two descriptors.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }.into())?;
    Ok((owned(ends[0].into())?, owned(ends[1].into())?))
}

/// Whether reads and writes on it wait.
pub fn set_waits(fd: BorrowedFd<'_>, waits: bool) -> io::Result<()> {
    let mode = if waits { 0 } else { libc::O_NONBLOCK };
    // SAFETY: numbers only.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, mode) }.into()).map(drop)
}

/// Makes a pipe as large as the kernel allows, up to this; a smaller one does as well.
pub fn widen_pipe(fd: BorrowedFd<'_>, bytes: i32) {
    // SAFETY: numbers only.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// A counter that wakes whoever polls it.
pub fn event() -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())
}

/// Wakes whoever polls the event.
pub fn ring(event: BorrowedFd<'_>) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight bytes that live on. A counter that is full wakes as well.
    unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Reads what there is; `Ok(0)` is the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as it says.
    let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    checked(got as i64).map(|got| got as usize)
}

/// Writes what fits.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are as long as they say.
    let put = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    checked(put as i64).map(|put| put as usize)
}

/// A timer on the clock that also counts while the machine sleeps.
pub fn timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: numbers only.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) }.into())
}

/// Sets the timer to a moment, or stops it.
pub fn set_timer(timer: BorrowedFd<'_>, at: Option<Monotonic>) {
    let value = spec(at);
    let (fd, flags) = (timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
    // SAFETY: the value lives on; a timer that was created can be set.
    unsafe { libc::timerfd_settime(fd, flags, &raw const value, std::ptr::null_mut()) };
}

fn spec(at: Option<Monotonic>) -> libc::itimerspec {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = at.map_or(zero, |at| {
        let since = at.since_boot().max(Duration::from_nanos(1));
        libc::timespec {
            tv_sec: since.as_secs() as libc::time_t,
            tv_nsec: since.subsec_nanos().into(),
        }
    });
    libc::itimerspec { it_interval: zero, it_value: value }
}

/// A timer of the kernel's that sends this process a signal, whatever the process is doing then.
#[derive(Debug)]
pub struct LastResort(libc::timer_t);

impl LastResort {
    /// SIGKILL, or for PID 1 (which the kernel spares that) a signal whose handler exits.
    pub fn new(is_first_process: bool) -> io::Result<Self> {
        let signal = if is_first_process { libc::SIGALRM } else { libc::SIGKILL };
        if is_first_process {
            // SAFETY: the handler calls nothing but `_exit`.
            unsafe { libc::signal(libc::SIGALRM, leave as *const () as libc::sighandler_t) };
        }
        // SAFETY: a structure of numbers, which may all be zero.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer: libc::timer_t = std::ptr::null_mut();
        let (clock, place) = (libc::CLOCK_BOOTTIME, &raw mut timer);
        // SAFETY: both live on.
        checked(unsafe { libc::timer_create(clock, &raw mut event, place) }.into())?;
        Ok(Self(timer))
    }

    /// Sets it to a moment, or stops it.
    pub fn set(&self, at: Option<Monotonic>) {
        let value = spec(at);
        let flags = libc::TIMER_ABSTIME;
        // SAFETY: the value lives on; a timer that was created can be set.
        unsafe { libc::timer_settime(self.0, flags, &raw const value, std::ptr::null_mut()) };
    }
}

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: allowed in a handler.
    unsafe { libc::_exit(128 + libc::SIGKILL) };
}

/// Waits for one of these, for so many milliseconds; -1 is for ever.
pub fn poll(fds: &mut [libc::pollfd], millis: i32) -> io::Result<usize> {
    // SAFETY: the list is as long as it says.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
    checked(ready.into()).map(|ready| ready as usize)
}

/// Whether it can be read, or has ended, within so many milliseconds.
pub fn is_ready(fd: BorrowedFd<'_>, millis: i32) -> bool {
    let mut polled = [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    matches!(poll(&mut polled, millis), Ok(1))
}

/// A handle on a process.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal through a handle.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    let fd = pidfd.as_raw_fd();
    // SAFETY: numbers, and no further information.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) }).map(drop)
}

/// The id, as it is here, of the process behind a handle; `None` when it is gone.
pub fn pid_behind(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let told = std::fs::read_to_string(path).ok()?;
    let pid = told.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Signals of this list are read from the descriptor instead of being delivered.
pub fn signals(list: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: a set of our own, filled before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in list {
            libc::sigaddset(&raw mut set, *signal);
        }
        checked(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        owned(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())
    }
}

/// The next signal that came.
pub fn next_signal(signals: BorrowedFd<'_>) -> Option<i32> {
    // SAFETY: a structure of numbers, which may all be zero.
    let mut told: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let bytes = std::mem::size_of_val(&told);
    // SAFETY: there is room for one.
    let got = unsafe { libc::read(signals.as_raw_fd(), (&raw mut told).cast(), bytes) };
    (got == bytes as isize).then_some(told.ssi_signo as i32)
}

/// Reaps one child that has ended: its id and status.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: room for the status.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// This process gets the orphans of its descendants from now on.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

/// Keeps this process' memory where it is, what it touches from now on included.
pub fn lock_memory() -> io::Result<()> {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: numbers only.
    checked(unsafe { libc::mlockall(flags) }.into()).map(drop)
}

/// The same for what this process writes to, without its program: that is little enough for the usual
/// limit of an ordinary user.
pub fn lock_data() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        let Some((from, to)) = range.split_once('-') else { continue };
        if let (true, Some(from), Some(to)) = (rights.starts_with("rw"), number(from), number(to)) {
            let on_fault = libc::MLOCK_ONFAULT;
            // SAFETY: a range of this process' own, of which nothing is changed.
            checked(unsafe { libc::syscall(libc::SYS_mlock2, from, to - from, on_fault) })?;
        }
    }
    Ok(())
}

/// Runs before others where that is allowed; its children do not inherit it.
pub fn run_first() {
    let one = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameter lives on. Refused, it is a process like any other.
    unsafe { libc::sched_setscheduler(0, policy, &raw const one) };
}

/// A child, as by `fork`, in namespaces of its own by these flags: 0 in the child.
///
/// # Safety
/// The caller has one thread.
pub unsafe fn clone(flags: i32) -> io::Result<i32> {
    let flags = flags as i64 | libc::SIGCHLD as i64;
    // SAFETY: without a stack of its own the child goes on with a copy of this one, as after a fork.
    checked(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// Whether it is a socket.
pub fn is_socket(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: a structure of numbers, which may all be zero, with room for the answer.
    unsafe {
        let mut told: libc::stat = std::mem::zeroed();
        libc::fstat(fd.as_raw_fd(), &raw mut told) == 0
            && told.st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}

/// Is not handed on to the next program.
pub fn close_on_exec(fd: BorrowedFd<'_>) {
    // SAFETY: numbers only.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
}
