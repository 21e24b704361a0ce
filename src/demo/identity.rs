//! As whom the processes run. PostgreSQL refuses root, so a demo that root starts drops to `postgres`.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{User, geteuid};

/// A user that is not the one who started the demo.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// Made by Debian's packages of PostgreSQL.
const POSTGRES: &str = "postgres";

impl Identity {
    /// The user to drop to: nobody else for an ordinary user, `postgres` for root.
    pub fn choose() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let user = User::from_name(POSTGRES).context("the list of users could not be read")?;
        let Some(user) = user else {
            bail!(
                "PostgreSQL refuses to run as root, and there is no user `{POSTGRES}` to drop to. \
                 Make one with `adduser --system --group {POSTGRES}`, or start the demo as an \
                 ordinary user"
            );
        };
        Ok(Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// Makes the user the owner of a file or directory.
    pub fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("`{}` could not be given to {}", path.display(), self.name))
    }

    /// The first directory on the way to `path` that the user may not pass, if any. Looks at
    /// permissions only; what further rules forbid shows when it is tried.
    pub fn stopped_at<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        above.into_iter().find(|directory| {
            !fs::metadata(directory).is_ok_and(|found| {
                let bit = if found.uid() == self.uid {
                    0o100
                } else if found.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                found.mode() & bit != 0
            })
        })
    }
}
