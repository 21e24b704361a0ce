//! The server under its guardian: started by it, found again through it, heard through it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use super::lifecycle::command_line;
use super::place::Place;
use super::process::Postmaster;
use super::server_log::{self, Complaints, LogTail};
use super::spawner;
use crate::fence::{Guardian, Launch, LogReader};

/// A server's guardian, with what comes to the agent through it.
#[derive(Debug)]
pub(super) struct Ward {
    guardian: Guardian,
    tail: Arc<LogTail>,
    /// The foreign server that was spoken of last.
    foreign: Mutex<Option<i32>>,
}

impl Ward {
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(
        guardian: Guardian,
        logs: mpsc::Receiver<OwnedFd>,
        complaints: Arc<Complaints>,
    ) -> io::Result<Arc<Self>> {
        let tail = Arc::new(LogTail::default());
        let kept = Arc::clone(&tail);
        let take = move || {
            for log in logs {
                // Without a thread the log stays in the guardian's memory, and the server goes on.
                let _ = server_log::pass_on_to(
                    LogReader(log),
                    Arc::clone(&kept),
                    Arc::clone(&complaints),
                );
            }
        };
        std::thread::Builder::new().name("server-logs".into()).spawn(take)?;
        Ok(Arc::new(Self { guardian, tail, foreign: Mutex::new(None) }))
    }

    /// Has it started. Waits, on the caller's thread.
    pub fn start(
        &self,
        program: &Path,
        place: &Place,
        arguments: &[(String, String)],
    ) -> io::Result<Postmaster> {
        let program = found_in_path(program)?;
        let mut line = vec![program.as_os_str().as_bytes().to_vec()];
        line.extend(command_line(place, arguments).iter().map(|text| text.as_bytes().to_vec()));
        let owner = place.owner.map(|owner| {
            let groups = spawner::groups_of(owner).iter().map(|group| group.as_raw()).collect();
            (owner.uid, owner.gid, groups)
        });
        self.tail.clear();
        let endings = self.guardian.endings();
        let handle = self.guardian.launch(Launch {
            program,
            arguments: line,
            environment: spawner::environment(),
            folder: place.data_dir.clone(),
            owner,
        })?;
        let started = Postmaster::of_guardian(handle, endings, Arc::clone(&self.tail));
        started.map_err(|_| io::Error::other(format!("at once; it said: {}", self.tail.text())))
    }

    /// The running server: the guardian's own, else one that somebody else started here.
    pub fn find(&self, data_dir: &Path, program: &str) -> Option<Postmaster> {
        if let Some(found) = self.guarded() {
            return Some(found);
        }
        let found = Postmaster::find(data_dir, program)?;
        let pid = found.process.pid;
        if self.guardian.adopt(pid) {
            let handle = self.guardian.server();
            let taken = handle.and_then(|handle| self.of_handle(handle));
            return taken.or(Some(found));
        }
        let mut told = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if told.replace(pid) != Some(pid) {
            tracing::warn!(
                pid,
                "no guardian started this server: until its next start only the agent itself \
                 fences it"
            );
        }
        Some(found)
    }

    fn guarded(&self) -> Option<Postmaster> {
        self.of_handle(self.guardian.server()?)
    }

    fn of_handle(&self, handle: OwnedFd) -> Option<Postmaster> {
        let tail = Arc::clone(&self.tail);
        Postmaster::of_guardian(handle, self.guardian.endings(), tail).ok()
    }
}

/// What a shell would run.
fn found_in_path(program: &Path) -> io::Result<PathBuf> {
    if program.components().count() > 1 {
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file()).ok_or_else(|| io::ErrorKind::NotFound.into())
}
