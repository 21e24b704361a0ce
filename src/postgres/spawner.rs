//! Starts children from one thread that lives as long as the server's handle: the kernel ends a child
//! with the *thread* that started it, and a runtime's threads come and go.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError, mpsc};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Gid, Pid, Uid, User, getgrouplist, getppid, setgid, setgroups, setuid};

use super::owner::Owner;
use crate::fence::{self, Process};

type Job = Box<dyn FnOnce() + Send>;

/// The thread that starts children.
#[derive(Debug, Clone)]
pub(super) struct Spawner(mpsc::Sender<Job>);

impl Spawner {
    /// # Errors
    /// When there is no thread to be had.
    pub fn new() -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("children".into()).spawn(move || {
            for job in jobs {
                job();
            }
        })?;
        Ok(Self(sender))
    }

    /// Runs `work` on that thread.
    ///
    /// # Errors
    /// When the thread is gone, which only a panic in `work` can bring about.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        let gone = || io::Error::other("the thread that starts children is gone");
        self.0.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

/// The children that somebody here waits for. Whoever else is a child of this process is an orphan.
static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Starts a child that somebody here will wait for, and call [`forget`] then.
pub(super) fn start<T>(
    spawn: impl FnOnce() -> io::Result<T>,
    id: impl FnOnce(&T) -> Option<u32>,
) -> io::Result<T> {
    // Held over the start, so that a child that ends at once is not taken for an orphan.
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    let child = spawn()?;
    children.extend(id(&child));
    Ok(child)
}

/// The child was waited for.
pub(super) fn forget(id: u32) {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
}

/// Reaps the server's orphans, which come to this process when their postmaster ends: children of
/// ours that run this program and that nobody here started.
pub(super) fn reap_orphans(program: &str) {
    let own = std::process::id() as i32;
    let name: Vec<u8> = program.bytes().take(15).collect();
    let is_orphan = |one: &Process| one.parent == own && one.is_zombie() && one.name() == name;
    let found = fence::list().into_iter().filter(is_orphan);
    for orphan in found {
        let children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        if !children.contains(&(orphan.pid as u32)) {
            // Somebody else may have been quicker, which is as well.
            let _ = waitpid(Pid::from_raw(orphan.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// What is cleared from the environment of a child, by prefix.
const NOT_FOR_CHILDREN: [&str; 5] =
    ["PATRONI_", "KUBERNETES_", "PGBATON_", "NOTIFY_SOCKET", "WATCHDOG_"];

fn is_for_children(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !NOT_FOR_CHILDREN.iter().any(|prefix| name.starts_with(prefix))
}

/// The environment of a child, as `NAME=value`.
pub(super) fn environment() -> Vec<Vec<u8>> {
    let ours = std::env::vars_os().filter(|(name, _)| is_for_children(name));
    ours.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect()
}

/// Makes a command one of the server's: with its user and environment, and ended with this process.
pub(super) fn prepare(command: &mut Command, owner: Option<Owner>) {
    use std::os::unix::process::CommandExt;
    for (name, _) in std::env::vars_os() {
        if !is_for_children(&name) {
            command.env_remove(&name);
        }
    }
    let parent = Pid::this();
    let groups = owner.map(groups_of).unwrap_or_default();
    let enter = move || enter_child(parent, owner, &groups);
    // SAFETY: `enter_child` calls only functions that are safe between fork and exec.
    unsafe {
        command.pre_exec(enter);
    }
}

/// All groups of the owner: one of them may be what lets it read the server's TLS key.
pub(super) fn groups_of(owner: Owner) -> Vec<Gid> {
    let gid = Gid::from_raw(owner.gid);
    let name = match User::from_uid(Uid::from_raw(owner.uid)) {
        Ok(Some(user)) => CString::new(user.name).ok(),
        _ => None,
    };
    name.and_then(|name| getgrouplist(&name, gid).ok()).unwrap_or_else(|| vec![gid])
}

/// Between fork and exec: no allocation, no lock.
fn enter_child(parent: Pid, owner: Option<Owner>, groups: &[Gid]) -> io::Result<()> {
    if let Some(owner) = owner {
        setgroups(groups)?;
        setgid(Gid::from_raw(owner.gid))?;
        setuid(Uid::from_raw(owner.uid))?;
    }
    // After the change of user, which clears it; and the parent may be gone by now.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}
