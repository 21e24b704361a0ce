//! Processes by where they work: a node's agent, its server and whatever these have started all have their
//! working directory below the node's own, also those whose parent has gone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Every living process whose working directory is `dir` or below it.
pub fn working_in(dir: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let place = fs::read_link(entry.path().join("cwd")).ok()?;
            place.starts_with(dir).then_some(Pid::from_raw(pid))
        })
        .collect()
}

/// Kills all of them until none is left; `false` if some are after the bound. They are stopped first, so
/// that none outlives another by more than an instant.
pub fn kill_all(dir: &Path) -> bool {
    let started = Instant::now();
    signal_all(dir, Signal::SIGSTOP);
    loop {
        let left = working_in(dir);
        if left.is_empty() {
            return true;
        }
        if started.elapsed() > Duration::from_secs(10) {
            return false;
        }
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A signal to all of them that are there.
pub fn signal_all(dir: &Path, signal: Signal) {
    for pid in working_in(dir) {
        let _ = kill(pid, signal);
    }
}

/// A signal to a process that has to be there.
#[track_caller]
pub fn signal(pid: Pid, signal: Signal) {
    kill(pid, signal).expect("a process of ours takes signals");
}

/// The guardian of a node: of those that show themselves so, the one that no other has started.
#[track_caller]
pub fn guardian(dir: &Path) -> Pid {
    let shows_itself = |pid: &Pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"pgbaton\0guardian\0")
    };
    let found = working_in(dir).into_iter().filter(shows_itself).collect();
    first(found).expect("a guardian")
}

/// Those of a node's processes that are its server's.
pub fn servers(dir: &Path) -> Vec<Pid> {
    let is_server = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "postgres"
    };
    working_in(dir).into_iter().filter(is_server).collect()
}

/// The first of its server's processes.
#[track_caller]
pub fn postmaster(dir: &Path) -> Pid {
    first(servers(dir)).expect("a postmaster")
}

/// The one that none of the others has started.
fn first(all: Vec<Pid>) -> Option<Pid> {
    let is_first = |pid: &&Pid| !parent_of(**pid).is_some_and(|parent| all.contains(&parent));
    all.iter().find(is_first).copied()
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    Some(Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?))
}
