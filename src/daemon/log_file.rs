//! A log file that is turned over when it has grown to its size: `patroni.log`, then `patroni.log.1` and
//! so on, the names that Patroni gives them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The name that log shippers of a Patroni cluster look for.
const NAME: &str = "patroni.log";

/// One log file and the older ones beside it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    limits: Limits,
}

/// When a file is turned over, how many older ones are kept, and who may read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A line that would go beyond this starts a new file; 0 never does.
    pub size_bytes: u64,
    /// How many older files are kept; with 0 the one file grows without a bound.
    pub kept: u32,
    /// Permissions of the files; those of the umask when absent.
    pub mode: Option<u32>,
}

impl LogFile {
    /// Opens the file in an existing directory, to go on where it ends.
    ///
    /// # Errors
    /// When the directory is not there or the file cannot be written.
    pub fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        let path = dir.join(NAME);
        let file = open(&path, limits.mode)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self { path, file, size_bytes, limits })
    }

    fn is_full(&self, more: usize) -> bool {
        let Limits { size_bytes, kept, .. } = self.limits;
        let rotates = size_bytes > 0 && kept > 0;
        rotates && self.size_bytes > 0 && self.size_bytes + more as u64 > size_bytes
    }

    fn turn_over(&mut self) -> io::Result<()> {
        for number in (1..self.limits.kept).rev() {
            let older = self.numbered(number);
            if older.exists() {
                std::fs::rename(&older, self.numbered(number + 1))?;
            }
        }
        std::fs::rename(&self.path, self.numbered(1))?;
        self.file = open(&self.path, self.limits.mode)?;
        self.size_bytes = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.path.with_file_name(format!("{NAME}.{number}"))
    }
}

fn open(path: &Path, mode: Option<u32>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    if let Some(mode) = mode {
        options.mode(mode);
    }
    let file = options.open(path)?;
    if let Some(mode) = mode {
        // The umask has its say when a file is made, and one that was there has its own mode.
        file.set_permissions(PermissionsExt::from_mode(mode))?;
    }
    Ok(file)
}

impl Write for LogFile {
    /// Takes one line, whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_full(line.len()) {
            self.turn_over()?;
        }
        self.file.write_all(line)?;
        self.size_bytes += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(size_bytes: u64, kept: u32) -> Limits {
        Limits { size_bytes, kept, mode: Some(0o640) }
    }

    fn read(dir: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(dir.join(name)).ok()
    }

    #[test]
    fn a_full_file_is_turned_over_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), limits(10, 2)).unwrap();
        for line in ["one 6\n", "two 6\n", "three\n", "four\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read(dir.path(), "patroni.log").as_deref(), Some("four\n"));
        assert_eq!(read(dir.path(), "patroni.log.1").as_deref(), Some("three\n"));
        assert_eq!(read(dir.path(), "patroni.log.2").as_deref(), Some("two 6\n"));
        assert_eq!(read(dir.path(), "patroni.log.3"), None);
        let mode = std::fs::metadata(dir.path().join("patroni.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn a_file_that_was_there_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("patroni.log"), "before\n").unwrap();
        let mut log = LogFile::open(dir.path(), limits(10, 1)).unwrap();
        log.write_all(b"and now\n").unwrap();
        assert_eq!(read(dir.path(), "patroni.log.1").as_deref(), Some("before\n"));
        assert_eq!(read(dir.path(), "patroni.log").as_deref(), Some("and now\n"));
    }

    #[test]
    fn without_older_files_nothing_is_turned_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), limits(10, 0)).unwrap();
        log.write_all(b"0123456789\n").unwrap();
        log.write_all(b"more\n").unwrap();
        assert_eq!(read(dir.path(), "patroni.log").as_deref(), Some("0123456789\nmore\n"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LogFile::open(&dir.path().join("none"), limits(10, 1)).is_err());
    }
}
