//! Which fence works here: each is tried, strongest first, with this data directory in mind.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::wire::Setup;
use super::cgroup::{self, Cgroup};
use super::launch::{Kind, try_namespace};
use crate::values::{FenceChoice, Strength};

/// What was found to work.
#[derive(Debug)]
pub struct Chosen {
    /// How strong it is.
    pub strength: Strength,
    /// How a server is started for it.
    pub kind: Kind,
    /// Its cgroup, where it is that.
    pub cgroup: Option<Cgroup>,
    /// Why nothing stronger was taken.
    pub remarks: String,
}

/// Finds what was asked for, or the strongest that works.
///
/// # Errors
/// Says why what was asked for does not work.
pub fn choose(setup: &Setup) -> Result<Chosen, String> {
    let mut refused = Vec::new();
    for strength in Strength::ALL {
        if let FenceChoice::Named(named) = setup.choice
            && named != strength
        {
            continue;
        }
        match try_out(strength, setup) {
            Ok((kind, cgroup)) => {
                return Ok(Chosen { strength, kind, cgroup, remarks: refused.join("; ") });
            }
            Err(why) => refused.push(format!("{strength}: {why}")),
        }
    }
    Err(refused.join("; "))
}

fn try_out(strength: Strength, setup: &Setup) -> Result<(Kind, Option<Cgroup>), String> {
    match strength {
        Strength::Container if std::process::id() == 1 => {
            Ok((Kind::Below { dies_along: true }, None))
        }
        Strength::Container => Err("pgbaton is not the first process of a container".to_owned()),
        Strength::Namespace => namespace(setup).map(|kind| (kind, None)),
        Strength::Cgroup => {
            let cgroup = Cgroup::open(&name_of(&setup.state_dir))?;
            cgroup::try_out(&cgroup)?;
            Ok((Kind::Below { dies_along: false }, Some(cgroup)))
        }
        Strength::Subreaper => Ok((Kind::Below { dies_along: true }, None)),
        Strength::None => Err("nothing works".to_owned()),
    }
}

fn namespace(setup: &Setup) -> Result<Kind, String> {
    let plain = match try_namespace(false) {
        Ok(()) => return Ok(Kind::Namespace { of_user: false }),
        Err(why) => why,
    };
    // Root without the capability would be root in there, which PostgreSQL refuses to be.
    if nix::unistd::geteuid().is_root() {
        return Err(plain);
    }
    try_namespace(true).map_err(|why| format!("{plain}, and {why}"))?;
    foreign_files(setup).map_err(|why| format!("{plain}, and in a user namespace {why}"))?;
    Ok(Kind::Namespace { of_user: true })
}

/// In a user namespace every other user is nobody, and PostgreSQL refuses nobody's files in some places.
fn foreign_files(setup: &Setup) -> Result<(), String> {
    let own = nix::unistd::geteuid().as_raw();
    let tablespaces = std::fs::read_dir(setup.data_dir.join("pg_tblspc"));
    let tablespaces = tablespaces.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = vec![setup.data_dir.clone()];
    files.extend(tablespaces);
    files.extend(setup.key_files.iter().cloned());
    for file in files {
        if let Ok(found) = std::fs::metadata(&file)
            && found.uid() != own
        {
            let owner = found.uid();
            return Err(format!("{} would belong to nobody (user id {owner})", file.display()));
        }
    }
    Ok(())
}

/// A name that is this data directory's alone, among the agents of one host.
fn name_of(state_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let place = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    // FNV-1a: the name must stay the same from one version to the next.
    let hash = place.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("pgbaton-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(choice: FenceChoice) -> Setup {
        let folder = std::env::temp_dir();
        Setup { choice, state_dir: folder.clone(), data_dir: folder, key_files: Vec::new() }
    }

    #[test]
    fn what_is_named_is_taken_or_refused_with_a_reason() {
        let subreaper = choose(&setup(FenceChoice::Named(Strength::Subreaper))).unwrap();
        assert_eq!(subreaper.strength, Strength::Subreaper);
        assert_eq!(subreaper.remarks, "");
        let refused = choose(&setup(FenceChoice::Named(Strength::Container))).unwrap_err();
        assert_eq!(refused, "container: pgbaton is not the first process of a container");
    }

    #[test]
    fn each_data_directory_has_a_name_of_its_own() {
        assert_eq!(name_of(Path::new("/nowhere/a")), name_of(Path::new("/nowhere/a")));
        assert_ne!(name_of(Path::new("/nowhere/a")), name_of(Path::new("/nowhere/b")));
    }

    #[test]
    fn a_key_of_another_user_is_a_reason_against_a_user_namespace() {
        let mut setup = setup(FenceChoice::Auto);
        let own = tempfile::tempdir().unwrap();
        setup.data_dir = own.path().to_owned();
        assert_eq!(foreign_files(&setup), Ok(()));
        if !nix::unistd::geteuid().is_root() {
            setup.key_files = vec!["/etc/passwd".into()];
            assert!(foreign_files(&setup).unwrap_err().contains("/etc/passwd"));
        }
    }
}
