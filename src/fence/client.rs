//! The agent's side of the guardian: finds the one that runs, or starts one; replaces one that dies; and
//! passes the deadline on with a store and a bell, which wait for nobody.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::deadline::DeadlineFence;
use super::link::{LETS_IN_WITHIN_MILLIS, Link, enter, reach, start};
use super::page::{Deposit, Enforced, Page, Watched};
use super::watch_client::Wanted;
use super::wire::{self, Launch, Reply, Request, Setup};
use super::{BoottimeClock, Target, kill_all, sys};
use crate::values::{Clock, FenceChoice, LeaseDeadline, Strength};

/// How long it may take to say that a program runs.
const LAUNCHES_WITHIN: Duration = Duration::from_secs(20);
/// How long something that needs a guardian waits for one that is being replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(3);
/// A guardian whose timers are this far behind the deadline is not at work.
const FALLS_BEHIND: Duration = Duration::from_secs(1);
/// Between two tries to start one.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Something about the guardian that people want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardianNews {
    /// It has ended, and what it was guarding with it where that is its strength; by the kernel, when a
    /// deadline had passed at which it did nothing.
    Gone(Option<LeaseDeadline>),
    /// Another one is in its place.
    Replaced(Strength),
    /// None can be started; it is tried again.
    CannotStart(String),
}

/// What an agent brings along.
#[derive(Clone, Debug)]
pub struct Coming {
    /// What is to be guarded.
    pub setup: Setup,
    /// The server, for the agent's own thread.
    pub target: Arc<Target>,
    /// The program that is a guardian when it is told to.
    pub program: PathBuf,
    /// Where news go.
    pub tell: fn(GuardianNews),
}

/// What an earlier agent left: the lease under which the server is open still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// By what the baton knows the holder.
    pub deposit: Deposit,
    /// The deadline that the guardian holds.
    pub deadline: LeaseDeadline,
}

/// The guardian of this agent's server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guardian(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    setup: Setup,
    program: PathBuf,
    target: Arc<Target>,
    /// The agent's own thread: a second net, and the only one of a server that no guardian started.
    thread: DeadlineFence,
    link: Mutex<Option<Arc<Link>>>,
    deposit: Mutex<Option<(Deposit, Duration)>>,
    /// The running server: its handle, and the reading end of what it says.
    server: Mutex<Option<Vec<OwnedFd>>>,
    /// Readers of what servers say, for whoever takes them.
    logs: Mutex<mpsc::Sender<OwnedFd>>,
    leaves: AtomicBool,
    /// The watchdog device that is wanted, and why it was not armed when that was tried last.
    pub(super) watchdog: Mutex<Wanted>,
    tell: fn(GuardianNews),
}

/// What was found when the agent came.
#[derive(Debug)]
pub struct Attached {
    /// The guardian.
    pub guardian: Guardian,
    /// A kill that nobody has told of yet.
    pub report: Option<Enforced>,
    /// The lease that a server is open under.
    pub left: Option<Left>,
    /// Whether a guardian ran already.
    pub was_there: bool,
    /// Where the readers of what the server says come from.
    pub logs: mpsc::Receiver<OwnedFd>,
}

impl Guardian {
    /// Finds the guardian of this state directory, or starts one.
    ///
    /// # Errors
    /// When another agent is there and well, or the fence that is asked for does not work here.
    pub fn attach(coming: Coming) -> io::Result<Attached> {
        let Coming { setup, target, program, tell } = coming;
        let found = reach(&setup, &program, &target)?;
        let was_there = found.was_there;
        let (mut link, mut server, mut log) = enter(found, &setup, &[])?;
        let mismatch = matches!(setup.choice, FenceChoice::Named(it) if it != link.strength);
        if was_there && mismatch && server.is_empty() && std::process::id() != 1 {
            // Another fence is asked for by now, and nothing is in the way.
            let _ = wire::send(link.socket.as_fd(), &Request::Leave, &[]);
            sys::is_ready(link.handle.as_fd(), LETS_IN_WITHIN_MILLIS);
            (link, server, log) = enter(start(&setup, &program)?, &setup, &[])?;
        }
        let deposit = link.page.deposited();
        let left = link.page.armed().zip(deposit);
        let left = left.map(|(deadline, deposit)| Left { deposit, deadline });
        let report = link.page.take_report();
        let thread = DeadlineFence::start(Arc::clone(&target))?;
        if let Some(left) = left {
            thread.arm(left.deadline);
        }
        let (logs, readers) = mpsc::channel();
        let _ = logs.send(log);
        let shared = Shared {
            setup,
            program,
            target,
            thread,
            deposit: Mutex::new(deposit.map(|deposit| (deposit, link.page.soft_stop()))),
            link: Mutex::new(None),
            server: Mutex::new((!server.is_empty()).then_some(server)),
            logs: Mutex::new(logs),
            leaves: AtomicBool::new(false),
            watchdog: Mutex::default(),
            tell,
        };
        let guardian = Guardian(Arc::new(shared));
        guardian.use_link(link)?;
        Ok(Attached { guardian, report, left, was_there, logs: readers })
    }

    /// How the server that a guardian starts is fenced.
    pub fn strength(&self) -> Strength {
        self.link().map_or(Strength::None, |link| link.strength)
    }

    /// Why not more strongly, and what else is to be said.
    pub fn remarks(&self) -> String {
        let Some(link) = self.link() else { return String::new() };
        let behind = link.page.armed().zip(link.page.taken_in());
        let behind = behind.map(|(armed, taken_in)| armed.moment().since(taken_in.moment()));
        if behind.is_some_and(|behind| behind >= FALLS_BEHIND) {
            return "the guardian does not follow the deadline: it is stopped, or starved"
                .to_owned();
        }
        link.remarks.clone()
    }

    /// Whether there is a guardian.
    pub fn is_alive(&self) -> bool {
        self.link().is_some_and(|link| !sys::is_ready(link.handle.as_fd(), 0))
    }

    /// Whether its timers are set for the deadline that it was told last.
    pub fn follows(&self) -> bool {
        self.link().is_some_and(|link| link.page.taken_in() == link.page.armed())
    }

    /// Moves the deadline.
    pub fn arm(&self, until: LeaseDeadline) {
        self.0.thread.arm(until);
        if let Some(link) = self.link() {
            link.page.arm(until);
            sys::ring(link.bell.as_fd());
        }
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.0.thread.disarm();
        if let Some(link) = self.link() {
            link.page.disarm();
            sys::ring(link.bell.as_fd());
        }
    }

    /// Leaves what the next agent needs to go on under the same lease.
    pub fn deposit(&self, deposit: Deposit, soft_stop: Duration) {
        *lock(&self.0.deposit) = Some((deposit, soft_stop));
        if let Some(link) = self.link() {
            link.page.deposit(deposit, soft_stop);
        }
    }

    /// A kill that nobody has told of yet.
    pub fn take_report(&self) -> Option<Enforced> {
        self.link()?.page.take_report()
    }

    /// A handle on the server that it guards, if that runs.
    pub fn server(&self) -> Option<OwnedFd> {
        let server = lock(&self.0.server);
        let handle = server.as_ref()?.first()?;
        if sys::is_ready(handle.as_fd(), 0) {
            return None;
        }
        handle.try_clone().ok()
    }

    /// How postmasters end from now on.
    pub fn endings(&self) -> Option<Endings> {
        let page = Arc::clone(&self.link()?.page);
        let seen = page.ended().0;
        Some(Endings { page, seen })
    }

    /// Starts the server; returns a handle on it. Waits for the guardian: not for a runtime's thread.
    ///
    /// # Errors
    /// When there is no guardian, or the program cannot be run.
    pub fn launch(&self, launch: Launch) -> io::Result<OwnedFd> {
        let (reply, fds) = self.ask(&Request::Launch(launch))?;
        match (reply, fds.first()) {
            (Reply::Started, Some(handle)) => {
                let handle = handle.try_clone()?;
                *lock(&self.0.server) = Some(fds);
                Ok(handle)
            }
            (Reply::Failed(0, why), _) => Err(io::Error::other(why)),
            (Reply::Failed(number, _), _) => Err(io::Error::from_raw_os_error(number)),
            (reply, _) => Err(io::Error::other(format!("the guardian answered {reply:?}"))),
        }
    }

    /// Has a running server taken in that it did not start; `false` where that cannot be done.
    pub fn adopt(&self, pid: i32) -> bool {
        if self.strength() != Strength::Cgroup {
            return false;
        }
        match self.ask(&Request::Adopt(pid)) {
            Ok((Reply::Adopted(true), fds)) => {
                *lock(&self.0.server) = Some(fds);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// The server is down for good: the guardian leaves with this agent.
    pub fn leave(&self) {
        self.0.leaves.store(true, Ordering::SeqCst);
        if let Some(link) = self.link() {
            let _ = wire::send(link.socket.as_fd(), &Request::Leave, &[]);
            if link.strength != Strength::Container {
                sys::is_ready(link.handle.as_fd(), 1_000);
            }
        }
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        lock(&self.0.link).clone()
    }

    pub(super) fn living_link(&self) -> io::Result<Arc<Link>> {
        let until = std::time::Instant::now() + REPLACED_WITHIN;
        while !self.is_alive() {
            if std::time::Instant::now() > until {
                return Err(io::Error::other("there is no living guardian"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.link().ok_or_else(|| io::Error::other("there is no living guardian"))
    }

    fn ask(&self, request: &Request) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let link = self.living_link()?;
        let answers = lock(&link.answers);
        // An answer that came too late for an earlier question.
        while answers.try_recv().is_ok() {}
        wire::send(link.socket.as_fd(), request, &[])?;
        let until = std::time::Instant::now() + LAUNCHES_WITHIN;
        loop {
            match answers.recv_timeout(TRY_AGAIN_AFTER) {
                Ok(answer) => return Ok(answer),
                Err(_) if sys::is_ready(link.handle.as_fd(), 0) => {
                    return Err(io::Error::other("the guardian ended before it answered"));
                }
                Err(_) if std::time::Instant::now() > until => {
                    let why = "the guardian does not answer";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Err(_) => {}
            }
        }
    }

    fn use_link(&self, link: Link) -> io::Result<()> {
        if let Some((deposit, soft_stop)) = *lock(&self.0.deposit) {
            link.page.deposit(deposit, soft_stop);
        }
        if let Some(until) = self.0.thread.armed() {
            link.page.arm(until);
            sys::ring(link.bell.as_fd());
        }
        let link = Arc::new(link);
        *lock(&self.0.link) = Some(Arc::clone(&link));
        let this = self.clone();
        let body = move || this.listen_to(&link);
        std::thread::Builder::new().name("guardian".into()).spawn(body).map(drop)
    }

    /// Hears the guardian until it ends; then sees to another one.
    fn listen_to(&self, link: &Link) {
        let mut buffer = vec![0; 4096];
        loop {
            match wire::receive::<Reply>(link.socket.as_fd(), &mut buffer) {
                Ok(Some((Reply::Ping, _))) => {
                    let _ = wire::send(link.socket.as_fd(), &Request::Pong, &[]);
                }
                Ok(Some((Reply::Gone, _))) => {}
                Ok(Some((Reply::Watching(why), _))) => drop(link.watching.0.send(why)),
                Ok(Some(answer)) => drop(link.heard.send(answer)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => break,
            }
        }
        if let Some(mut child) = lock(&link.child).take() {
            let _ = child.wait();
        }
        if !self.0.leaves.load(Ordering::SeqCst) {
            // The one it knew of: the agent may have moved it since.
            let known = link.page.taken_in();
            let passed = known.filter(|until| until.has_passed(BoottimeClock.now()));
            (self.0.tell)(GuardianNews::Gone(passed));
            self.replace(link.strength, link.page.watched() != Watched::Not);
        }
    }

    fn replace(&self, before: Strength, was_watched: bool) {
        if before == Strength::Subreaper {
            // The postmaster went with its guardian; a busy backend does not by itself.
            kill_all(&self.0.target);
        }
        loop {
            let server = lock(&self.0.server);
            let fds: Vec<_> = server.iter().flatten().map(AsFd::as_fd).collect();
            let lives = fds.first().is_some_and(|handle| !sys::is_ready(*handle, 0));
            let fds = if lives && before == Strength::Cgroup { &fds[..] } else { &[] };
            let setup = &self.0.setup;
            let started = start(setup, &self.0.program).and_then(|found| enter(found, setup, fds));
            drop(server);
            let error = match started {
                Ok((link, _, log)) => {
                    let strength = link.strength;
                    let _ = lock(&self.0.logs).send(log);
                    match self.use_link(link) {
                        Ok(()) => {
                            self.watch_again(was_watched);
                            return (self.0.tell)(GuardianNews::Replaced(strength));
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            (self.0.tell)(GuardianNews::CannotStart(error.to_string()));
            std::thread::sleep(TRY_AGAIN_AFTER);
            if self.0.leaves.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// How a guardian's servers end.
#[derive(Clone, Debug)]
pub struct Endings {
    page: Arc<Page>,
    seen: u64,
}

impl Endings {
    /// The status of the first server that ended since, as `waitpid` tells it.
    pub fn status(&self) -> Option<i32> {
        let (count, status) = self.page.ended();
        (count > self.seen).then_some(status)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
