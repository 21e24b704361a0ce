//! What agent and guardian say to each other: one packet a message, on a socket that keeps their bounds,
//! descriptors beside it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::values::{FenceChoice, Strength, Watchdog, WatchdogDriver};

/// Longer messages are not sent: the environment of a server is the longest part.
pub const BYTES_MAX: usize = 192 * 1024;
/// Most descriptors that one message brings.
const FDS_MAX: usize = 5;

/// What a guardian has to know before it can guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What is asked for.
    pub choice: FenceChoice,
    /// Where its socket is to be.
    pub state_dir: PathBuf,
    /// The data directory that is to be guarded.
    pub data_dir: PathBuf,
    /// Files that the server refuses when they seem to belong to a stranger.
    pub key_files: Vec<PathBuf>,
}

/// A server to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, the name first.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Where it works.
    pub folder: PathBuf,
    /// User, group and further groups, where it is another's than the guardian's.
    pub owner: Option<(u32, u32, Vec<u32>)>,
}

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first message. Brings the handle of a running server and the reading end of what it says,
    /// when this guardian takes another's place.
    Hello(Setup),
    /// Start the server.
    Launch(Launch),
    /// Take in a running server that somebody else started.
    Adopt(i32),
    /// Arm this watchdog device, or arm it so; none is asked for any more.
    Watch(Option<Watchdog>),
    /// Still here.
    Pong,
    /// The server is down for good: leave.
    Leave,
}

/// From the guardian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Brings the page, the bell, the reading end of what the server says, and its handle if it runs.
    Welcome {
        /// How the server is guarded.
        strength: Strength,
        /// Why not more strongly, or what else is to be said.
        remarks: String,
    },
    /// The agent is not let in.
    Refused(String),
    /// Brings the server's handle and the reading end of what it says.
    Started,
    /// It could not be started.
    Failed(i32, String),
    /// Whether the running server is guarded from now on.
    Adopted(bool),
    /// Are you there?
    Ping,
    /// Why the watchdog device is not armed; empty when it is.
    Watching(String),
    /// Leaving.
    Gone,
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.number(bytes.len() as u32);
        this.0.extend_from_slice(bytes);
        this
    }

    fn path(self, path: &Path) -> Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    fn list<T>(self, list: &[T], put: impl Fn(Self, &T) -> Self) -> Self {
        let this = self.number(list.len() as u32);
        list.iter().fold(this, put)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(PathBuf::from(std::ffi::OsString::from_vec(self.bytes()?)))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn list<T>(&mut self, get: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.number()?;
        (0..length).map(|_| get(self)).collect()
    }
}

/// A message that can be sent.
pub trait Message: Sized {
    /// Spells it.
    fn spell(&self) -> Vec<u8>;
    /// Reads it; `None` when it is not one.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Message for Request {
    fn spell(&self) -> Vec<u8> {
        let new = |kind: u32| Writer(Vec::new()).number(kind);
        let spelled = match self {
            Request::Hello(setup) => new(1)
                .bytes(setup.choice.as_str().as_bytes())
                .path(&setup.state_dir)
                .path(&setup.data_dir)
                .list(&setup.key_files, |writer, path| writer.path(path)),
            Request::Launch(launch) => {
                let writer = new(2)
                    .path(&launch.program)
                    .list(&launch.arguments, |writer, one| writer.bytes(one))
                    .list(&launch.environment, |writer, one| writer.bytes(one))
                    .path(&launch.folder);
                match &launch.owner {
                    None => writer.number(0),
                    Some((uid, gid, groups)) => writer
                        .number(1)
                        .number(*uid)
                        .number(*gid)
                        .list(groups, |writer, group| writer.number(*group)),
                }
            }
            Request::Adopt(pid) => new(3).number(*pid as u32),
            Request::Pong => new(4),
            Request::Leave => new(5),
            Request::Watch(None) => new(6).number(0),
            Request::Watch(Some(watchdog)) => new(6)
                .number(1)
                .path(&watchdog.device)
                .number(u32::from(watchdog.driver == WatchdogDriver::Testing))
                .number(watchdog.seconds.into())
                .number(u32::from(watchdog.is_required)),
        };
        spelled.0
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.number()? {
            1 => Request::Hello(Setup {
                choice: reader.text()?.parse().ok()?,
                state_dir: reader.path()?,
                data_dir: reader.path()?,
                key_files: reader.list(Reader::path)?,
            }),
            2 => Request::Launch(Launch {
                program: reader.path()?,
                arguments: reader.list(Reader::bytes)?,
                environment: reader.list(Reader::bytes)?,
                folder: reader.path()?,
                owner: match reader.number()? {
                    0 => None,
                    _ => {
                        let (uid, gid) = (reader.number()?, reader.number()?);
                        Some((uid, gid, reader.list(Reader::number)?))
                    }
                },
            }),
            3 => Request::Adopt(reader.number()? as i32),
            4 => Request::Pong,
            5 => Request::Leave,
            6 => Request::Watch(match reader.number()? {
                0 => None,
                _ => Some(Watchdog {
                    device: reader.path()?,
                    driver: match reader.number()? {
                        0 => WatchdogDriver::Linux,
                        _ => WatchdogDriver::Testing,
                    },
                    seconds: reader.number()?.try_into().ok()?,
                    is_required: reader.number()? != 0,
                }),
            }),
            _ => return None,
        })
    }
}

impl Message for Reply {
    fn spell(&self) -> Vec<u8> {
        let new = |kind: u32| Writer(Vec::new()).number(kind);
        let spelled = match self {
            Reply::Welcome { strength, remarks } => {
                let place = Strength::ALL.iter().position(|one| one == strength);
                new(1).number(place.unwrap_or_default() as u32).bytes(remarks.as_bytes())
            }
            Reply::Refused(why) => new(2).bytes(why.as_bytes()),
            Reply::Started => new(3),
            Reply::Failed(error, what) => new(4).number(*error as u32).bytes(what.as_bytes()),
            Reply::Adopted(done) => new(5).number(u32::from(*done)),
            Reply::Ping => new(6),
            Reply::Gone => new(7),
            Reply::Watching(why) => new(8).bytes(why.as_bytes()),
        };
        spelled.0
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.number()? {
            1 => Reply::Welcome {
                strength: *Strength::ALL.get(reader.number()? as usize)?,
                remarks: reader.text()?,
            },
            2 => Reply::Refused(reader.text()?),
            3 => Reply::Started,
            4 => Reply::Failed(reader.number()? as i32, reader.text()?),
            5 => Reply::Adopted(reader.number()? != 0),
            6 => Reply::Ping,
            7 => Reply::Gone,
            8 => Reply::Watching(reader.text()?),
            _ => return None,
        })
    }
}

#[repr(align(8))]
struct Control([u8; 64]);

/// Sends one message with descriptors beside it.
///
/// # Errors
/// When it is too long, or nobody is there.
pub fn send(to: BorrowedFd<'_>, message: &impl Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bytes = message.spell();
    if bytes.len() > BYTES_MAX || fds.len() > FDS_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control([0; 64]);
    // SAFETY: a structure of numbers and pointers, which may all be zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if !fds.is_empty() {
        header.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: there is room for `FDS_MAX` descriptors, and no more are put there.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(fds.len() as u32 * 4) as usize;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(fds.len() as u32 * 4) as usize;
            let place = libc::CMSG_DATA(first).cast::<RawFd>();
            for (index, fd) in fds.iter().enumerate() {
                place.add(index).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    // SAFETY: everything that the header points to lives on.
    let sent = unsafe { libc::sendmsg(to.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message; `Ok(None)` when the other side is gone.
///
/// # Errors
/// When nothing came, or it was not a message.
pub fn receive<M: Message>(
    from: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; 64]);
    // SAFETY: a structure of numbers and pointers, which may all be zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: everything that the header points to lives on.
    let got = unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled in the headers, and each descriptor is ours alone from here on.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        if !first.is_null() && (*first).cmsg_type == libc::SCM_RIGHTS {
            let bytes = (*first).cmsg_len - libc::CMSG_LEN(0) as usize;
            let place = libc::CMSG_DATA(first).cast::<RawFd>();
            for index in 0..bytes / 4 {
                fds.push(OwnedFd::from_raw_fd(place.add(index).read_unaligned()));
            }
        }
    }
    if got == 0 {
        return Ok(None);
    }
    let message = M::read(&buffer[..got as usize]);
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "not a message");
    message.map(|message| Some((message, fds))).ok_or_else(nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<M: Message + PartialEq + std::fmt::Debug>(message: M) {
        assert_eq!(M::read(&message.spell()).as_ref(), Some(&message));
        let spelled = message.spell();
        // A part of a message is none, and must not end the guardian.
        for length in 0..spelled.len() {
            let _ = M::read(&spelled[..length]);
        }
    }

    #[test]
    fn what_is_said_is_understood() {
        same(Request::Hello(Setup {
            choice: FenceChoice::Named(Strength::Cgroup),
            state_dir: "/state".into(),
            data_dir: "/data".into(),
            key_files: vec!["/etc/server.key".into()],
        }));
        same(Request::Launch(Launch {
            program: "/bin/postgres".into(),
            arguments: vec![b"postgres".to_vec(), b"-D".to_vec()],
            environment: vec![b"A=b".to_vec()],
            folder: "/data".into(),
            owner: Some((1, 2, vec![2, 3])),
        }));
        same(Request::Adopt(-1));
        same(Reply::Welcome { strength: Strength::Namespace, remarks: "none".into() });
        same(Reply::Failed(2, "no".into()));
        assert_eq!(Request::read(&[9, 0, 0, 0]), None);
    }
}
