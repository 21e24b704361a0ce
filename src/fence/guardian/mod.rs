//! The guardian: a process of its own that starts the server, holds its deadline, and makes acknowledging
//! impossible when it passes, whatever the agent is doing then. One loop; on the way to a kill nothing is
//! reserved, written to a disk, or waited for. A second thread, which reserves nothing and takes no lock,
//! tends a watchdog device where there is one.

mod cgroup;
mod desk;
mod enforce;
mod first;
mod launch;
mod log;
mod lonely;
mod probe;
mod sweep;
mod watch;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use super::page::Page;
use super::socket;
use super::sys::{self, LastResort};
use super::watchdog::Tender;
use crate::values::Monotonic;
use desk::Desk;
use launch::Kind;
use log::LogPump;
use probe::Chosen;
use sweep::Sweep;

pub use first::{AGENT_SOCKET, given_socket, run_as_first_process};

/// The name of its socket in the state directory.
pub const SOCKET: &str = "guardian.sock";

/// A server that runs, or whose end was not yet taken note of.
#[derive(Debug)]
struct Guarded {
    /// The guardian's own child, unless the server was taken over from another guardian.
    child: Option<i32>,
    child_handle: OwnedFd,
    handle: OwnedFd,
    stderr: Option<OwnedFd>,
    /// Until it is known whether the program runs.
    verdict: Option<OwnedFd>,
    /// It was told to stop.
    stops: bool,
}

/// The guardian.
struct Guardian {
    desk: Desk,
    chosen: Chosen,
    page: Page,
    bell: OwnedFd,
    timer: OwnedFd,
    last_resort: Option<LastResort>,
    signals: OwnedFd,
    log: LogPump,
    sweep: Sweep,
    server: Option<Guarded>,
    /// When the soft stop began, until the deadline it was for is over.
    soft_at: Option<Monotonic>,
    remarks: String,
    /// In a container, the agent is a child.
    agent_child: Option<i32>,
    /// The watchdog device, while it is armed.
    tender: Option<Tender>,
    /// Nothing of the last server is left.
    nothing_left: bool,
    /// Since when there has been neither agent nor server.
    lonely_since: Option<Monotonic>,
    ends: Option<i32>,
}

/// Runs the guardian that an agent has started, with the agent on descriptor 0.
pub fn run() -> ExitCode {
    // SAFETY: whoever starts a guardian leaves a socket there, and nobody else here uses it.
    let agent = unsafe { OwnedFd::from_raw_fd(0) };
    match Guardian::begin(agent, None) {
        Ok(mut guardian) => ExitCode::from(guardian.keep() as u8),
        // The agent has been told, and says it better.
        Err(_) => ExitCode::FAILURE,
    }
}

impl Guardian {
    /// Waits for the first agent's word, finds the fence that works, and lets the agent in.
    fn begin(agent: OwnedFd, agent_child: Option<i32>) -> io::Result<Self> {
        launch::remember_own_user();
        let signals = [
            libc::SIGCHLD,
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGUSR1,
            libc::SIGUSR2,
        ];
        let signals = sys::signals(&signals)?;
        sys::become_subreaper()?;
        let (desk, setup, mut fds) = Desk::open(agent, agent_child)?;
        let chosen = match probe::choose(&setup) {
            Ok(chosen) => chosen,
            Err(why) => {
                desk.refuse(&why);
                return Err(io::Error::other(why));
            }
        };
        let is_first_process = std::process::id() == 1;
        let needs_no_last_resort = chosen.cgroup.is_some() && !is_first_process;
        let last_resort = match needs_no_last_resort {
            true => None,
            false => Some(LastResort::new(is_first_process)?),
        };
        sys::run_first();
        let mut guardian = Self {
            page: Page::make()?,
            bell: sys::event()?,
            timer: sys::timer()?,
            last_resort,
            signals,
            log: LogPump::new()?,
            sweep: Sweep::new()?,
            server: None,
            soft_at: None,
            remarks: String::new(),
            agent_child,
            tender: None,
            nothing_left: true,
            lonely_since: None,
            ends: None,
            desk,
            chosen,
        };
        guardian.remarks = guardian.lock_memory();
        guardian.take_over(&mut fds);
        guardian.welcome();
        Ok(guardian)
    }

    /// When everything that a kill needs is reserved. Returns all that is to be remarked.
    fn lock_memory(&self) -> String {
        let remark = match (sys::lock_memory(), sys::lock_data()) {
            (Ok(()), _) => None,
            (Err(_), Ok(())) => Some("only the guardian's data is locked in memory".to_owned()),
            (Err(_), Err(error)) => Some(format!("the guardian's memory is not locked: {error}")),
        };
        let remark = remark.map(|remark| format!("{remark} (the limit memlock)"));
        let all = [Some(self.chosen.remarks.clone()).filter(|text| !text.is_empty()), remark];
        all.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// A server that runs on in its cgroup although its guardian is gone.
    fn take_over(&mut self, fds: &mut Vec<OwnedFd>) {
        let Some(cgroup) = &self.chosen.cgroup else { return };
        if cgroup.is_empty() || fds.is_empty() {
            return;
        }
        let (handle, stderr) = (fds.remove(0), fds.pop());
        if let Ok(child_handle) = handle.try_clone() {
            let (verdict, stops) = (None, false);
            let server = Guarded { child: None, child_handle, handle, stderr, verdict, stops };
            self.server = Some(server);
            self.nothing_left = false;
        }
    }

    /// Serves until it is told to leave; returns the exit code.
    fn keep(&mut self) -> i32 {
        self.settle_timers();
        loop {
            if let Some(code) = self.ends {
                self.desk.close();
                if let Some(tender) = self.tender.take() {
                    tender.tell(self.server.is_none() && self.nothing_left);
                    tender.end();
                }
                if let Some(cgroup) = &self.chosen.cgroup {
                    cgroup.remove();
                }
                return code;
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut polled = Polled::default();
        polled.add(Source::Timer, self.timer.as_fd(), libc::POLLIN);
        polled.add(Source::Bell, self.bell.as_fd(), libc::POLLIN);
        polled.add(Source::Signals, self.signals.as_fd(), libc::POLLIN);
        if let Some(server) = &self.server {
            polled.add(Source::ServerEnded, server.child_handle.as_fd(), libc::POLLIN);
            if let Some(stderr) = &server.stderr {
                polled.add(Source::ServerSays, stderr.as_fd(), libc::POLLIN);
            }
            if let Some(verdict) = &server.verdict {
                polled.add(Source::Verdict, verdict.as_fd(), libc::POLLIN);
            }
        }
        if let Some(writer) = self.log.waiting_for() {
            polled.add(Source::AgentReads, writer, libc::POLLOUT);
        }
        self.desk.poll_for(&mut polled);
        let patience = self.patience_millis();
        if sys::poll(&mut polled.list[..polled.length], patience).is_err() {
            // Interrupted: looked at again at once.
            return;
        }
        // The deadline first, whatever else there is.
        if polled.is_ready(Source::Timer) || polled.is_ready(Source::Bell) {
            drain(self.timer.as_fd());
            drain(self.bell.as_fd());
            self.enforce();
        }
        if polled.is_ready(Source::Verdict) {
            self.hear_verdict();
        }
        if polled.is_ready(Source::ServerSays) {
            self.hear_server();
        }
        if polled.is_ready(Source::AgentReads) {
            self.log.pass_on();
        }
        if polled.is_ready(Source::Signals) {
            self.take_signals();
        }
        if polled.is_ready(Source::ServerEnded) {
            self.server_ended();
        }
        self.attend(&polled);
        self.see_to_the_watchdog();
        self.leave_when_lonely();
    }

    fn hear_server(&mut self) {
        let Some(server) = &mut self.server else { return };
        if let Some(stderr) = &server.stderr
            && !self.log.take_from(stderr.as_fd())
        {
            server.stderr = None;
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            match signal {
                libc::SIGCHLD => self.reap(),
                signal if self.agent_child.is_some() => self.pass_on(signal),
                // The host goes down: an agent that is there does this itself, in its own order.
                libc::SIGTERM if !self.desk.has_living_agent() => self.stop_and_leave(),
                _ => {}
            }
        }
    }

    fn stop_and_leave(&mut self) {
        match &mut self.server {
            None => self.ends = Some(0),
            Some(server) => {
                server.stops = true;
                self.desk.leaves = true;
                let _ = sys::signal(server.handle.as_fd(), libc::SIGINT);
            }
        }
    }

    /// Frees the entries of all children that have ended.
    fn reap(&mut self) {
        while let Some((pid, status)) = sys::reap() {
            if self.agent_child == Some(pid) {
                self.agent_ended(status);
                continue;
            }
            let ours = self.server.as_ref().is_some_and(|server| server.child == Some(pid));
            if ours {
                let in_namespace = matches!(self.chosen.kind, Kind::Namespace { .. });
                let status = if in_namespace { launch::status_of_server(status) } else { status };
                self.server_is_gone(status);
            }
        }
    }

    fn server_ended(&mut self) {
        self.reap();
        // One that was taken over is nobody's child here: how it ended is not told.
        if self.server.as_ref().is_some_and(|server| server.child.is_none()) {
            self.server_is_gone(0);
        }
    }

    fn server_is_gone(&mut self, status: i32) {
        self.hear_verdict();
        self.hear_server();
        self.log.pass_on();
        self.server = None;
        self.clear_up_after(status);
        self.page.server_ended(status);
        if self.desk.leaves {
            self.ends = Some(0);
        }
    }
}

/// What can become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Timer,
    Bell,
    Signals,
    ServerEnded,
    ServerSays,
    Verdict,
    AgentReads,
    Listener,
    Agent,
    AgentEnded,
    Candidate,
}

/// What is waited for in one turn.
struct Polled {
    list: [libc::pollfd; 12],
    sources: [Source; 12],
    length: usize,
}

impl Default for Polled {
    fn default() -> Self {
        let none = libc::pollfd { fd: -1, events: 0, revents: 0 };
        Self { list: [none; 12], sources: [Source::Timer; 12], length: 0 }
    }
}

impl Polled {
    fn add(&mut self, source: Source, fd: BorrowedFd<'_>, events: i16) {
        self.list[self.length] = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        self.sources[self.length] = source;
        self.length += 1;
    }

    fn is_ready(&self, source: Source) -> bool {
        (0..self.length).any(|at| self.sources[at] == source && self.list[at].revents != 0)
    }
}

fn drain(fd: BorrowedFd<'_>) {
    let mut count = [0; 8];
    let _ = sys::read(fd, &mut count);
}

/// The socket of a state directory, however long its path is.
fn listen(state_dir: &std::path::Path) -> io::Result<OwnedFd> {
    std::fs::create_dir_all(state_dir)?;
    let folder = std::fs::File::open(state_dir)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    // Whoever listened there before is gone, or this guardian would not have been started.
    let _ = std::fs::remove_file(&path);
    socket::listen_at(std::path::Path::new(&path))
}
