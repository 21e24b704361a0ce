//! The first process of a container: guardian and init in one, the agent its child. It starts the agent
//! again when that dies, passes signals on to it, and the container ends with it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::super::{BoottimeClock, socket, sys};
use super::Guardian;
use crate::values::{Clock, Monotonic};

/// Where an agent finds the socket to the guardian whose child it is.
pub const AGENT_SOCKET: &str = "PGBATON_GUARDIAN_FD";

/// An agent that dies this early is not started again at once.
const EARLY: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs the agent with these arguments as a child, and guards its server.
pub fn run_as_first_process() -> ExitCode {
    match keep_agent() {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) => {
            eprintln!("Error: the first process of this container: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keep_agent() -> io::Result<i32> {
    let (ours, child) = start_agent()?;
    match Guardian::begin(ours, Some(child)) {
        Ok(mut guardian) => Ok(guardian.keep()),
        // The agent ended before it said what is to be guarded, or was refused: its word is the last.
        Err(_) => {
            let mut status = 0;
            // SAFETY: our own child, and room for its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            Ok(code_of(status))
        }
    }
}

fn code_of(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

fn start_agent() -> io::Result<(OwnedFd, i32)> {
    let (ours, theirs) = socket::pair()?;
    let fd = theirs.as_raw_fd();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("pgbaton").args(std::env::args_os().skip(1));
    command.env(AGENT_SOCKET, fd.to_string());
    let enter = move || {
        // SAFETY: numbers, and a set of our own. The agent keeps its end, and hears all signals.
        unsafe {
            libc::fcntl(fd, libc::F_SETFD, 0);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(enter) };
    let child = command.spawn()?;
    Ok((ours, child.id() as i32))
}

impl Guardian {
    /// What a container is told is meant for the agent.
    pub(super) fn pass_on(&self, signal: i32) {
        if let Some(agent) = self.agent_child {
            // SAFETY: numbers only, and a child that was not reaped yet.
            unsafe { libc::kill(agent, signal) };
        }
    }

    /// The agent has ended: as told, then the container ends; by accident, then it is started again.
    pub(super) fn agent_ended(&mut self, status: i32) {
        self.agent_child = None;
        let by_itself = libc::WIFEXITED(status);
        if by_itself && self.server.is_none() {
            self.ends = Some(code_of(status));
            return;
        }
        let now = BoottimeClock.now();
        let early = now.since(self.desk.agent_started_at) < EARLY;
        self.desk.start_agent_at = Some(if early { now + EARLY } else { now });
    }

    /// Starts the agent again when it is time to.
    pub(super) fn keep_agent_running(&mut self) {
        let due = |at: Monotonic| at <= BoottimeClock.now();
        if !self.desk.start_agent_at.is_some_and(due) {
            return;
        }
        match start_agent() {
            Ok((socket, child)) => {
                self.agent_child = Some(child);
                self.desk.start_agent_at = None;
                self.desk.agent_started_at = BoottimeClock.now();
                self.desk.expect(socket, child);
            }
            Err(_) => self.desk.start_agent_at = Some(BoottimeClock.now() + EARLY),
        }
    }
}

/// The socket that this agent was given by the guardian whose child it is.
pub fn given_socket() -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    let fd: i32 = std::env::var(AGENT_SOCKET).ok()?.parse().ok()?;
    // SAFETY: whoever set the variable left the socket there for this process alone. A wrong number is
    // found out when nothing answers.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if sys::is_socket(socket.as_fd()) {
        sys::close_on_exec(socket.as_fd());
        return Some(socket);
    }
    // Not ours to close.
    let _ = socket.into_raw_fd();
    None
}
