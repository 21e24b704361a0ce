//! One guardian as an agent reaches it: the one that runs, or a new one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use super::guardian::{SOCKET, given_socket};
use super::page::Page;
use super::wire::{self, Reply, Request, Setup};
use super::{Target, kill_all, socket, sys};
use crate::values::Strength;

/// How long a guardian may take to let an agent in: it may have to end a former one first.
pub const LETS_IN_WITHIN_MILLIS: i32 = 5_000;

/// A connection to one guardian.
#[derive(Debug)]
pub struct Link {
    pub page: Arc<Page>,
    pub bell: OwnedFd,
    pub socket: OwnedFd,
    pub handle: OwnedFd,
    pub strength: Strength,
    pub remarks: String,
    pub answers: Mutex<mpsc::Receiver<(Reply, Vec<OwnedFd>)>>,
    pub heard: mpsc::Sender<(Reply, Vec<OwnedFd>)>,
    pub child: Mutex<Option<Child>>,
    /// What it says of the watchdog device.
    pub watching: (mpsc::Sender<String>, Mutex<mpsc::Receiver<String>>),
}

/// The guardian that runs; else a new one. A running one that is stuck is ended first: what it guards is
/// not guarded any more.
pub fn reach(setup: &Setup, program: &Path, target: &Target) -> io::Result<Reached> {
    if let Some(socket) = given_socket() {
        return Ok(Reached { socket, child: None, was_there: true, is_greeted: false });
    }
    let folder = std::fs::File::open(&setup.state_dir)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    if let Ok(socket) = socket::connect(Path::new(&path)) {
        wire::send(socket.as_fd(), &Request::Hello(setup.clone()), &[])?;
        if sys::is_ready(socket.as_fd(), LETS_IN_WITHIN_MILLIS) {
            return Ok(Reached { socket, child: None, was_there: true, is_greeted: true });
        }
        let (pid, _) = socket::peer_of(socket.as_fd())?;
        let stuck = sys::pidfd(pid)?;
        sys::signal(stuck.as_fd(), libc::SIGKILL)?;
        sys::is_ready(stuck.as_fd(), LETS_IN_WITHIN_MILLIS);
        kill_all(target);
    }
    start(setup, program)
}

/// A guardian that can be spoken to.
pub struct Reached {
    socket: OwnedFd,
    child: Option<Child>,
    pub was_there: bool,
    /// The first word was said.
    is_greeted: bool,
}

pub fn start(setup: &Setup, program: &Path) -> io::Result<Reached> {
    let (ours, theirs) = socket::pair()?;
    let mut command = Command::new(program);
    command.arg0("pgbaton").arg("guardian").current_dir(&setup.state_dir);
    command.env_remove("NOTIFY_SOCKET");
    command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
    let enter = || {
        // SAFETY: no arguments. It must not hear what a terminal says to the agent's group.
        unsafe { libc::setsid() };
        Ok(())
    };
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(enter) };
    let child = Some(command.spawn()?);
    Ok(Reached { socket: ours, child, was_there: false, is_greeted: false })
}

/// Says who this is, and waits to be let in.
pub fn enter(
    Reached { socket, child, is_greeted, .. }: Reached,
    setup: &Setup,
    running: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<(Link, Vec<OwnedFd>, OwnedFd)> {
    if !is_greeted {
        wire::send(socket.as_fd(), &Request::Hello(setup.clone()), running)?;
    }
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the guardian does not answer");
    if !sys::is_ready(socket.as_fd(), LETS_IN_WITHIN_MILLIS) {
        return Err(silent());
    }
    let mut buffer = vec![0; 64 * 1024];
    let (strength, remarks, fds) = match wire::receive::<Reply>(socket.as_fd(), &mut buffer)? {
        Some((Reply::Welcome { strength, remarks }, fds)) => (strength, remarks, fds),
        Some((Reply::Refused(why), _)) => return Err(io::Error::other(why)),
        Some(_) | None => return Err(io::Error::other("the guardian ended at once")),
    };
    let mut fds = fds.into_iter();
    let (Some(memory), Some(bell), Some(log)) = (fds.next(), fds.next(), fds.next()) else {
        return Err(io::Error::other("the guardian did not say how to reach it"));
    };
    let pid = child.as_ref().map(|child| child.id() as i32);
    let pid = match pid {
        Some(pid) => pid,
        None => socket::peer_of(socket.as_fd())?.0,
    };
    let (heard, answers) = mpsc::channel();
    let (watching, heard_watching) = mpsc::channel();
    let link = Link {
        page: Arc::new(Page::map(memory)?),
        bell,
        handle: sys::pidfd(pid)?,
        socket,
        strength,
        remarks,
        answers: Mutex::new(answers),
        heard,
        child: Mutex::new(child),
        watching: (watching, Mutex::new(heard_watching)),
    };
    Ok((link, fds.collect(), log))
}
