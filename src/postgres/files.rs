//! Files of the server, written whole or not at all. All of this blocks: it is called through
//! [`blocking`].

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::owner::Owner;
use super::port::ServerError;

/// So many threads may wait for a disk at a time. One that does not answer would take all of them, and
/// with them whatever else needs a thread.
const WAITING_MAX: usize = 64;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts a thread off, however it ends.
struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs what touches the disk on a thread that may wait for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    let waits = Waits;
    if WAITING.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
        return Err(ServerError::NotPossible(
            "the disk does not answer: too many threads wait for it already".into(),
        ));
    }
    let work = move || {
        let _waits = waits;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ServerError::NotPossible("the agent is ending".into())),
    }
}

/// Whose turn it is to change the server's files. Work that was given up goes on until the disk answers: whatever
/// would change them next waits for that, so that no such work lands in the middle of it, or after it.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<()>>);

/// The right to change the server's files, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for what has the turn now.
    pub(super) async fn next(&self) -> Turn {
        Turn { _guard: Arc::clone(&self.0).lock_owned().await }
    }

    /// Runs what changes the server's files when its turn has come.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
    ) -> Result<T, ServerError> {
        self.next().await.write(work).await.map(|(done, _)| done)
    }
}

impl Turn {
    /// Runs what changes the server's files, to its end, also when nobody waits for it any more.
    pub(super) async fn write<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
    ) -> Result<(T, Turn), ServerError> {
        blocking(move || work().map(|done| (done, self))).await
    }
}

/// Names the file and what was being done in an error.
pub(super) fn at<T>(
    path: &Path,
    doing: &'static str,
    result: io::Result<T>,
) -> Result<T, ServerError> {
    result.map_err(|source| ServerError::File { path: path.display().to_string(), doing, source })
}

/// How a file is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whose it is to be.
    pub owner: Option<Owner>,
    /// Its permissions.
    pub mode: u32,
}

/// Writes a file whole, unless it holds that content already; returns whether it was written.
pub(super) fn write(
    path: &Path,
    content: impl AsRef<[u8]>,
    manner: Manner,
) -> Result<bool, ServerError> {
    let content = content.as_ref();
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(false);
    }
    at(path, "writing", write_whole(path, content, manner)).map(|()| true)
}

fn write_whole(path: &Path, content: &[u8], manner: Manner) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pgbaton-new");
    let beside = Path::new(&beside);
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(manner.mode).open(beside)?;
    file.write_all(content)?;
    if let Some(owner) = manner.owner {
        owner.take(beside)?;
    }
    file.sync_all()?;
    fs::rename(beside, path)
}

/// Removes a file; one that is not there is no error. Returns whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, ServerError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => at(path, "removing", Err(error)),
    }
}

/// The content of a text file; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, ServerError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => at(path, "reading", Err(error)),
    }
}

/// Makes a folder that only its owner can read; one that is there stays as it is.
pub(super) fn make_folder(path: &Path, owner: Option<Owner>) -> Result<(), ServerError> {
    if path.is_dir() {
        return Ok(());
    }
    // The folders above are not the server's, and others may have to pass through them.
    if let Some(above) = path.parent() {
        at(above, "creating", fs::create_dir_all(above))?;
    }
    at(path, "creating", fs::DirBuilder::new().mode(0o700).create(path))?;
    match owner {
        Some(owner) => at(path, "changing the owner", owner.take(path)),
        None => Ok(()),
    }
}

/// Makes renames and removals in a folder last.
pub(super) fn sync_folder(path: &Path) -> Result<(), ServerError> {
    at(path, "syncing", fs::File::open(path).and_then(|folder| folder.sync_all()))
}

/// Whether a folder is not there, or holds nothing but what a file system puts into its root.
pub(super) fn is_empty(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all that is in a folder, but not the folder, which may be a mount point.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Bounds a piece of work in time.
pub(super) async fn bounded<T>(
    what: &'static str,
    within: Duration,
    work: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    let timed_out = ServerError::TimedOut { what, within };
    tokio::time::timeout(within, work).await.unwrap_or(Err(timed_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner = Manner { owner: None, mode: 0o600 };

    #[test]
    fn a_file_is_written_only_when_its_content_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        assert!(write(&path, "x = 1\n", MANNER).unwrap());
        assert!(!write(&path, "x = 1\n", MANNER).unwrap());
        assert!(write(&path, "x = 2\n", MANNER).unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some("x = 2\n"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_leftover_of_an_interrupted_write_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        fs::write(folder.path().join("a.conf.pgbaton-new"), "half").unwrap();
        assert!(write(&path, "x = 1\n", MANNER).unwrap());
    }

    #[test]
    fn a_folder_is_emptied_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_empty(folder.path()).unwrap());
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("c"), "").unwrap();
        assert!(!is_empty(folder.path()).unwrap());
        empty(folder.path()).unwrap();
        assert!(folder.path().is_dir() && is_empty(folder.path()).unwrap());
        assert!(is_empty(&folder.path().join("missing")).unwrap());
    }
}
