//! Kills everything below one process until nothing of it can run. Memory is reserved beforehand, and
//! only `/proc` is read, which no disk is behind.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use super::super::{BoottimeClock, sys};
use crate::values::Clock;

/// More processes than this on one host are not looked at; the kernel's usual limit is 32,768.
const PROCESSES_MAX: usize = 65_536;
/// Longer than this the guardian does not stay in one sweep; it comes back to it.
const AT_ONE_TIME: Duration = Duration::from_millis(60);
/// Before the killing all are stopped, so that none forks meanwhile; this often at the most.
const STOPS_MAX: usize = 4;

#[derive(Clone, Copy)]
struct Entry {
    pid: i32,
    parent: i32,
    state: u8,
    is_below: bool,
}

/// What a sweep needs, all of it reserved.
pub struct Sweep {
    proc: OwnedFd,
    table: Vec<Entry>,
    names: Box<[u8]>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many processes there were.
    pub processes: usize,
    /// Whether none of them can return to user mode.
    pub fenced: bool,
    /// Whether all are gone.
    pub all_gone: bool,
}

impl Sweep {
    /// # Errors
    /// When there is no `/proc`.
    pub fn new() -> io::Result<Self> {
        let proc = std::fs::File::open("/proc")?.into();
        let names = vec![0; 32 * 1024].into_boxed_slice();
        Ok(Self { proc, table: Vec::with_capacity(PROCESSES_MAX), names })
    }

    /// Kills all that descends from `root`, but not what descends from `spared`.
    pub fn kill_below(&mut self, root: i32, spared: Option<i32>) -> Swept {
        let until = BoottimeClock.now() + AT_ONE_TIME;
        let mut processes = 0;
        for _ in 0..STOPS_MAX {
            let found = self.signal_below(root, spared, libc::SIGSTOP);
            if found.living <= processes {
                break;
            }
            processes = found.living;
        }
        loop {
            let found = self.signal_below(root, spared, libc::SIGKILL);
            processes = processes.max(found.living);
            if found.can_run == 0 || BoottimeClock.now() >= until {
                let fenced = found.can_run == 0;
                return Swept { processes, fenced, all_gone: found.living == 0 };
            }
            let _ = sys::poll(&mut [], 1);
        }
    }

    fn signal_below(&mut self, root: i32, spared: Option<i32>, signal: i32) -> Found {
        self.list();
        self.mark(root, spared);
        let mut found = Found { living: 0, can_run: 0 };
        for entry in self.table.iter().filter(|entry| entry.is_below) {
            if matches!(entry.state, b'Z' | b'X') {
                continue;
            }
            found.living += 1;
            // Asleep in the kernel with a kill pending it does not come back from there.
            found.can_run += usize::from(entry.state != b'D');
            // SAFETY: numbers only.
            unsafe { libc::kill(entry.pid, signal) };
        }
        found
    }

    fn mark(&mut self, root: i32, spared: Option<i32>) {
        loop {
            let mut changed = false;
            for index in 0..self.table.len() {
                let entry = self.table[index];
                if entry.is_below || Some(entry.pid) == spared || entry.pid == root {
                    continue;
                }
                let parent = entry.parent;
                let below = |one: &Entry| one.is_below && one.pid == parent;
                if parent == root || self.table.iter().any(below) {
                    self.table[index].is_below = true;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn list(&mut self) {
        self.table.clear();
        // SAFETY: numbers only.
        unsafe { libc::lseek(self.proc.as_raw_fd(), 0, libc::SEEK_SET) };
        loop {
            let (fd, place) = (self.proc.as_raw_fd(), self.names.as_mut_ptr());
            // SAFETY: the buffer is as long as it says.
            let got = unsafe { libc::syscall(libc::SYS_getdents64, fd, place, self.names.len()) };
            if got <= 0 {
                return;
            }
            let mut at = 0;
            while at + 19 <= got as usize {
                // Of an entry: inode (8), offset (8), its length (2), a type (1), the name.
                let length =
                    usize::from(u16::from_ne_bytes([self.names[at + 16], self.names[at + 17]]));
                if length == 0 {
                    return;
                }
                let name = &self.names[at + 19..at + length];
                let digits = name.iter().position(|byte| *byte == 0).unwrap_or(0);
                if let Some(pid) = number(&name[..digits])
                    && self.table.len() < PROCESSES_MAX
                    && let Some(entry) = read_stat(self.proc.as_fd(), &name[..digits], pid)
                {
                    self.table.push(entry);
                }
                at += length;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Found {
    living: usize,
    can_run: usize,
}

fn number(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i32, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

fn read_stat(proc: std::os::fd::BorrowedFd<'_>, digits: &[u8], pid: i32) -> Option<Entry> {
    let mut path = [0_u8; 24];
    path[..digits.len()].copy_from_slice(digits);
    path[digits.len()..digits.len() + 5].copy_from_slice(b"/stat");
    let mut stat = [0_u8; 512];
    // SAFETY: the path ends in zero, the buffer is as long as it says.
    let got = unsafe {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let fd = libc::openat(proc.as_raw_fd(), path.as_ptr().cast(), flags);
        if fd < 0 {
            return None;
        }
        let got = libc::read(fd, stat.as_mut_ptr().cast(), stat.len());
        libc::close(fd);
        got
    };
    let stat = stat.get(..usize::try_from(got).ok()?)?;
    // The name stands in parentheses, and may hold some itself.
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat.get(close + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    Some(Entry { pid, parent: number(fields.next()?)?, state, is_below: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    /// A shell with all that it starts: gone with the value, also when a test fails.
    struct Family(Child);

    impl Family {
        fn of(script: &str) -> Self {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).stdout(Stdio::null()).process_group(0);
            Self(shell.spawn().unwrap())
        }

        fn root(&self) -> i32 {
            self.0.id() as i32
        }
    }

    impl Drop for Family {
        fn drop(&mut self) {
            // SAFETY: numbers only. One that forks all the time needs more than one try.
            while unsafe { libc::kill(-self.root(), libc::SIGKILL) } == 0 {
                let _ = self.0.try_wait();
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_is_below_is_killed_however_fast_it_forks() {
        // One who forks all the time, below a root that does not.
        let mut forker = Family::of("(while :; do sleep 0.01 & done) & wait");
        let mut sweep = Sweep::new().unwrap();
        while sweep.signal_below(forker.root(), None, 0).living < 5 {
            std::thread::yield_now();
        }
        let started = std::time::Instant::now();
        // On a busy machine a killed process can take longer to get its turn than one sweep lasts.
        while !sweep.kill_below(forker.root(), None).fenced {
            assert!(started.elapsed() < Duration::from_secs(20), "somebody is left");
        }
        // The last one it waited for is gone.
        forker.0.wait().unwrap();
    }

    #[test]
    fn what_descends_from_the_spared_one_is_spared() {
        let mut sweep = Sweep::new().unwrap();
        for (pid, parent) in [(5, 2), (2, 1), (3, 1), (4, 3), (7, 6)] {
            sweep.table.push(Entry { pid, parent, state: b'S', is_below: false });
        }
        sweep.mark(1, Some(3));
        let below: Vec<i32> =
            sweep.table.iter().filter(|entry| entry.is_below).map(|entry| entry.pid).collect();
        assert_eq!(below, [5, 2]);
    }
}
