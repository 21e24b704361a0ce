//! Where the programs are that the demo starts. Says everything that is missing at once, with the Debian
//! package that has it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The programs' places.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The directory of `postgres`, `initdb` and the rest.
    pub postgresql_bin: PathBuf,
    /// PostgreSQL's major version.
    pub postgresql_major: u32,
    /// `etcd`.
    pub etcd: PathBuf,
    /// `haproxy`.
    pub haproxy: PathBuf,
}

/// Programs of PostgreSQL without which no node can work.
const POSTGRESQL_PROGRAMS: [&str; 6] =
    ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_controldata"];

impl Programs {
    /// Looks in `PATH`, where administrators' programs are, and where Debian puts PostgreSQL.
    pub fn find() -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
        places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        let postgresql = newest_postgresql(Path::new("/usr/lib/postgresql"))
            .or_else(|| places.iter().find(|place| has_postgresql(place)).cloned());
        let etcd = find_in(&places, "etcd");
        let haproxy = find_in(&places, "haproxy");
        match (postgresql, etcd, haproxy) {
            (Some(postgresql_bin), Some(etcd), Some(haproxy)) => {
                let postgresql_major = major_version(&postgresql_bin.join("postgres"))?;
                Ok(Self { postgresql_bin, postgresql_major, etcd, haproxy })
            }
            (postgresql, etcd, haproxy) => {
                let all = [
                    (postgresql.is_none(), "PostgreSQL's server programs", "postgresql"),
                    (etcd.is_none(), "etcd", "etcd-server"),
                    (haproxy.is_none(), "haproxy", "haproxy"),
                ];
                let missing: Vec<_> = all.iter().filter(|(missing, ..)| *missing).collect();
                let what: Vec<_> = missing.iter().map(|(_, what, _)| *what).collect();
                let packages: Vec<_> = missing.iter().map(|(.., package)| *package).collect();
                bail!(
                    "not found on this machine: {}. Install the Debian packages `{}`, or use \
                     `make demo`, which does it (as root) or says exactly what to install",
                    what.join(", "),
                    packages.join(" ")
                )
            }
        }
    }
}

/// What `postgres --version` says: `postgres (PostgreSQL) 15.20 (Debian ...)`, `... 18beta1`.
fn major_version(postgres: &Path) -> Result<u32> {
    let shown = postgres.display();
    let output = Command::new(postgres).arg("--version").output();
    let output = output.with_context(|| format!("`{shown}` could not be started"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    read_major(&text).with_context(|| format!("`{shown} --version` says {text:?}"))
}

fn read_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL)")?;
    let digits: String =
        version.trim_start().chars().take_while(|letter| letter.is_ascii_digit()).collect();
    digits.parse().ok()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn find_in(places: &[PathBuf], name: &str) -> Option<PathBuf> {
    places.iter().map(|place| place.join(name)).find(|path| is_program(path))
}

fn has_postgresql(bin: &Path) -> bool {
    POSTGRESQL_PROGRAMS.iter().all(|name| is_program(&bin.join(name)))
}

/// Debian keeps one directory for each major version.
fn newest_postgresql(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?;
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            has_postgresql(&bin).then_some((major, bin))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(bin: &Path) {
        fs::create_dir_all(bin).unwrap();
        for name in POSTGRESQL_PROGRAMS {
            fs::write(bin.join(name), "").unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_version_is_read_whatever_follows_it() {
        assert_eq!(read_major("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(read_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(read_major("command not found"), None);
    }

    #[test]
    fn the_newest_complete_version_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "9", "15", "18"] {
            install(&root.path().join(version).join("bin"));
        }
        fs::remove_file(root.path().join("18/bin/initdb")).unwrap();
        assert_eq!(newest_postgresql(root.path()), Some(root.path().join("15/bin")));
    }
}
