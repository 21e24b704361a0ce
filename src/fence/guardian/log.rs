//! What the server says on its standard error, on its way to the agent. The server is never kept waiting:
//! while no agent reads, the latest is kept and the oldest dropped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::sys;

/// What is kept while nobody reads, beside what the pipe holds.
const BYTES_KEPT: usize = 256 * 1024;
/// What a pipe holds, where the kernel allows that much.
const PIPE_BYTES: i32 = 256 * 1024;

/// Between the server's pipe and the agent's.
pub struct LogPump {
    reader: OwnedFd,
    writer: OwnedFd,
    kept: Box<[u8]>,
    from: usize,
    length: usize,
    dropped: u64,
}

impl LogPump {
    /// # Errors
    /// When there is no pipe to be had.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = sys::pipe(false)?;
        sys::widen_pipe(writer.as_fd(), PIPE_BYTES);
        let kept = vec![0; BYTES_KEPT].into_boxed_slice();
        Ok(Self { reader, writer, kept, from: 0, length: 0, dropped: 0 })
    }

    /// Where the agent reads. The same for every agent: what one left unread is the next one's.
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Where it is written, to be polled while something is kept.
    pub fn waiting_for(&self) -> Option<BorrowedFd<'_>> {
        (self.length > 0).then(|| self.writer.as_fd())
    }

    /// Takes what the server has said; `false` when it will say nothing more.
    pub fn take_from(&mut self, server: BorrowedFd<'_>) -> bool {
        let mut buffer = [0_u8; 16 * 1024];
        // A server that never stops talking must not keep the guardian from its other work.
        for _ in 0..64 {
            match sys::read(server, &mut buffer) {
                Ok(0) => return false,
                Ok(got) => self.push(&buffer[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.pass_on();
        if self.length == 0
            && let Ok(put) = sys::write(self.writer.as_fd(), bytes)
        {
            bytes = &bytes[put..];
        }
        let too_many = (self.length + bytes.len()).saturating_sub(BYTES_KEPT);
        self.from = (self.from + too_many) % BYTES_KEPT;
        self.length -= too_many;
        self.dropped += too_many as u64;
        for byte in bytes {
            self.kept[(self.from + self.length) % BYTES_KEPT] = *byte;
            self.length += 1;
        }
    }

    /// Hands over what fits.
    pub fn pass_on(&mut self) {
        while self.length > 0 {
            if self.dropped > 0 {
                let told = format!(
                    "\npgbaton: {} bytes of what the server said were dropped while no agent read \
                     them\n",
                    self.dropped
                );
                // A pipe takes a short text whole or not at all.
                if sys::write(self.writer.as_fd(), told.as_bytes()).is_err() {
                    return;
                }
                self.dropped = 0;
            }
            let end = (self.from + self.length).min(BYTES_KEPT);
            match sys::write(self.writer.as_fd(), &self.kept[self.from..end]) {
                Ok(put) => {
                    self.from = (self.from + put) % BYTES_KEPT;
                    self.length -= put;
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(pump: &mut LogPump) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match sys::read(pump.reader(), &mut buffer) {
                Ok(got) => all.extend_from_slice(&buffer[..got]),
                Err(_) if pump.length == 0 => return all,
                Err(_) => pump.pass_on(),
            }
        }
    }

    #[test]
    fn everything_arrives_in_order_and_what_nobody_reads_is_dropped_from_the_front() {
        let mut pump = LogPump::new().unwrap();
        let mut said = Vec::new();
        for number in 0..10_000 {
            let line = format!("line {number}\n");
            pump.push(line.as_bytes());
            said.extend_from_slice(line.as_bytes());
        }
        assert_eq!(read_all(&mut pump), said);
        for number in 0..100_000 {
            pump.push(format!("line {number}\n").as_bytes());
        }
        let text = String::from_utf8(read_all(&mut pump)).unwrap();
        assert!(text.contains(" bytes of what the server said were dropped"), "{}", text.len());
        assert!(text.starts_with("line 0\n") && text.ends_with("line 99999\n"));
    }
}
