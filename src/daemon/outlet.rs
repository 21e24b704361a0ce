//! Where log lines go: to a thread that writes them. A log file may lie on the very disk that does not
//! answer, and neither the lease nor a handover may wait for a line in it. What does not fit in the
//! queue is dropped, and how much that was is said when the disk answers again.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// So many lines wait at the most: some megabytes.
const LINES_MAX: usize = 8192;
/// How long an agent that ends waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

static OUTLET: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Starts the thread; a second start changes nothing.
///
/// # Errors
/// When there is no thread to be had.
pub fn start() -> io::Result<()> {
    let (sender, messages) = sync_channel(LINES_MAX);
    if OUTLET.set(sender).is_ok() {
        let write = move || write_all(&messages, &mut io::stderr());
        std::thread::Builder::new().name("log".into()).spawn(write)?;
    }
    Ok(())
}

/// One event's way to the thread.
#[derive(Clone, Copy, Debug)]
pub struct Outlet;

impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(outlet) = OUTLET.get()
            && let Err(TrySendError::Full(_)) = outlet.try_send(Message::Line(line.to_vec()))
        {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits, within a bound, until what was said is written.
pub fn flush() {
    let (done, written) = sync_channel(1);
    if let Some(outlet) = OUTLET.get()
        && outlet.try_send(Message::Flush(done)).is_ok()
    {
        // A disk that does not answer must not keep the agent from ending.
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// Flushes when it is dropped, however that comes about.
#[derive(Debug)]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        flush();
    }
}

fn write_all(messages: &Receiver<Message>, to: &mut impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                // Nobody is left to be told that the log cannot be written.
                let _ = to.write_all(&line);
                let dropped = DROPPED.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    let _ = writeln!(to, "{dropped} lines were dropped: the log was too slow");
                }
            }
            Message::Flush(done) => {
                let _ = to.flush();
                // Whoever asked may have given up.
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_order_and_a_flush_is_answered_after_them() {
        let (sender, messages) = sync_channel(8);
        let (done, written) = sync_channel(1);
        for text in ["one\n", "two\n"] {
            sender.send(Message::Line(text.into())).unwrap();
        }
        sender.send(Message::Flush(done)).unwrap();
        drop(sender);
        let mut log = Vec::new();
        write_all(&messages, &mut log);
        written.try_recv().unwrap();
        assert_eq!(log, b"one\ntwo\n");
    }
}
