//! A watchdog device that says in words what it is told, and no machine is restarted by.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub struct Device {
    pub path: PathBuf,
    reader: File,
    said: String,
}

impl Device {
    /// A pipe, which is read as soon as it is there: nobody could open it to write before.
    pub fn new(folder: &Path) -> Device {
        let path = folder.join("watchdog");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut options = File::options();
        let reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        Device { path, reader, said: String::new() }
    }

    /// All it was told so far.
    pub fn said(&mut self) -> &str {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.reader.read(&mut buffer) {
            self.said.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        &self.said
    }

    /// How many signs of life it was shown.
    pub fn signs(&mut self) -> usize {
        self.said().matches("alive").count()
    }

    pub fn is_disarmed(&mut self) -> bool {
        self.said().ends_with('V')
    }
}
