//! Kills every process of one server, backends first-class: killing the postmaster alone leaves busy
//! backends that go on committing. No journal, no log: it is recorded afterwards by who asked.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::processes::{self, Process};

/// How long to wait before looking again whether those that were killed are gone.
const PAUSE: Duration = Duration::from_millis(1);

/// The server that is to be killed if need be. Shared by who starts it and who may have to fence it.
#[derive(Debug)]
pub struct Target {
    server: Mutex<Known>,
    kills: AtomicU64,
}

#[derive(Clone, Debug)]
struct Known {
    postmaster: Option<(i32, u64)>,
    data_dir: PathBuf,
    program: Vec<u8>,
}

impl Target {
    /// A server on `data_dir` (its real path), run by a program of this name.
    pub fn new(data_dir: PathBuf, program: &str) -> Self {
        // The kernel keeps 15 bytes of a name.
        let program = program.bytes().take(15).collect();
        let known = Known { postmaster: None, data_dir, program };
        Self { server: Mutex::new(known), kills: AtomicU64::new(0) }
    }

    /// Tells who the postmaster is now, and the real path of its data directory.
    pub fn runs(&self, postmaster: Process, data_dir: &Path) {
        let mut known = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        known.postmaster = Some((postmaster.pid, postmaster.started_ticks));
        known.data_dir = data_dir.to_owned();
    }

    /// The postmaster, while it is there.
    pub fn postmaster(&self) -> Option<Process> {
        let (pid, started_ticks) = self.known().postmaster?;
        Process::read(pid).filter(|one| one.started_ticks == started_ticks && !one.is_zombie())
    }

    /// How many kills there were: whoever starts a server sees by it that one came in between.
    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// The processes of the server that are there now, orphans of an earlier postmaster included.
    pub fn living(&self) -> Vec<Process> {
        let known = self.known();
        let all = processes::list();
        let mut found = Vec::new();
        known.mark(&all, &mut found);
        found.retain(|process| !process.is_zombie());
        found
    }

    fn known(&self) -> Known {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Known {
    fn is_postmaster(&self, process: &Process) -> bool {
        self.postmaster == Some((process.pid, process.started_ticks))
    }

    /// Adds to `doomed` who belongs to the server: the postmaster, whatever descends from it or from
    /// one that is already doomed, and every process of the server's program that works in its data
    /// directory (the orphans of a postmaster that is gone).
    fn mark(&self, all: &[Process], doomed: &mut Vec<Process>) {
        let own = std::process::id() as i32;
        loop {
            let before = doomed.len();
            for process in all {
                let known = doomed.iter().any(|one| same(one, process));
                if known || process.pid == own {
                    continue;
                }
                let descends = doomed.iter().any(|one| {
                    one.pid == process.parent && all.iter().any(|parent| same(parent, one))
                });
                if descends
                    || self.is_postmaster(process)
                    || (process.name() == self.program
                        && processes::works_in(process.pid, &self.data_dir))
                {
                    doomed.push(*process);
                }
            }
            if doomed.len() == before {
                return;
            }
        }
    }
}

fn same(one: &Process, other: &Process) -> bool {
    one.pid == other.pid && one.started_ticks == other.started_ticks
}

/// What a kill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// How many processes were killed.
    pub processes: usize,
    /// Whether all of them are gone, too; else some are doomed and sleep uninterruptibly.
    pub all_gone: bool,
}

/// Kills all processes of the server; returns when each is gone or cannot return to user mode.
pub fn kill_all(target: &Target) -> Fenced {
    target.kills.fetch_add(1, Ordering::SeqCst);
    let known = target.known();
    let mut doomed: Vec<Process> = Vec::with_capacity(1024);
    // A stopped postmaster forks nobody while its children are being killed.
    if let Some((pid, started_ticks)) = known.postmaster
        && Process::read(pid).is_some_and(|process| process.started_ticks == started_ticks)
    {
        send(pid, Signal::SIGSTOP);
    }
    loop {
        let all = processes::list();
        known.mark(&all, &mut doomed);
        let left = || {
            doomed.iter().filter_map(|one| {
                all.iter().find(|process| same(one, process) && !process.is_zombie())
            })
        };
        for process in left() {
            send(process.pid, Signal::SIGKILL);
        }
        if left().all(Process::is_doomed) {
            return Fenced { processes: doomed.len(), all_gone: left().next().is_none() };
        }
        std::thread::sleep(PAUSE);
    }
}

fn send(pid: i32, signal: Signal) {
    // The only failure that can occur is that it is gone by now.
    let _ = kill(Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn descendants_and_orphans_in_the_data_directory_are_killed_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().canonicalize().unwrap();
        let mut parent = Command::new("sh")
            .args(["-c", "sleep 600 & sleep 600 & wait"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut orphan = Command::new("sleep").arg("600").current_dir(&data_dir).spawn().unwrap();
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        let target = Target::new(data_dir.clone(), "sleep");
        let parent_id = parent.id() as i32;
        let children = || processes::list().iter().filter(|one| one.parent == parent_id).count();
        while children() < 2 {
            std::thread::yield_now();
        }
        target.runs(Process::read(parent_id).unwrap(), &data_dir);

        let fenced = kill_all(&target);

        assert_eq!(fenced, Fenced { processes: 4, all_gone: true });
        assert!(!parent.wait().unwrap().success());
        assert!(!orphan.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none(), "another process was killed");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(target.living().is_empty());
        assert_eq!(target.kills(), 1);
    }
}
