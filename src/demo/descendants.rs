//! Every process below this one, also those whose parent has gone: this process asks the kernel to get
//! them (it becomes their *subreaper*), so that none is left behind, whatever became of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

/// How long killed processes are waited for. Only a stalled disk keeps one longer.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// From now on orphans below this process become its children.
pub fn adopt_orphans() -> Result<()> {
    set_child_subreaper(true).context("the kernel does not hand orphans to this process")
}

/// Frees the entries of orphans that have ended; `known` are children that somebody else waits for. An
/// agent must not take a server's dead process for a living one.
pub fn reap_orphans(known: &BTreeSet<i32>) {
    for process in children_of(getpid()) {
        if process.is_dead && !known.contains(&process.pid) {
            let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Kills everything below this process until nothing lives there, within a bound. Returns the number of
/// processes that were there.
pub fn kill_all() -> usize {
    let started = Instant::now();
    let mut seen = BTreeSet::new();
    loop {
        let below: Vec<Process> =
            descendants_of(getpid()).into_iter().filter(|process| !process.is_dead).collect();
        if below.is_empty() || started.elapsed() > GONE_WITHIN {
            reap_orphans(&BTreeSet::new());
            return seen.len();
        }
        for process in below {
            seen.insert(process.pid);
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        reap_orphans(&BTreeSet::new());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Clone, Copy, Debug)]
struct Process {
    pid: i32,
    parent: i32,
    is_dead: bool,
}

fn children_of(parent: Pid) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == parent.as_raw()).collect()
}

fn descendants_of(root: Pid) -> Vec<Process> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root.as_raw()];
    while let Some(parent) = parents.pop() {
        for process in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(process.pid);
            found.push(process);
        }
    }
    found
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            read_stat(pid, &stat)
        })
        .collect()
}

/// State and parent follow the name, which stands in brackets and may hold anything.
fn read_stat(pid: i32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, is_dead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_brackets_does_not_mislead() {
        let process = read_stat(7, "7 (a ) Z 1 (b) S 42 7 7 0").unwrap();
        assert_eq!((process.parent, process.is_dead), (42, false));
        assert!(read_stat(7, "7 (postgres) Z 1 7").unwrap().is_dead);
        assert!(read_stat(7, "").is_none());
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let me = getpid().as_raw();
        let parent = nix::unistd::getppid();
        assert!(children_of(parent).iter().any(|process| process.pid == me));
        assert!(descendants_of(parent).iter().any(|process| process.pid == me));
    }
}
