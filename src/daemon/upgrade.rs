//! Another version of the program in the same process: the guardian keeps the server, and the socket that
//! the API listens on stays open, so that nobody is refused meanwhile.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::fence::AGENT_SOCKET;

/// Where the next version finds the listening socket.
const LISTENER: &str = "PGBATON_LISTENER_FD";

/// Where this program is, also after another one was put in its place. To be asked at the start.
pub fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
}

/// The socket that the version before this one has left.
pub fn left_listener() -> Option<TcpListener> {
    let fd: i32 = std::env::var(LISTENER).ok()?.parse().ok()?;
    // SAFETY: whoever set the variable left the socket there for this process alone; a number that is
    // no listening socket is given back untouched.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
    match listener.local_addr() {
        Ok(_) => Some(listener),
        Err(_) => {
            let _ = std::os::fd::IntoRawFd::into_raw_fd(listener);
            None
        }
    }
}

/// Becomes the program that is at this path now. Returns only when that fails.
pub fn become_next(path: &std::path::Path, listener: &TcpListener) -> std::io::Error {
    let fd = listener.as_raw_fd();
    // SAFETY: numbers only.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    let mut command = Command::new(path);
    command.args(std::env::args_os().skip(1)).env(LISTENER, fd.to_string());
    command.env_remove(AGENT_SOCKET);
    command.exec()
}
