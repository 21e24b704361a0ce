//! Whose the server is. PostgreSQL refuses to run as root, so an agent that runs as root runs the
//! server and its programs as the owner of the data directory, or as `postgres` where there is none
//! yet, and gives that user the files it writes. An agent of any other user changes nothing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{User, geteuid};

use super::port::ServerError;

/// The user that the server runs as, and whose its files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// Who that is for this data directory; `None` when it is the agent's own user.
    ///
    /// # Errors
    /// When the agent runs as root and there is nobody to run the server as.
    pub fn of(data_dir: &Path) -> Result<Option<Self>, ServerError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        if let Ok(found) = std::fs::metadata(data_dir)
            && found.uid() != 0
        {
            return Ok(Some(Self { uid: found.uid(), gid: found.gid() }));
        }
        match User::from_name("postgres") {
            Ok(Some(user)) => Ok(Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() })),
            _ => Err(ServerError::NotPossible(format!(
                "PostgreSQL does not run as root, {} belongs to no other user, and there is no \
                 user \"postgres\": start pgbaton as the user that PostgreSQL is to run as",
                data_dir.display()
            ))),
        }
    }

    /// Whether it can get to a file in these folders; one that is not there yet is no obstacle.
    pub(super) fn reaches(self, path: &Path) -> bool {
        path.ancestors().skip(1).filter_map(|folder| std::fs::metadata(folder).ok()).all(|found| {
            let mode = found.mode();
            let may_pass = match (found.uid() == self.uid, found.gid() == self.gid) {
                (true, _) => mode & 0o100,
                (false, true) => mode & 0o010,
                (false, false) => mode & 0o001,
            };
            may_pass != 0
        })
    }

    /// Gives a file or folder to its owner.
    pub(super) fn take(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_reached_through_folders_that_let_one_pass() {
        let folder = tempfile::tempdir().unwrap();
        let open_to = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open_to(0o700);
        let found = std::fs::metadata(folder.path()).unwrap();
        let path = folder.path().join("new/pgpass");
        let stranger = Owner { uid: found.uid() + 1, gid: found.gid() + 1 };
        assert!(Owner { uid: found.uid(), gid: found.gid() }.reaches(&path));
        assert!(!stranger.reaches(&path));
        open_to(0o711);
        assert!(stranger.reaches(&path));
    }
}
