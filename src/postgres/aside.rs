//! Keeping an old data directory under a dated name beside the new one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::{self, at, blocking};
use super::making::refuse_beside;
use super::place::Place;
use super::port::ServerError;
use super::server::LocalServer;

/// What stands between the data directory's own name and the date.
const MARK: &str = ".diverged-";

impl LocalServer {
    pub(super) async fn check_room_aside(&self, keep: u32) -> Result<(), ServerError> {
        self.refuse_while_it_runs().await?;
        let place = self.place.clone();
        blocking(move || Spot::of(&place)?.check(keep)).await
    }

    pub(super) async fn move_aside(&self, stamp: &str, keep: u32) -> Result<String, ServerError> {
        self.refuse_while_it_runs().await?;
        self.watch.forget();
        let (place, stamp) = (self.place.clone(), stamp.to_owned());
        let target = self.target.clone();
        let rename = move || {
            refuse_beside(&target)?;
            let spot = Spot::of(&place)?;
            let kept = spot.rename(&stamp)?;
            // The place of the new data: a link to the directory still leads somewhere.
            files::make_folder(&spot.data_dir, place.owner)?;
            Ok((spot, kept))
        };
        let (spot, kept) = self.turns.change(rename).await?;
        // None of the server's files any more, and it may take long.
        let forget = move || {
            spot.forget_all_but(&kept, keep);
            Ok(kept.display().to_string())
        };
        blocking(forget).await
    }
}

/// The data directory without links, and the folder it is in.
struct Spot {
    data_dir: PathBuf,
    above: PathBuf,
    name: String,
}

impl Spot {
    fn of(place: &Place) -> Result<Self, ServerError> {
        let data_dir = place.real_data_dir();
        let name = data_dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let above = data_dir.parent().map(Path::to_path_buf);
        match (name, above) {
            (Some(name), Some(above)) => Ok(Self { data_dir, above, name }),
            _ => Err(ServerError::NotPossible(format!(
                "{} has no folder above it: it cannot be kept aside",
                data_dir.display()
            ))),
        }
    }

    fn check(&self, keep: u32) -> Result<(), ServerError> {
        let shown = self.data_dir.display();
        let refuse = |why: String| Err(ServerError::NotPossible(why));
        let device = |path: &Path| at(path, "looking at", fs::metadata(path).map(|one| one.dev()));
        if device(&self.data_dir)? != device(&self.above)? || is_mounted(&self.data_dir) {
            return refuse(format!(
                "{shown} is a mount point, which cannot be renamed, and what is kept inside a data \
                 directory goes into every copy of it; point postgresql.data_dir at a folder inside \
                 the mount, or move its content away yourself, or set pgbaton.diverged_data to remove"
            ));
        }
        let links = fs::read_dir(self.data_dir.join("pg_tblspc")).into_iter().flatten().flatten();
        if links.count() > 0 {
            return refuse(format!(
                "{shown} has tablespaces, which stay where they are when it is renamed; move them and \
                 it away yourself, or set pgbaton.diverged_data to remove"
            ));
        }
        let writable = nix::unistd::AccessFlags::W_OK;
        if let Err(error) = nix::unistd::access(&self.above, writable) {
            return refuse(format!(
                "{} cannot be written ({error}), so {shown} cannot be renamed; let its owner write \
                 there, or set pgbaton.diverged_data to remove",
                self.above.display()
            ));
        }
        let needed = at(&self.data_dir, "measuring", size_of(&self.data_dir))?;
        let freed: u64 =
            self.beyond(keep.saturating_sub(1)).iter().filter_map(|one| size_of(one).ok()).sum();
        let free = at(&self.above, "measuring", free_in(&self.above))?.saturating_add(freed);
        if free < needed {
            return refuse(format!(
                "a copy beside {shown} needs about {} MB and {} MB are free; make room, or set \
                 pgbaton.diverged_data to remove",
                needed >> 20,
                free >> 20
            ));
        }
        Ok(())
    }

    /// Renames the directory, unless that was done before.
    fn rename(&self, stamp: &str) -> Result<PathBuf, ServerError> {
        let kept = self.free_name(stamp);
        if at(&self.data_dir, "listing", files::is_empty(&self.data_dir))? {
            return Ok(self.kept().pop().unwrap_or(kept));
        }
        at(&self.data_dir, "renaming", fs::rename(&self.data_dir, &kept))?;
        files::sync_folder(&self.above)?;
        Ok(kept)
    }

    fn free_name(&self, stamp: &str) -> PathBuf {
        let first = self.above.join(format!("{}{MARK}{stamp}", self.name));
        let others = (2..).map(|n| self.above.join(format!("{}{MARK}{stamp}-{n}", self.name)));
        std::iter::once(first).chain(others).find(|path| !path.exists()).expect("names do not end")
    }

    /// What is kept, oldest first.
    fn kept(&self) -> Vec<PathBuf> {
        let prefix = format!("{}{MARK}", self.name);
        let entries = fs::read_dir(&self.above).into_iter().flatten().flatten();
        let mut kept: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        kept.sort();
        kept
    }

    /// The oldest of what is kept, but for so many.
    fn beyond(&self, keep: u32) -> Vec<PathBuf> {
        oldest_of(self.kept(), keep)
    }

    /// Removes the oldest; one that cannot be removed is said, and is no obstacle. The newest is the newest whatever
    /// the clock said when the others were named.
    fn forget_all_but(&self, newest: &Path, keep: u32) {
        let mut kept = self.kept();
        kept.retain(|one| one != newest);
        kept.push(newest.to_owned());
        for old in oldest_of(kept, keep) {
            tracing::warn!(old = %old.display(), keep, "an old data directory is kept no longer");
            let pg_wal = old.join("pg_wal");
            let linked = fs::symlink_metadata(&pg_wal).is_ok_and(|found| found.is_symlink());
            let emptied = if linked { files::empty(&pg_wal) } else { Ok(()) };
            if let Err(error) = emptied.and_then(|()| fs::remove_dir_all(&old)) {
                tracing::warn!(old = %old.display(), %error, "it could not be removed");
            }
        }
    }
}

/// All but the last so many.
fn oldest_of(mut kept: Vec<PathBuf>, keep: u32) -> Vec<PathBuf> {
    kept.truncate(kept.len().saturating_sub(keep as usize));
    kept
}

/// Whether something is mounted right there, be it of the same file system.
fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == path))
}

fn free_in(folder: &Path) -> std::io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    Ok(found.blocks_available() as u64 * found.fragment_size() as u64)
}

/// What a folder takes on the disk.
fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        total += if found.is_dir() { size_of(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(above: &Path) -> Spot {
        let data_dir = above.join("data");
        fs::create_dir_all(data_dir.join("global")).unwrap();
        fs::write(data_dir.join("global/pg_control"), "old").unwrap();
        Spot { data_dir, above: above.to_owned(), name: "data".to_owned() }
    }

    #[test]
    fn a_directory_is_kept_under_a_dated_name_and_only_so_many_are() {
        let folder = tempfile::tempdir().unwrap();
        for stamp in ["20261101T000000Z", "20261102T000000Z", "20261102T000000Z"] {
            let spot = spot(folder.path());
            spot.check(2).unwrap();
            let kept = spot.rename(stamp).unwrap();
            assert_eq!(fs::read_to_string(kept.join("global/pg_control")).unwrap(), "old");
            assert!(!spot.data_dir.exists());
            assert_eq!(spot.rename(stamp).unwrap(), kept, "done once, it is done");
            spot.forget_all_but(&kept, 2);
        }
        let names: Vec<_> = spot(folder.path())
            .kept()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["data.diverged-20261102T000000Z", "data.diverged-20261102T000000Z-2"]);
        let spot = spot(folder.path());
        let before = spot.rename("20250101T000000Z").unwrap();
        spot.forget_all_but(&before, 1);
        assert_eq!(spot.kept(), [before], "the clock was set back, and it is the newest");
    }

    #[test]
    fn what_cannot_be_renamed_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let spot = spot(folder.path());
        fs::create_dir_all(spot.data_dir.join("pg_tblspc/16400")).unwrap();
        assert!(spot.check(1).unwrap_err().to_string().contains("tablespaces"));
        let proc = Spot { data_dir: "/proc".into(), above: "/".into(), name: "proc".into() };
        assert!(proc.check(1).unwrap_err().to_string().contains("mount point"));
    }
}
