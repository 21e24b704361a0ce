//! The postmaster as a process: a child that this agent started, or one that was found running. Its
//! end is known when it happens, through a pidfd.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::server_log::LogTail;
use super::spawner;
use crate::fence::{self, Endings, Process};

/// How often, and how many times, it is looked for what a guardian tells of an end.
const TOLD_LOOK: Duration = Duration::from_millis(5);
const TOLD_WITHIN_LOOKS: u32 = 60;

/// A postmaster that was running when it was last looked at.
#[derive(Debug)]
pub(super) struct Postmaster {
    /// Who it is.
    pub process: Process,
    /// The settings on its command line, which no file and no reload changes: name and value.
    pub settings: Vec<(String, String)>,
    handle: AsyncFd<OwnedFd>,
    child: Mutex<Option<Child>>,
    log: Option<Arc<LogTail>>,
    /// Where its guardian says how it ended.
    endings: Option<Endings>,
    /// How it ended, once that was asked of a child.
    status: Mutex<Option<String>>,
}

impl Postmaster {
    /// Our own child.
    ///
    /// # Errors
    /// When the kernel gives no handle on it.
    pub fn of_child(child: Child, log: Arc<LogTail>) -> io::Result<Self> {
        let mut own = Self::of_pid(child.id() as i32)?;
        own.child = Mutex::new(Some(child));
        own.log = Some(log);
        Ok(own)
    }

    /// A guardian's child.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn of_guardian(
        handle: OwnedFd,
        endings: Option<Endings>,
        log: Arc<LogTail>,
    ) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let pid = fence::pid_behind(handle.as_fd()).ok_or_else(none)?;
        let mut guarded = Self::of_handle(handle, pid)?;
        guarded.endings = endings;
        guarded.log = Some(log);
        Ok(guarded)
    }

    fn of_pid(pid: i32) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let handle = pidfd_open(Pid::from_raw(pid).ok_or_else(none)?, PidfdFlags::empty())?;
        Self::of_handle(handle, pid)
    }

    fn of_handle(handle: OwnedFd, pid: i32) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        // Read after the handle was opened: whoever it is now, the handle means it.
        let process = Process::read(pid).ok_or_else(none)?;
        // SAFETY: an `OwnedFd` is one open descriptor until it is dropped, and the `AsyncFd` owns it.
        let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE)? };
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let settings = settings_in(&arguments);
        let (child, status) = (Mutex::new(None), Mutex::new(None));
        Ok(Self { process, settings, handle, child, log: None, endings: None, status })
    }

    /// The server that `postmaster.pid` tells of, if that very process is there: it runs the server's
    /// program and works in the data directory. The start time in the file is not compared: it was
    /// read from a clock that can have been set since, and to take a running server for a stale file
    /// would be far worse than the other way round.
    pub fn find(data_dir: &Path, program: &str) -> Option<Self> {
        let file = PidFile::read(data_dir)?;
        let found = Self::of_pid(file.pid).ok()?;
        let program: Vec<u8> = program.bytes().take(15).collect();
        let is_it = !found.process.is_zombie()
            && found.process.name() == program
            && fence::works_in(file.pid, data_dir);
        is_it.then_some(found)
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        let handle = self.handle.get_ref().as_fd();
        let mut polled = [PollFd::new(handle, PollFlags::POLLIN)];
        let alive = matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0));
        if !alive {
            self.reap();
        }
        alive
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        // Readiness stays, so this resolves for everybody who waits. Only the runtime's end fails it.
        if self.handle.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.reap();
    }

    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// When it is gone, or belongs to somebody else.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(self.handle.get_ref(), signal)?)
    }

    /// Whether a guardian holds it.
    pub fn is_guarded(&self) -> bool {
        self.log.is_some()
    }

    /// How it ended, and the last that it said. A guardian is given a moment to tell, and so is the thread that
    /// reads what the server says.
    pub async fn last_words(&self) -> String {
        for _ in 0..TOLD_WITHIN_LOOKS {
            if self.is_told_how_it_ended() && self.has_said_something() {
                break;
            }
            tokio::time::sleep(TOLD_LOOK).await;
        }
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = status.unwrap_or_else(|| "it was not our child".to_owned());
        match self.log.as_ref().map(|log| log.text()).filter(|text| !text.is_empty()) {
            Some(text) => format!("{status}; its last words: {text}"),
            None => status,
        }
    }

    /// Whether nobody else has to tell, or the guardian has.
    fn is_told_how_it_ended(&self) -> bool {
        let Some(endings) = &self.endings else { return true };
        let Some(status) = endings.status() else { return false };
        let status = ExitStatus::from_raw(status).to_string();
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        true
    }

    /// Whether anything of it is kept, where its words are read at all.
    fn has_said_something(&self) -> bool {
        self.log.as_ref().is_none_or(|log| !log.text().is_empty())
    }

    fn reap(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = child.as_mut() {
            let status = match one.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) => status.to_string(),
                Err(error) => error.to_string(),
            };
            spawner::forget(one.id());
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            *child = None;
        }
    }
}

/// The `--name=value` among the arguments of a process.
fn settings_in(arguments: &[u8]) -> Vec<(String, String)> {
    let texts = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let pairs = texts.filter_map(|text| {
        let (name, value) = text.strip_prefix("--")?.split_once('=')?;
        Some((name.replace('-', "_"), value.to_owned()))
    });
    pairs.collect()
}

/// What `postmaster.pid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster.
    pub pid: i32,
    /// `starting`, `stopping`, `ready`, `standby`; empty before the first of these.
    pub status: String,
}

impl PidFile {
    pub fn read(data_dir: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A single-user server writes its own id as a negative number.
        let pid: i32 = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        Some(Self { pid, status: lines.nth(6).unwrap_or_default().trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_eighth_line() {
        let text = "4711\n/data\n1700000000\n5432\n/tmp\nlocalhost\n  5432001  3\nstandby \n";
        let read = PidFile::parse(text).unwrap();
        assert_eq!(read, PidFile { pid: 4711, status: "standby".into() });
        assert_eq!(PidFile::parse("4711\n/data\n").unwrap().status, "");
        assert_eq!(PidFile::parse("-4711\n/data\n"), None);
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn settings_on_the_command_line_are_read() {
        let read = settings_in(b"/bin/postgres\0-D\0/data\0--port=5432\0--cluster-name=a=b\0");
        let expected = [("port", "5432"), ("cluster_name", "a=b")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_known_when_it_happens_and_it_is_reaped() {
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id() as i32;
        let log = Arc::new(LogTail::default());
        let postmaster = Postmaster::of_child(child, log).unwrap();
        assert!(postmaster.is_alive());
        postmaster.signal(Signal::KILL).unwrap();
        postmaster.ended().await;
        postmaster.ended().await;
        assert!(!postmaster.is_alive());
        assert_eq!(Process::read(pid), None, "it was reaped");
        let said = postmaster.last_words().await;
        assert!(said.contains("signal: 9"), "{said}");
        assert!(postmaster.signal(Signal::KILL).is_err());
    }
}
