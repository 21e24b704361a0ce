//! Starting the server: the guardian *execs* it itself, below it or in a PID namespace of its own, because
//! neither a parent-death signal nor a namespace can be put on a process that runs already.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::sys;
use super::super::wire::{self, Launch, Reply};

/// How long the first process of a namespace may take to hand over the server's handle.
const HANDLE_WITHIN_MILLIS: i32 = 2_000;
/// What the server leaves behind when it ended well (its log collector) may finish for so long.
const LAST_WORDS_MILLIS: u32 = 500;

/// In what the server is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Below the guardian; killed with it where `dies_along`.
    Below {
        /// Whether the kernel kills the postmaster when the guardian ends.
        dies_along: bool,
    },
    /// In a PID namespace, with a user namespace where `of_user`.
    Namespace {
        /// Whether there is no right to a plain one.
        of_user: bool,
    },
}

/// A server that was started.
#[derive(Debug)]
pub struct Started {
    /// The guardian's own child: the postmaster, or the first process of its namespace.
    pub child: i32,
    /// A handle on that.
    pub child_handle: OwnedFd,
    /// A handle on the postmaster.
    pub handle: OwnedFd,
    /// What it says.
    pub stderr: OwnedFd,
    /// Ends without a word when the program runs; brings an error number when it does not.
    pub verdict: OwnedFd,
}

/// Everything that is needed after the fork, so that nothing is reserved then.
struct Prepared {
    program: CString,
    arguments: Pointers,
    environment: Pointers,
    folder: CString,
    owner: Option<(u32, u32, Vec<u32>)>,
    stderr: OwnedFd,
    nothing: OwnedFd,
    verdict: OwnedFd,
    /// Of a cgroup.
    door: Option<OwnedFd>,
    /// Who has to be the parent still.
    parent: Option<i32>,
}

/// A list of texts as `execve` wants it.
struct Pointers {
    _texts: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Pointers {
    fn of(texts: &[Vec<u8>]) -> io::Result<Self> {
        let texts: Vec<CString> =
            texts.iter().map(|text| CString::new(text.clone())).collect::<Result<_, _>>()?;
        let ends = std::iter::once(ptr::null());
        let pointers = texts.iter().map(|text| text.as_ptr()).chain(ends).collect();
        Ok(Self { _texts: texts, pointers })
    }
}

/// Starts it.
///
/// # Errors
/// When there is no process to be had; that the program cannot be run comes as the verdict.
pub fn launch(launch: &Launch, kind: Kind, door: Option<BorrowedFd<'_>>) -> io::Result<Started> {
    let (stderr, stderr_writer) = sys::pipe(true)?;
    sys::widen_pipe(stderr.as_fd(), 1 << 20);
    sys::set_waits(stderr.as_fd(), false)?;
    let (verdict, verdict_writer) = sys::pipe(true)?;
    sys::set_waits(verdict.as_fd(), false)?;
    let own = std::process::id() as i32;
    let mut prepared = Prepared {
        program: CString::new(launch.program.as_os_str().as_bytes())?,
        arguments: Pointers::of(&launch.arguments)?,
        environment: Pointers::of(&launch.environment)?,
        folder: CString::new(launch.folder.as_os_str().as_bytes())?,
        owner: launch.owner.clone(),
        stderr: stderr_writer,
        nothing: std::fs::File::options().read(true).write(true).open("/dev/null")?.into(),
        verdict: verdict_writer,
        door: door.map(|door| door.try_clone_to_owned()).transpose()?,
        parent: None,
    };
    match kind {
        Kind::Below { dies_along } => {
            prepared.parent = dies_along.then_some(own);
            // SAFETY: the guardian has one thread.
            let child = unsafe { sys::clone(0) }?;
            if child == 0 {
                become_server(&prepared);
            }
            let (child_handle, handle) = (sys::pidfd(child)?, sys::pidfd(child)?);
            Ok(Started { child, child_handle, handle, stderr, verdict })
        }
        Kind::Namespace { of_user } => {
            let (ours, theirs) = std::os::unix::net::UnixDatagram::pair()?;
            // Closed by our end alone: by it the child sees that its parent is still there.
            let (alive, _held) = sys::pipe(false)?;
            let users = if of_user { libc::CLONE_NEWUSER } else { 0 };
            // SAFETY: the guardian has one thread.
            let child = unsafe { sys::clone(libc::CLONE_NEWPID | users) }?;
            if child == 0 {
                drop(_held);
                be_first(&prepared, of_user, alive.as_fd(), theirs.as_fd());
            }
            drop(theirs);
            let child_handle = sys::pidfd(child)?;
            let mut buffer = [0; 64];
            let received = sys::is_ready(ours.as_fd(), HANDLE_WITHIN_MILLIS)
                .then(|| wire::receive::<Reply>(ours.as_fd(), &mut buffer));
            let handle = match received {
                Some(Ok(Some((Reply::Started, mut fds)))) => fds.pop(),
                _ => None,
            };
            let Some(handle) = handle else {
                let _ = sys::signal(child_handle.as_fd(), libc::SIGKILL);
                let why = "the namespace's first process did not start the server";
                return Err(io::Error::other(why));
            };
            Ok(Started { child, child_handle, handle, stderr, verdict })
        }
    }
}

/// Becomes the server. Only system calls from here on.
fn become_server(prepared: &Prepared) -> ! {
    let error = match enter(prepared) {
        Ok(()) => {
            let (arguments, environment) =
                (prepared.arguments.pointers.as_ptr(), prepared.environment.pointers.as_ptr());
            // SAFETY: lists of texts that end in a null pointer each.
            unsafe { libc::execve(prepared.program.as_ptr(), arguments, environment) };
            io::Error::last_os_error()
        }
        Err(error) => error,
    };
    let told = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
    let _ = sys::write(prepared.verdict.as_fd(), &told);
    // SAFETY: ends this child and nothing else.
    unsafe { libc::_exit(127) }
}

fn enter(prepared: &Prepared) -> io::Result<()> {
    let check = |outcome: i32| match outcome {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    if let Some(door) = &prepared.door {
        sys::write(door.as_fd(), b"0")?;
    }
    let (nothing, stderr) = (prepared.nothing.as_raw_fd(), prepared.stderr.as_raw_fd());
    // SAFETY: numbers, and lists that are as long as they say.
    unsafe {
        check(libc::dup2(nothing, 0))?;
        check(libc::dup2(nothing, 1))?;
        check(libc::dup2(stderr, 2))?;
        if let Some((uid, gid, groups)) = &prepared.owner {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(libc::setgid(*gid))?;
            check(libc::setuid(*uid))?;
        }
        if let Some(parent) = prepared.parent {
            // After the change of user, which clears it; and the parent may be gone by now.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()))?;
        check(libc::chdir(prepared.folder.as_ptr()))
    }
}

/// Is the first process of a namespace: starts the server, reaps, and ends with the server; the kernel
/// then kills whatever else is there.
fn be_first(
    prepared: &Prepared,
    of_user: bool,
    alive: BorrowedFd<'_>,
    to_guardian: BorrowedFd<'_>,
) -> ! {
    // SAFETY: numbers and a text; ends this process and nothing else.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NAME, c"pgbaton-init".as_ptr());
        // The guardian may have gone before the signal was set.
        if sys::is_ready(alive, 0) || of_user && !keep_own_user() {
            libc::_exit(126);
        }
    }
    // SAFETY: this process has one thread, as a copy of the guardian.
    let server = match unsafe { sys::clone(0) } {
        Ok(0) => become_server(prepared),
        Ok(server) => server,
        // SAFETY: ends this process and nothing else.
        Err(_) => unsafe { libc::_exit(126) },
    };
    if let Ok(handle) = sys::pidfd(server) {
        let _ = wire::send(to_guardian, &Reply::Started, &[handle.as_fd()]);
    }
    // SAFETY: whatever is open here is a copy of the guardian's, which must not be kept open by it.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    reap_until_the_end(server)
}

fn reap_until_the_end(server: i32) -> ! {
    let mut ended = None;
    let mut patience = LAST_WORDS_MILLIS;
    loop {
        let mut status = 0;
        let flags = if ended.is_some() { libc::WNOHANG } else { 0 };
        // SAFETY: room for the status.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        if pid == server {
            ended = Some(exit_code(status));
        }
        let Some(code) = ended else { continue };
        if code != 0 || pid < 0 || patience == 0 {
            // SAFETY: ends this process, and with it the namespace.
            unsafe { libc::_exit(code) };
        }
        if pid == 0 {
            let _ = sys::poll(&mut [], 1);
            patience -= 1;
        }
    }
}

/// A status as an exit code, as shells spell it.
fn exit_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// The postmaster's status out of that of its namespace's first process.
pub fn status_of_server(first: i32) -> i32 {
    match libc::WEXITSTATUS(first) {
        _ if libc::WIFSIGNALED(first) => first,
        code if code > 128 => code - 128,
        code => code << 8,
    }
}

/// In a user namespace: this user and group stay what they are, everybody else is nobody.
fn keep_own_user() -> bool {
    let (uid, gid) = (OUTER_USER.0.load(Ordering::Relaxed), OUTER_USER.1.load(Ordering::Relaxed));
    write_file(c"/proc/self/setgroups", "deny")
        && write_file(c"/proc/self/uid_map", &format!("{uid} {uid} 1"))
        && write_file(c"/proc/self/gid_map", &format!("{gid} {gid} 1"))
}

static OUTER_USER: (AtomicU32, AtomicU32) = (AtomicU32::new(0), AtomicU32::new(0));

/// Remembers who this is, which a new user namespace does not tell any more. Called at the start.
pub fn remember_own_user() {
    // SAFETY: no arguments, no failure.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    OUTER_USER.0.store(uid, Ordering::Relaxed);
    OUTER_USER.1.store(gid, Ordering::Relaxed);
}

fn write_file(path: &CStr, text: &str) -> bool {
    // SAFETY: the path ends in zero, the text is as long as it says.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let put = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        put == text.len() as isize
    }
}

/// Tries whether a namespace of this kind can be had.
///
/// # Errors
/// Says why not.
pub fn try_namespace(of_user: bool) -> Result<(), String> {
    let users = if of_user { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: the guardian has one thread.
    let child = unsafe { sys::clone(libc::CLONE_NEWPID | users) };
    let what = if of_user { "a user and PID namespace" } else { "a PID namespace" };
    let child = child.map_err(|error| format!("{what} cannot be made: {error}"))?;
    if child == 0 {
        let kept = !of_user || keep_own_user();
        // SAFETY: ends this child and nothing else.
        unsafe { libc::_exit(i32::from(!kept)) };
    }
    let mut status = 0;
    // SAFETY: our own child, and room for its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if status == 0 {
        Ok(())
    } else {
        Err(format!("{what} can be made, but this user cannot be kept in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_postmasters_end_is_known_through_its_namespace() {
        // As `waitpid` tells: an exit code in the second byte, a signal in the first.
        for status in [0, 1 << 8, 9, 15] {
            assert_eq!(status_of_server(exit_code(status) << 8), status);
        }
        // The first process itself was killed.
        assert_eq!(status_of_server(9), 9);
    }
}
