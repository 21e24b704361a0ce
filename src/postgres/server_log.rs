//! What the server says on its standard error: passed on to the agent's log, line by line, and the
//! last lines kept for the message when it does not come up. Runs on a thread of its own, so that a
//! stuck agent does not keep backends from logging before the pipe is full.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines are kept.
const LINES_KEPT: usize = 12;
/// Longer lines are cut: a statement in the log can have any length.
const LINE_BYTES_MAX: u64 = 8192;

/// How often a server has said that it ends for want of space.
#[derive(Debug, Default)]
pub(super) struct Complaints(AtomicU64);

impl Complaints {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// An application that fills a table says so as an error, and the server goes on. In another
    /// language than the operating system's own English this is not found; what is free still is.
    fn take(&self, line: &str) {
        let ends = line.contains("PANIC:") || line.contains("FATAL:");
        if ends && line.contains("No space left on device") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The last lines.
#[derive(Debug, Default)]
pub(super) struct LogTail(Mutex<VecDeque<String>>);

impl LogTail {
    /// The kept lines, as one text.
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Another server begins to talk.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Passes on what comes out of `pipe` until its last writer is gone.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn pass_on(
    pipe: impl Read + Send + 'static,
    complaints: Arc<Complaints>,
) -> std::io::Result<Arc<LogTail>> {
    let tail = Arc::new(LogTail::default());
    pass_on_to(pipe, tail.clone(), complaints)?;
    Ok(tail)
}

/// The same, keeping the last lines there.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn pass_on_to(
    pipe: impl Read + Send + 'static,
    kept: Arc<LogTail>,
    complaints: Arc<Complaints>,
) -> std::io::Result<()> {
    let read = move || {
        let mut reader = BufReader::new(pipe);
        while let Some(line) = next_line(&mut reader) {
            tell(&line);
            complaints.take(&line);
            kept.push(line);
        }
    };
    std::thread::Builder::new().name("server-log".into()).spawn(read).map(drop)
}

fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
    }
}

/// What the applications do wrong is not this agent's warning; that the server ends is.
fn tell(line: &str) {
    if line.contains("FATAL:") || line.contains("PANIC:") {
        tracing::warn!(target: "postgres", "{line}");
    } else {
        tracing::info!(target: "postgres", "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_ends_for_want_of_space_counts() {
        let complaints = Complaints::default();
        for line in [
            "PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device",
            "ERROR:  could not extend file \"base/5/2619\": No space left on device",
            "PANIC:  could not fsync file: Input/output error",
        ] {
            complaints.take(line);
        }
        assert_eq!(complaints.count(), 1);
    }

    #[test]
    fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut said = String::new();
        for number in 0..20 {
            said.push_str(&format!("line {number}\n"));
        }
        said.push_str(&"x".repeat(LINE_BYTES_MAX as usize + 5));
        let mut reader = BufReader::new(std::io::Cursor::new(said));
        let tail = LogTail::default();
        while let Some(line) = next_line(&mut reader) {
            tail.push(line);
        }
        let text = tail.text();
        assert!(text.starts_with("line 10 | line 11"), "{text}");
        assert!(text.ends_with("xxx | xxxxx"), "{text}");
    }
}
