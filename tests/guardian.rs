//! The guardian as a process, with shells in the place of servers: it starts them, hears them, stops them
//! softly before the deadline, and leaves nothing of them at it.

#[path = "guardian/lonely.rs"]
mod lonely;
#[path = "guardian/watchdog.rs"]
mod watchdog;
#[path = "support/watchdog_device.rs"]
mod watchdog_device;

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::fence::{
    Attached, BoottimeClock, Coming, Deposit, Guardian, Launch, LogReader, Setup, Target,
    pid_behind,
};
use pgbaton::values::{Clock, FenceChoice, Incarnation, LeaseDeadline, Revision, Strength, Term};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(20);
const SOFT_STOP: Duration = Duration::from_millis(300);

/// One guardian with a folder of its own. Both are gone with the value.
struct Site {
    folder: TempDir,
    guardian: Guardian,
    log: BufReader<LogReader>,
    logs: Receiver<OwnedFd>,
}

fn setup(folder: &Path, strength: Strength) -> Coming {
    let setup = Setup {
        choice: FenceChoice::Named(strength),
        state_dir: folder.to_owned(),
        data_dir: folder.to_owned(),
        key_files: Vec::new(),
    };
    let target = Arc::new(Target::new(folder.join("nothing"), "no-such-program"));
    Coming { setup, target, program: env!("CARGO_BIN_EXE_pgbaton").into(), tell: |_| () }
}

impl Site {
    fn new(strength: Strength) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let attached = Guardian::attach(setup(folder.path(), strength)).unwrap();
        let Attached { guardian, report, left, was_there, logs } = attached;
        assert_eq!((report, left, was_there), (None, None, false));
        assert_eq!(guardian.strength(), strength);
        let log = BufReader::new(LogReader(logs.recv().unwrap()));
        Site { folder, guardian, log, logs }
    }

    fn run(&self, script: &str) -> OwnedFd {
        self.guardian.launch(launch(script, self.folder.path())).unwrap()
    }

    #[track_caller]
    fn said(&mut self) -> String {
        if self.log.buffer().is_empty() {
            let mut wanted = [PollFd::new(self.log.get_ref().0.as_fd(), PollFlags::POLLIN)];
            let within = PollTimeout::try_from(BOUND).unwrap();
            assert_eq!(poll(&mut wanted, within), Ok(1), "nothing was said in {BOUND:?}");
        }
        let mut line = String::new();
        self.log.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn arm(&self, after: Duration) -> LeaseDeadline {
        self.arm_with(after, SOFT_STOP)
    }

    fn arm_with(&self, after: Duration, soft_stop: Duration) -> LeaseDeadline {
        let deadline = LeaseDeadline::at(BoottimeClock.now() + after);
        let deposit = Deposit { incarnation: Incarnation(7), term: Term(3), revision: Revision(9) };
        self.guardian.deposit(deposit, soft_stop);
        self.guardian.arm(deadline);
        deadline
    }

    /// The guardian's own process: the one in its folder that no other of them has started.
    fn process(&self) -> Pid {
        let found: Vec<i32> = working_in(self.folder.path())
            .into_iter()
            .filter(|pid| command_line(*pid).starts_with("pgbaton guardian"))
            .collect();
        let first = found.iter().find(|pid| !found.contains(&parent_of(**pid)));
        Pid::from_raw(*first.expect("a guardian"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.guardian.leave();
        for pid in working_in(self.folder.path()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn launch(script: &str, folder: &Path) -> Launch {
    let arguments = ["sh", "-c", script].map(|text| text.as_bytes().to_vec()).to_vec();
    let path = [b"PATH=".to_vec(), std::env::var("PATH").unwrap().into_bytes()].concat();
    let (program, environment, owner) = ("/bin/sh".into(), vec![path], None);
    Launch { program, arguments, environment, folder: folder.to_owned(), owner }
}

fn working_in(folder: &Path) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_there = |pid: &i32| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place == folder)
    };
    pids.filter(is_there).collect()
}

fn command_line(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).unwrap_or(0)
}

fn has_ended(handle: &OwnedFd) -> bool {
    let mut polled = [libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    // SAFETY: a list of one.
    unsafe { libc::poll(polled.as_mut_ptr(), 1, 0) == 1 }
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < BOUND, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Those that this machine has; the weakest is everywhere.
fn strengths() -> Vec<Strength> {
    let wanted = [Strength::Namespace, Strength::Cgroup, Strength::Subreaper];
    let works = |strength: &Strength| {
        let folder = tempfile::tempdir().unwrap();
        match Guardian::attach(setup(folder.path(), *strength)) {
            Ok(attached) => {
                attached.guardian.leave();
                true
            }
            Err(error) => {
                println!("not here: {error}");
                false
            }
        }
    };
    let found: Vec<Strength> = wanted.into_iter().filter(works).collect();
    assert!(found.contains(&Strength::Subreaper));
    found
}

#[test]
fn a_server_is_started_heard_and_its_end_is_told() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let endings = site.guardian.endings().unwrap();
        let server = site.run("echo \"in $PWD\" >&2; exit 3");
        assert_eq!(site.said(), format!("in {}", site.folder.path().display()), "{strength}");
        wait_until("the end", || has_ended(&server));
        wait_until("the status", || endings.status().is_some());
        assert_eq!(endings.status(), Some(3 << 8), "{strength}");
        let endings = site.guardian.endings().unwrap();
        site.run("kill -TERM $$");
        wait_until("the status", || endings.status().is_some());
        assert_eq!(endings.status(), Some(15), "{strength}");
        let missing = Launch { program: "/no/such/server".into(), ..launch("", Path::new("/")) };
        let error = site.guardian.launch(missing).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{strength}: {error}");
    }
}

/// One that does not hear, with a child that has left its family, and children without end.
const STUBBORN: &str = "trap '' INT TERM; (setsid sh -c \"trap '' INT; while :; do sleep 1; done\" &); \
     (while :; do sleep 0.05 & wait; done) & echo up >&2; while :; do sleep 1; done";

#[test]
fn nothing_of_a_server_is_left_after_the_deadline() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let server = site.run(STUBBORN);
        assert_eq!(site.said(), "up");
        site.arm(Duration::from_secs(60));
        let deadline = site.arm(Duration::from_millis(700));
        wait_until("the server's end", || has_ended(&server));
        assert!(deadline.has_passed(BoottimeClock.now()), "{strength}: too early");
        let is_server = |pid: &i32| !command_line(*pid).starts_with("pgbaton guardian");
        let left = || working_in(site.folder.path()).into_iter().filter(is_server).count();
        wait_until("nothing is left", || left() == 0);
        let mut report = None;
        wait_until("a report", || {
            report = site.guardian.take_report().or(report);
            report.is_some()
        });
        let report = report.unwrap();
        assert_eq!(report.deadline, deadline, "{strength}");
        assert!(report.soft_at.is_some_and(|at| at < report.began_at), "{strength}: {report:?}");
        assert!(deadline.has_passed(report.began_at), "{strength}: {report:?}");
        // Another one can be started, and nothing is armed any more.
        site.guardian.disarm();
        site.run("echo again >&2; sleep 600");
        assert_eq!(site.said(), "again", "{strength}");
    }
}

#[test]
fn a_deadline_that_is_moved_stops_nobody_and_a_soft_stop_comes_before_the_kill() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let server =
            site.run("trap 'echo soft >&2; exit 0' INT; echo up >&2; while :; do sleep 0.01; done");
        assert_eq!(site.said(), "up");
        let started = Instant::now();
        // Machines that are shared stand still for some hundred milliseconds now and then.
        let (lease, soft_stop) = (Duration::from_secs(3), Duration::from_secs(2));
        while started.elapsed() < Duration::from_millis(1_200) {
            site.arm_with(lease, soft_stop);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!has_ended(&server), "{strength}: the deadline lay ahead all the time");
        let deadline = site.arm_with(lease, soft_stop);
        assert_eq!(site.said(), "soft", "{strength}");
        wait_until("the server's end", || has_ended(&server));
        assert!(!deadline.has_passed(BoottimeClock.now()), "{strength}: it was killed");
    }
}

#[test]
fn the_next_agent_finds_the_server_and_what_was_deposited() {
    let mut site = Site::new(Strength::Subreaper);
    let server = site.run("echo up >&2; sleep 600");
    assert_eq!(site.said(), "up");
    let deadline = site.arm(Duration::from_secs(600));
    // The same process once more: as after an upgrade in place.
    let again = Guardian::attach(setup(site.folder.path(), Strength::Subreaper)).unwrap();
    assert!(again.was_there);
    let left = again.left.unwrap();
    assert_eq!((left.deadline, left.deposit.incarnation), (deadline, Incarnation(7)));
    let found = again.guardian.server().unwrap();
    assert_eq!(pid_behind(found.as_fd()), pid_behind(server.as_fd()));
}

#[test]
fn a_guardian_that_dies_takes_its_server_along_and_is_replaced() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let server = site.run("echo up >&2; sleep 600");
        assert_eq!(site.said(), "up");
        let before = site.process();
        kill(before, Signal::SIGKILL).unwrap();
        let lives_on = strength == Strength::Cgroup;
        if !lives_on {
            wait_until("the server's end", || has_ended(&server));
        }
        let log = site.logs.recv_timeout(BOUND).expect("another guardian");
        wait_until("it is there", || site.guardian.is_alive() && site.process() != before);
        if lives_on {
            assert!(!has_ended(&server), "it is guarded by another one now");
            site.arm(Duration::from_millis(100));
            wait_until("the server's end", || has_ended(&server));
            site.guardian.disarm();
        }
        site.log = BufReader::new(LogReader(log));
        site.run("echo again >&2; sleep 600");
        assert_eq!(site.said(), "again", "{strength}");
    }
}

#[test]
fn a_stopped_guardian_is_ended_by_the_kernel_and_its_namespace_with_it() {
    if !strengths().contains(&Strength::Namespace) {
        println!("no namespaces here");
        return;
    }
    let mut site = Site::new(Strength::Namespace);
    let server = site.run(STUBBORN);
    assert_eq!(site.said(), "up");
    let deadline = site.arm(Duration::from_millis(800));
    let guardian = site.process();
    let taken_in = || std::fs::read_to_string(format!("/proc/{guardian}/timers"));
    wait_until("it has taken the deadline in", || taken_in().is_ok_and(|text| !text.is_empty()));
    std::thread::yield_now();
    kill(guardian, Signal::SIGSTOP).unwrap();
    wait_until("the server's end", || has_ended(&server));
    let ended_at = BoottimeClock.now();
    assert!(deadline.has_passed(ended_at), "too early");
    let late = ended_at.since(deadline.moment());
    assert!(late < Duration::from_millis(150), "{late:?} after the deadline");
}
