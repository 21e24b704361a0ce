//! A cgroup (version 2) for one server: frozen in under a millisecond, and killed as one.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::super::sys;

/// The server's own cgroup. What a kill needs is open already.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    freeze: OwnedFd,
    kill: OwnedFd,
    events: OwnedFd,
    members: OwnedFd,
}

impl Cgroup {
    /// Makes the cgroup, or opens it where it is there already, below the one this process is in.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn open(name: &str) -> Result<Self, String> {
        let own = own_folder()?;
        let folder = own.join(name);
        if let Err(error) = fs::create_dir(&folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(format!("{} is not delegated to this user: {error}", own.display()));
        }
        let open = |file: &str, writes: bool| {
            let path = folder.join(file);
            let opened = fs::File::options().read(!writes).write(writes).open(&path);
            let opened = opened.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(OwnedFd::from(opened))
        };
        Ok(Self {
            freeze: open("cgroup.freeze", true)?,
            // Since Linux 5.14.
            kill: open("cgroup.kill", true)?,
            events: open("cgroup.events", false)?,
            members: open("cgroup.procs", true)?,
            folder,
        })
    }

    /// Where a process writes a zero in order to join.
    pub fn door(&self) -> BorrowedFd<'_> {
        self.members.as_fd()
    }

    /// Moves a process in.
    ///
    /// # Errors
    /// When it is gone or may not be moved.
    pub fn take_in(&self, pid: i32) -> io::Result<()> {
        sys::write(self.members.as_fd(), pid.to_string().as_bytes()).map(drop)
    }

    /// Nothing in it runs any more; then all of it is killed.
    pub fn kill(&self) {
        let _ = sys::write(self.freeze.as_fd(), b"1");
        let _ = sys::write(self.kill.as_fd(), b"1");
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        use std::os::fd::AsRawFd;
        let mut told = [0_u8; 128];
        // SAFETY: the buffer is as long as it says.
        let got = unsafe {
            let fd = self.events.as_raw_fd();
            libc::pread(fd, told.as_mut_ptr().cast(), told.len(), 0)
        };
        let told = told.get(..usize::try_from(got).unwrap_or(0)).unwrap_or_default();
        told.windows(11).any(|words| words == b"populated 0")
    }

    /// Lets whoever joins run.
    pub fn thaw(&self) {
        let _ = sys::write(self.freeze.as_fd(), b"0");
    }

    /// Everybody who is in it.
    pub fn members(&self) -> Vec<i32> {
        let told = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        told.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes it; one that is not empty stays.
    pub fn remove(&self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where this process is in the tree of version 2, which hybrid hosts have somewhere else than others.
fn own_folder() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mounts = read("/proc/self/mountinfo")?;
    let (root, mount) = mounted(&mounts).ok_or("no cgroup of version 2 is mounted")?;
    let own = read("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or("this process is in no cgroup of version 2")?;
    let below = Path::new(own).strip_prefix(root).unwrap_or(Path::new(own));
    let below = below.strip_prefix("/").unwrap_or(below);
    Ok(Path::new(mount).join(below))
}

/// The root that is mounted, and where.
fn mounted(mounts: &str) -> Option<(&str, &str)> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (root, mount) = (fields.nth(3)?, fields.next()?);
        after.starts_with("cgroup2 ").then_some((root, mount))
    })
}

/// Tries whether a process can be moved in, and is killed there.
///
/// # Errors
/// Says what did not work.
pub fn try_out(cgroup: &Cgroup) -> Result<(), String> {
    if !cgroup.is_empty() {
        // A server is in it: that it works has been shown.
        return Ok(());
    }
    cgroup.thaw();
    let door = cgroup.door().try_clone_to_owned().map_err(|error| error.to_string())?;
    // SAFETY: the guardian has one thread.
    let child = unsafe { sys::clone(0) }.map_err(|error| error.to_string())?;
    if child == 0 {
        let joined = fs::File::from(door).write_all(b"0").is_ok();
        loop {
            if !joined {
                // SAFETY: ends this child and nothing else.
                unsafe { libc::_exit(1) };
            }
            let _ = sys::poll(&mut [], -1);
        }
    }
    let handle = sys::pidfd(child).map_err(|error| error.to_string())?;
    for _ in 0..200 {
        if !cgroup.is_empty() {
            cgroup.kill();
        }
        if sys::is_ready(handle.as_fd(), 1) {
            break;
        }
    }
    let _ = sys::signal(handle.as_fd(), libc::SIGKILL);
    let mut status = 0;
    // SAFETY: our own child, and room for its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    cgroup.thaw();
    if libc::WIFSIGNALED(status) {
        Ok(())
    } else {
        Err("a process cannot be moved into the server's cgroup".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_two_is_found_where_it_is_mounted() {
        let hybrid = "\
31 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 23 0:27 /docker/x /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
";
        assert_eq!(mounted(hybrid), Some(("/docker/x", "/sys/fs/cgroup/unified")));
        assert_eq!(mounted("31 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"), None);
    }
}
