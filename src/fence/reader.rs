//! Reading what a server says from a pipe whose other users must not wait.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use super::sys;

/// Waits for what there is to read; ends when the last writer is gone.
#[derive(Debug)]
pub struct LogReader(pub OwnedFd);

impl Read for LogReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match sys::read(self.0.as_fd(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sys::is_ready(self.0.as_fd(), -1);
                }
                other => return other,
            }
        }
    }
}
