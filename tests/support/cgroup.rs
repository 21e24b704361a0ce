//! A cgroup that a node may divide further: what a service manager delegates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::machine::give_away;
use super::wait::wait_until;

/// How long the kernel may take to end what is killed.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// A cgroup of version 2, of the servers' user; gone with the value, and whatever is in it with it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    pub fn delegated() -> Cgroup {
        let own = fs::read_to_string("/proc/self/cgroup").expect("it is always there");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.expect("this process is in no cgroup of version 2");
        let id = format!("pgbaton-test-{:016x}", rand::random::<u64>());
        let folder = mounted().join(own).join(id);
        fs::create_dir(&folder).expect("cgroups can be made: run this test as root");
        give_away(&folder);
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            give_away(&folder.join(file));
        }
        Cgroup(folder)
    }

    /// What a process writes 0 into that is to be in it.
    pub fn door(&self) -> File {
        let door = File::options().write(true).open(self.0.join("cgroup.procs"));
        door.expect("a cgroup of our own")
    }
}

fn mounted() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is always there");
    let of_version_2 = |line: &&str| line.contains(" - cgroup2 ");
    let line = mounts.lines().find(of_version_2).expect("no cgroup of version 2 is mounted");
    PathBuf::from(line.split(' ').nth(4).expect("a mount point"))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        if !std::thread::panicking() {
            wait_until("the cgroup is empty", REMOVED_WITHIN, || is_removed(&self.0));
        }
    }
}

/// Removes it with those below it, once nobody is in them.
fn is_removed(folder: &Path) -> bool {
    for below in fs::read_dir(folder).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            is_removed(&below.path());
        }
    }
    fs::remove_dir(folder).is_ok()
}
