//! The processes of this host as `/proc` tells them. Reads only what the kernel holds in memory: no
//! disk is touched, so a stalled one cannot hold it up.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id, which means it only together with `started_ticks`.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// `R`, `S`, `D`, `T`, `Z`, ...
    pub state: u8,
    /// When it was started, in clock ticks since boot.
    pub started_ticks: u64,
    name: [u8; 16],
    name_length: usize,
}

impl Process {
    /// Reads one process; `None` when there is none of that id.
    pub fn read(pid: i32) -> Option<Self> {
        let mut buffer = [0u8; 1024];
        let length = read_into(format!("/proc/{pid}/stat"), &mut buffer)?;
        Self::parse(pid, &buffer[..length])
    }

    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        // The name is in parentheses and may itself hold parentheses and blanks.
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let name_given = stat.get(open + 1..close)?;
        let mut name = [0u8; 16];
        let name_length = name_given.len().min(name.len());
        name[..name_length].copy_from_slice(&name_given[..name_length]);
        let mut fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let started_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self { pid, parent, state, started_ticks, name, name_length })
    }

    /// The name of its program, cut to 15 bytes by the kernel.
    pub fn name(&self) -> &[u8] {
        &self.name[..self.name_length]
    }

    /// Whether it has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Its id as the process itself sees it, in the innermost PID namespace that it is in.
    pub fn own_pid(&self) -> Option<i32> {
        let mut buffer = [0u8; 4096];
        let length = read_into(format!("/proc/{}/status", self.pid), &mut buffer)?;
        let status = std::str::from_utf8(&buffer[..length]).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        ids.split_ascii_whitespace().next_back()?.parse().ok()
    }

    /// How often its first thread has given up a processor or been taken off it: a process that runs
    /// at all counts up. `None` when it is gone.
    pub fn switches(&self) -> Option<u64> {
        let mut buffer = [0u8; 4096];
        let length = read_into(format!("/proc/{}/status", self.pid), &mut buffer)?;
        let status = std::str::from_utf8(&buffer[..length]).ok()?;
        let counts = status.lines().filter_map(|line| {
            let (name, count) = line.split_once(':')?;
            let counts = name.ends_with("voluntary_ctxt_switches");
            counts.then(|| count.trim().parse::<u64>().ok())?
        });
        Some(counts.sum())
    }

    /// Whether SIGKILL is pending on every thread of it while it sleeps uninterruptibly: it cannot
    /// return to user mode.
    pub fn is_doomed(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return false;
        };
        threads.flatten().all(|thread| {
            let mut buffer = [0u8; 4096];
            let path = thread.path().join("status");
            read_into(&path, &mut buffer).is_some_and(|length| thread_is_doomed(&buffer[..length]))
        })
    }
}

const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);

fn thread_is_doomed(status: &[u8]) -> bool {
    let Ok(status) = std::str::from_utf8(status) else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let pending = |name| field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let kill_pending = [pending("SigPnd:"), pending("ShdPnd:")]
        .into_iter()
        .flatten()
        .any(|mask| mask & SIGKILL_BIT != 0);
    kill_pending && field("State:").is_some_and(|state| state.starts_with('D'))
}

/// All processes that can be seen.
pub fn list() -> Vec<Process> {
    let mut processes = Vec::with_capacity(1024);
    let Ok(entries) = std::fs::read_dir("/proc") else { return processes };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = std::str::from_utf8(name.as_bytes()).ok().and_then(|name| name.parse().ok());
        processes.extend(pid.and_then(Process::read));
    }
    processes
}

/// A process with all that descends from it.
pub fn family_of(root: i32) -> Vec<i32> {
    let all = list();
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        let children = all.iter().filter(|one| one.parent == parent && !one.is_zombie());
        family.extend(children.map(|one| one.pid));
        at += 1;
    }
    family
}

/// Whether the process works in this folder, given by its real path.
pub fn works_in(pid: i32, folder: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|link| link == folder)
}

fn read_into(path: impl AsRef<Path>, buffer: &mut [u8]) -> Option<usize> {
    let mut file = File::open(path).ok()?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_blanks() {
        let mut stat = b"7 (a) b (c) S 3".to_vec();
        for field in 5..=22 {
            stat.extend_from_slice(format!(" {field}").as_bytes());
        }
        let process = Process::parse(7, &stat).unwrap();
        assert_eq!(process.name(), b"a) b (c");
        assert_eq!((process.parent, process.state, process.started_ticks), (3, b'S', 22));
    }

    #[test]
    fn this_process_is_listed() {
        let own = std::process::id() as i32;
        let listed = list().into_iter().find(|process| process.pid == own).unwrap();
        assert!(!listed.is_zombie() && !listed.is_doomed());
        assert_eq!(listed.own_pid(), Some(own));
        assert!(works_in(own, &std::env::current_dir().unwrap().canonicalize().unwrap()));
    }

    #[test]
    fn a_process_that_runs_counts_up_and_a_stopped_one_does_not() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do sleep 0.001; done"])
            .spawn()
            .unwrap();
        let one = Process::read(child.id() as i32).unwrap();
        let before = one.switches().unwrap();
        while one.switches().unwrap() == before {
            std::thread::yield_now();
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(one.pid), nix::sys::signal::SIGSTOP)
            .unwrap();
        while Process::read(one.pid).unwrap().state != b'T' {
            std::thread::yield_now();
        }
        let stopped = one.switches().unwrap();
        assert_eq!(one.switches(), Some(stopped));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(one.switches(), None, "it is gone");
    }

    #[test]
    fn only_an_uninterruptible_sleep_under_a_pending_kill_is_doom() {
        let status = |state, pending| {
            format!("State:\t{state}\nSigPnd:\t{pending:016x}\nShdPnd:\t0000000000000000\n")
        };
        assert!(thread_is_doomed(status("D (disk sleep)", 0x100).as_bytes()));
        assert!(!thread_is_doomed(status("D (disk sleep)", 0x200).as_bytes()));
        assert!(!thread_is_doomed(status("R (running)", 0x100).as_bytes()));
    }
}
