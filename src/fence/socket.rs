//! The sockets between agent and guardian: they keep the bounds of messages, and tell who is at the other
//! end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

fn checked(outcome: i32) -> io::Result<i32> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

/// Two ends.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors, which are ours alone then.
    unsafe {
        checked(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: numbers only; the descriptor is ours alone.
    unsafe { Ok(OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_UNIX, kind, 0))?)) }
}

/// The path as an address. Short enough, because it goes through a descriptor of its folder.
fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: a structure of numbers, which may all be zero.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

/// Listens there; nobody but this user (and root) gets in.
pub fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let (socket, address) = (socket()?, address(path)?);
    let length = std::mem::size_of_val(&address) as libc::socklen_t;
    let fd = socket.as_raw_fd();
    // SAFETY: the address lives on, and is as long as it says.
    unsafe {
        let before = libc::umask(0o177);
        let bound = libc::bind(fd, (&raw const address).cast(), length);
        libc::umask(before);
        checked(bound)?;
        checked(libc::listen(fd, 16))?;
        checked(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK))?;
    }
    Ok(socket)
}

/// The next one who comes.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (fd, none) = (listener.as_raw_fd(), std::ptr::null_mut());
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is not asked for; the descriptor is ours alone.
    unsafe {
        let accepted = libc::accept4(fd, none, std::ptr::null_mut(), flags);
        Ok(OwnedFd::from_raw_fd(checked(accepted)?))
    }
}

/// Connects to who listens there.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let (socket, address) = (socket()?, address(path)?);
    let length = std::mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives on, and is as long as it says.
    checked(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// Process and user at the other end, as they were when it came to be.
pub fn peer_of(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let mut told = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = std::mem::size_of_val(&told) as libc::socklen_t;
    let (fd, option) = (socket.as_raw_fd(), libc::SO_PEERCRED);
    let place = (&raw mut told).cast();
    // SAFETY: room for the answer, as long as it says.
    checked(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, place, &raw mut length) })?;
    Ok((told.pid, told.uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn who_connects_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = listen_at(&path).unwrap();
        let client = connect(&path).unwrap();
        let server = accept(listener.as_fd()).unwrap();
        let own = std::process::id() as i32;
        assert_eq!(peer_of(server.as_fd()).unwrap().0, own);
        assert_eq!(peer_of(client.as_fd()).unwrap().0, own);
        drop(listener);
        assert!(connect(&path).is_err());
    }
}
