//! The demo's directory: made and removed, or kept; never shared by two demos at once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::identity::Identity;

/// By this file a directory is known as a demo's. It holds what a later start has to keep.
pub const RECORD: &str = "demo.json";
/// Held locked while a demo runs.
const LOCK: &str = "demo.lock";

/// An open directory. Dropping it removes it, if it was made for this run alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_temporary: bool,
    _lock: Flock<File>,
}

impl Folder {
    /// Opens `dir`, made where it is missing; without one, makes a temporary directory.
    pub fn open(dir: Option<&Path>, identity: Option<&Identity>) -> Result<Self> {
        let path = match dir {
            Some(dir) => Self::prepare(dir)?,
            None => make_temporary()?,
        };
        let give = || -> Result<Flock<File>> {
            if let Some(identity) = identity {
                if let Some(stop) = identity.stopped_at(&path) {
                    bail!(
                        "the demo's processes run as `{}`, who may not enter `{}`; choose a \
                         --dir that this user can reach",
                        identity.name,
                        stop.display()
                    );
                }
                identity.own(&path)?;
            }
            lock(&path)
        };
        match give() {
            Ok(lock) => Ok(Self { path, is_temporary: dir.is_none(), _lock: lock }),
            Err(error) => {
                if dir.is_none() {
                    remove(&path);
                }
                Err(error)
            }
        }
    }

    fn prepare(dir: &Path) -> Result<PathBuf> {
        let shown = dir.display();
        fs::create_dir_all(dir).with_context(|| format!("`{shown}` could not be made"))?;
        let path = dir.canonicalize().with_context(|| format!("`{shown}` cannot be reached"))?;
        let mut entries =
            fs::read_dir(&path).with_context(|| format!("`{shown}` cannot be read"))?;
        let ours = [RECORD, LOCK].iter().any(|name| path.join(name).exists());
        ensure!(
            ours || entries.next().is_none(),
            "`{shown}` holds something else than a demo: give an empty directory, one that is not \
             there yet, or that of an earlier demo"
        );
        Ok(path)
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes away at the end.
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// Removes it, if it was made for this run alone.
    pub fn close(self) {}
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            remove(&self.path);
        }
    }
}

fn make_temporary() -> Result<PathBuf> {
    let template = std::env::temp_dir().join("pgbaton-demo-XXXXXX");
    nix::unistd::mkdtemp(&template)
        .with_context(|| format!("no directory could be made at `{}`", template.display()))
}

fn lock(path: &Path) -> Result<Flock<File>> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("`{}` could not be closed to others", path.display()))?;
    let file = File::create(path.join(LOCK))
        .with_context(|| format!("no file could be made in `{}`", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => bail!("another demo runs in `{}`", path.display()),
        Err((_, errno)) => Err(io::Error::from(errno)).context("the directory cannot be locked"),
    }
}

/// Files may still appear while the last process ends, so it is tried again.
fn remove(path: &Path) {
    let tries = 5;
    for last in (0..tries).map(|n| n + 1 == tries) {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) if last => eprintln!("`{}` could not be removed: {error}", path.display()),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_away_and_a_given_one_stays() {
        let temporary = Folder::open(None, None).unwrap();
        let path = temporary.path().to_owned();
        fs::create_dir(path.join("pg-a")).unwrap();
        temporary.close();
        assert!(!path.exists());

        let root = tempfile::tempdir().unwrap();
        let given = root.path().join("new/demo");
        Folder::open(Some(&given), None).unwrap().close();
        assert!(given.exists());
        Folder::open(Some(&given), None).unwrap().close();
    }

    #[test]
    fn two_demos_do_not_share_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let first = Folder::open(Some(root.path()), None).unwrap();
        let second = Folder::open(Some(root.path()), None).unwrap_err();
        assert!(second.to_string().contains("another demo runs"), "{second:#}");
        first.close();
    }

    #[test]
    fn a_directory_of_something_else_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let refused = Folder::open(Some(root.path()), None).unwrap_err();
        assert!(refused.to_string().contains("holds something else"), "{refused:#}");
    }
}
