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
    for pid in working_in(dir) {
        let _ = kill(pid, Signal::SIGSTOP);
    }
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
