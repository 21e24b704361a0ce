//! Where agents come to the guardian: one at a time. A new one is let in when the former one is gone; one
//! that is still there but does not answer is ended first, so that two never hold one lease.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::super::wire::{self, Launch, Reply, Request, Setup};
use super::super::{BoottimeClock, Process, socket, sys};
use super::{Guarded, Guardian, Polled, Source, launch};
use crate::values::{Clock, LeaseDeadline, Monotonic};

/// How long the first word of an agent may take, and the answer of a former one.
const FIRST_WORD_WITHIN_MILLIS: i32 = 10_000;
const FORMER_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long a killed agent may take to be gone.
const FORMER_GONE_WITHIN: Duration = Duration::from_secs(2);

/// An agent, by the process at the other end of its socket.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) socket: Option<OwnedFd>,
    pid: i32,
    handle: Option<OwnedFd>,
}

impl Agent {
    pub(super) fn is_alive(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| !sys::is_ready(handle.as_fd(), 0))
    }

    fn cannot_run(&self) -> bool {
        !self.is_alive() || Process::read(self.pid).is_none_or(|process| process.is_doomed())
    }

    pub(super) fn tell(&self, reply: &Reply, fds: &[std::os::fd::BorrowedFd<'_>]) {
        if let Some(socket) = &self.socket {
            // An agent that does not read misses an answer, and asks again.
            let _ = wire::send(socket.as_fd(), reply, fds);
        }
    }
}

/// One who wants to be let in.
#[derive(Debug)]
pub(super) struct Candidate {
    agent: Agent,
    state: Wants,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// Has not said who it is.
    Nothing(Monotonic),
    /// Waits for the former agent's answer.
    Answer(Monotonic),
    /// Waits for the former agent's end.
    End(Monotonic),
}

/// The desk.
pub struct Desk {
    listener: Option<OwnedFd>,
    pub(super) agent: Agent,
    pub(super) candidate: Option<Candidate>,
    buffer: Vec<u8>,
    /// Nobody is there for the server any more: with it the guardian leaves.
    pub leaves: bool,
    /// In a container: when the agent is started again.
    pub start_agent_at: Option<Monotonic>,
    /// And when it was started last.
    pub agent_started_at: Monotonic,
}

impl Desk {
    /// Waits for the first agent's first word.
    pub fn open(socket: OwnedFd, child: Option<i32>) -> io::Result<(Self, Setup, Vec<OwnedFd>)> {
        let mut buffer = vec![0; wire::BYTES_MAX];
        if !sys::is_ready(socket.as_fd(), FIRST_WORD_WITHIN_MILLIS) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Some((Request::Hello(setup), fds)) = wire::receive(socket.as_fd(), &mut buffer)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let pid = match child {
            Some(child) => child,
            None => socket::peer_of(socket.as_fd())?.0,
        };
        sys::set_waits(socket.as_fd(), false)?;
        let agent = Agent { socket: Some(socket), pid, handle: sys::pidfd(pid).ok() };
        let listener = super::listen(&setup.state_dir)?;
        let desk = Self {
            listener: Some(listener),
            agent,
            candidate: None,
            buffer,
            leaves: false,
            start_agent_at: None,
            agent_started_at: BoottimeClock.now(),
        };
        Ok((desk, setup, fds))
    }

    /// Tells the agent why it is not let in.
    pub fn refuse(&self, why: &str) {
        self.agent.tell(&Reply::Refused(why.to_owned()), &[]);
    }

    /// Nobody can come any more.
    pub fn close(&mut self) {
        self.listener = None;
    }

    /// An agent that was started as a child.
    pub fn expect(&mut self, socket: OwnedFd, pid: i32) {
        let _ = sys::set_waits(socket.as_fd(), false);
        let agent = Agent { socket: Some(socket), pid, handle: sys::pidfd(pid).ok() };
        self.candidate = Some(Candidate { agent, state: Wants::Nothing(BoottimeClock.now()) });
    }

    /// Whether an agent is there that would do what has to be done.
    pub fn has_living_agent(&self) -> bool {
        self.agent.socket.is_some() && self.agent.is_alive()
    }

    pub(super) fn poll_for(&self, polled: &mut Polled) {
        if let Some(socket) = &self.agent.socket {
            polled.add(Source::Agent, socket.as_fd(), libc::POLLIN);
        }
        match &self.candidate {
            Some(candidate) => {
                if let Some(socket) = &candidate.agent.socket {
                    polled.add(Source::Candidate, socket.as_fd(), libc::POLLIN);
                }
                if !matches!(candidate.state, Wants::Nothing(_))
                    && let Some(former) = &self.agent.handle
                {
                    polled.add(Source::AgentEnded, former.as_fd(), libc::POLLIN);
                }
            }
            // One at a time: the next one waits in the queue.
            None => {
                if let Some(listener) = &self.listener {
                    polled.add(Source::Listener, listener.as_fd(), libc::POLLIN);
                }
            }
        }
    }

    /// How long the loop may sleep.
    pub(super) fn patience_millis(&self) -> i32 {
        let waits = self.candidate.is_some() || self.start_agent_at.is_some();
        if waits { 20 } else { -1 }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Ok(socket) = socket::accept(listener.as_fd()) else { return };
        let Ok((pid, uid)) = socket::peer_of(socket.as_fd()) else { return };
        let own = nix::unistd::geteuid().as_raw();
        if uid != 0 && uid != own {
            return;
        }
        let agent = Agent { socket: Some(socket), pid, handle: sys::pidfd(pid).ok() };
        self.candidate = Some(Candidate { agent, state: Wants::Nothing(BoottimeClock.now()) });
    }

    /// Hears the candidate; `true` when it is to be let in.
    fn hear_candidate(&mut self) -> bool {
        let now = BoottimeClock.now();
        let Some(candidate) = &mut self.candidate else { return false };
        let Wants::Nothing(since) = candidate.state else { return self.judge_candidate() };
        let Some(socket) = &candidate.agent.socket else { return false };
        match wire::receive::<Request>(socket.as_fd(), &mut self.buffer) {
            Ok(Some((Request::Hello(_), _))) => {
                let is_the_same = candidate.agent.pid == self.agent.pid;
                if is_the_same || !self.agent.is_alive() {
                    return true;
                }
                self.agent.tell(&Reply::Ping, &[]);
                candidate.state = Wants::Answer(now);
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let patience = Duration::from_millis(FIRST_WORD_WITHIN_MILLIS as u64);
                if now.since(since) > patience {
                    self.candidate = None;
                }
                false
            }
            Ok(_) | Err(_) => {
                self.candidate = None;
                false
            }
        }
    }

    /// The candidate has said who it is, and the former agent has not gone.
    fn judge_candidate(&mut self) -> bool {
        let now = BoottimeClock.now();
        let Some(candidate) = &mut self.candidate else { return false };
        if self.agent.cannot_run() {
            return true;
        }
        match candidate.state {
            Wants::Nothing(_) => false,
            Wants::Answer(since) => {
                if now.since(since) > FORMER_ANSWERS_WITHIN {
                    if let Some(former) = &self.agent.handle {
                        let _ = sys::signal(former.as_fd(), libc::SIGKILL);
                    }
                    candidate.state = Wants::End(now);
                }
                false
            }
            Wants::End(since) => {
                if now.since(since) > FORMER_GONE_WITHIN {
                    self.refuse_candidate("the agent before this one cannot be ended");
                }
                false
            }
        }
    }

    fn refuse_candidate(&mut self, why: &str) {
        if let Some(candidate) = self.candidate.take() {
            candidate.agent.tell(&Reply::Refused(why.to_owned()), &[]);
        }
    }
}

impl Guardian {
    /// Whatever has to do with agents.
    pub(super) fn attend(&mut self, polled: &Polled) {
        if self.agent_child.is_none() && self.desk.start_agent_at.is_some() {
            self.keep_agent_running();
        }
        if polled.is_ready(Source::Listener) {
            self.desk.accept();
        }
        if self.desk.candidate.is_some()
            && self.desk.hear_candidate()
            && let Some(candidate) = self.desk.candidate.take()
        {
            self.desk.agent = candidate.agent;
            self.desk.leaves = false;
            self.welcome();
        }
        if polled.is_ready(Source::Agent) {
            self.hear_agent();
        }
    }

    fn hear_agent(&mut self) {
        let Some(socket) = &self.desk.agent.socket else { return };
        match wire::receive::<Request>(socket.as_fd(), &mut self.desk.buffer) {
            Ok(Some((request, _))) => self.serve(request),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Gone, or about to come back as another program. Its death alone starts nothing.
            Ok(None) | Err(_) => self.desk.agent.socket = None,
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Launch(launch) => self.launch(&launch),
            Request::Adopt(pid) => {
                let done = self.adopt(pid);
                let fds: Vec<_> = self.server.iter().map(|it| it.handle.as_fd()).collect();
                self.desk.agent.tell(&Reply::Adopted(done), &fds);
            }
            Request::Pong => {
                if self.desk.candidate.is_some() {
                    let pid = self.desk.agent.pid;
                    let why = format!("another agent (process {pid}) runs on this data directory");
                    self.desk.refuse_candidate(&why);
                }
            }
            Request::Watch(watchdog) => self.watch(watchdog),
            Request::Leave => {
                self.desk.agent.tell(&Reply::Gone, &[]);
                self.desk.leaves = true;
                // In a container the first process leaves when the agent has.
                if self.server.is_none() && self.agent_child.is_none() {
                    self.ends = Some(0);
                }
            }
            // The first word again is nonsense, and harmless.
            Request::Hello(_) => {}
        }
    }

    /// Lets the agent in.
    pub(super) fn welcome(&self) {
        let reply =
            Reply::Welcome { strength: self.chosen.strength, remarks: self.remarks.clone() };
        let mut fds = vec![self.page.memory(), self.bell.as_fd(), self.log.reader()];
        if let Some(server) = &self.server {
            fds.push(server.handle.as_fd());
            fds.extend(server.stderr.as_ref().map(AsFd::as_fd));
        }
        self.desk.agent.tell(&reply, &fds);
    }

    fn launch(&mut self, launch: &Launch) {
        // One that has just ended may not have been taken note of.
        self.reap();
        let passed = |until: LeaseDeadline| until.has_passed(BoottimeClock.now());
        let refusal = if self.server.is_some() {
            Some("a server runs on this data directory")
        } else if self.page.armed().is_some_and(passed) {
            Some("the deadline has passed")
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.failed(0, why);
        }
        let door = self.chosen.cgroup.as_ref().map(|cgroup| {
            cgroup.thaw();
            cgroup.door()
        });
        match launch::launch(launch, self.chosen.kind, door) {
            Ok(started) => {
                self.soft_at = None;
                self.server = Some(Guarded {
                    child: Some(started.child),
                    child_handle: started.child_handle,
                    handle: started.handle,
                    stderr: Some(started.stderr),
                    verdict: Some(started.verdict),
                    stops: false,
                });
                self.nothing_left = false;
                self.settle_timers();
            }
            Err(error) => self.failed(error.raw_os_error().unwrap_or(0), &error.to_string()),
        }
    }

    fn failed(&self, error: i32, why: &str) {
        self.desk.agent.tell(&Reply::Failed(error, why.to_owned()), &[]);
    }

    /// Whether the program runs is known now.
    pub(super) fn hear_verdict(&mut self) {
        let Some(server) = &mut self.server else { return };
        let Some(verdict) = server.verdict.take() else { return };
        let mut told = [0; 4];
        match sys::read(verdict.as_fd(), &mut told) {
            Ok(4) => {
                let number = i32::from_ne_bytes(told);
                let why = io::Error::from_raw_os_error(number).to_string();
                self.failed(number, &why);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                server.verdict = Some(verdict);
            }
            Ok(_) | Err(_) => {
                let mut fds = vec![server.handle.as_fd()];
                fds.extend(server.stderr.as_ref().map(AsFd::as_fd));
                self.desk.agent.tell(&Reply::Started, &fds);
            }
        }
    }

    /// A running server that somebody else started: only a cgroup can take that in.
    fn adopt(&mut self, pid: i32) -> bool {
        let (Some(cgroup), true) = (&self.chosen.cgroup, self.server.is_none()) else {
            return false;
        };
        let (Ok(handle), Ok(child_handle)) = (sys::pidfd(pid), sys::pidfd(pid)) else {
            return false;
        };
        cgroup.thaw();
        // Whoever is forked meanwhile is found in the next round.
        for _ in 0..100 {
            let members = cgroup.members();
            let outside =
                super::super::family_of(pid).into_iter().filter(|one| !members.contains(one));
            let outside: Vec<i32> = outside.collect();
            if outside.is_empty() {
                let (child, stderr, verdict, stops) = (None, None, None, false);
                let server = Guarded { child, child_handle, handle, stderr, verdict, stops };
                self.server = Some(server);
                self.nothing_left = false;
                return true;
            }
            for one in outside {
                // One that has ended meanwhile need not come along.
                let _ = cgroup.take_in(one);
            }
        }
        false
    }
}
