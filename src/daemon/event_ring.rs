//! The events on disk: two files of bounded size, written by a thread of its own, so that a disk that
//! does not answer holds up nobody. What is torn or no event is left out when they are read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tracing::{error, warn};

use crate::publish::{Event, EventSink, Events};

const NAME: &str = "events.jsonl";
const NAME_BEFORE: &str = "events.1.jsonl";
/// A line that would go beyond this begins a new file.
const FILE_BYTES: u64 = 512 * 1024;
/// How many events may wait for the disk.
const QUEUE: usize = 256;
/// When nothing more comes for so long, what was written is synced.
const SYNC_AFTER: Duration = Duration::from_millis(200);
/// How long the end of the agent waits for the disk.
const FINISH_WITHIN: Duration = Duration::from_millis(500);
/// For its owner alone: the texts of errors may name what others need not know.
const MODE: u32 = 0o600;

/// Reads what earlier starts left, and keeps what happens from now on. Where that cannot be done, says so
/// and keeps it in memory.
pub fn open(directory: &Path) -> (Events, EventRing) {
    let found = read_all(directory);
    let ring = RingFile::open(directory, FILE_BYTES).and_then(start);
    match ring {
        Ok(ring) => (Events::kept_in(found, Box::new(ring.clone())), ring),
        Err(error) => {
            let path = directory.join(NAME);
            error!(path = %path.display(), %error, "events are kept in memory only");
            (Events::kept_in(found, Box::new(Nowhere)), EventRing::none())
        }
    }
}

/// Where nothing can be written.
struct Nowhere;

impl EventSink for Nowhere {
    fn keep(&self, _: &Arc<Event>) -> bool {
        false
    }

    fn lost(&self) -> u64 {
        0
    }
}

enum Order {
    Write(Arc<Event>),
    Finish(SyncSender<()>),
}

/// The way to the thread that writes. Cheap to clone.
#[derive(Clone)]
pub struct EventRing {
    orders: Option<SyncSender<Order>>,
    lost: Arc<AtomicU64>,
}

impl EventRing {
    fn none() -> Self {
        Self { orders: None, lost: Arc::default() }
    }

    /// Waits for what is queued, for a moment: the process ends.
    pub fn finish(&self) {
        let (done, finished) = sync_channel(1);
        let told = self.orders.as_ref().map(|orders| orders.try_send(Order::Finish(done)));
        if matches!(told, Some(Ok(()))) {
            // A disk that does not answer keeps nobody from leaving.
            let _ = finished.recv_timeout(FINISH_WITHIN);
        }
    }
}

impl EventSink for EventRing {
    fn keep(&self, event: &Arc<Event>) -> bool {
        let order = Order::Write(Arc::clone(event));
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Where lines go.
trait Lines: Send + 'static {
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

fn start(lines: impl Lines) -> io::Result<EventRing> {
    let (orders, taken) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let of_thread = Arc::clone(&lost);
    std::thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || write_what_comes(lines, &taken, &of_thread))?;
    Ok(EventRing { orders: Some(orders), lost })
}

fn write_what_comes(mut lines: impl Lines, orders: &Receiver<Order>, lost: &AtomicU64) {
    let (mut unsynced, mut fails) = (false, false);
    loop {
        let order = match unsynced {
            true => orders.recv_timeout(SYNC_AFTER),
            false => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let result = match order {
            Ok(Order::Write(event)) => {
                let mut line = serde_json::to_vec(&*event).unwrap_or_default();
                line.push(b'\n');
                let written = lines.append(&line);
                unsynced |= written.is_ok();
                lost.fetch_add(u64::from(written.is_err()), Ordering::Relaxed);
                written
            }
            Ok(Order::Finish(done)) => {
                let synced = lines.sync();
                let _ = done.try_send(());
                synced
            }
            Err(RecvTimeoutError::Timeout) => {
                unsynced = false;
                lines.sync()
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Err(error) = &result
            && !fails
        {
            warn!(%error, "events cannot be written");
        }
        fails = result.is_err();
    }
}

/// The file that is written, and the one before it.
struct RingFile {
    directory: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    /// Whether the last line is not whole.
    is_torn: bool,
}

impl RingFile {
    fn open(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut file = open_file(&directory.join(NAME))?;
        let bytes = file.metadata()?.len();
        let mut last = [b'\n'];
        if bytes > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let is_torn = last[0] != b'\n';
        Ok(Self { directory: directory.to_owned(), file, bytes, bytes_max, is_torn })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let path = self.directory.join(NAME);
        std::fs::rename(&path, self.directory.join(NAME_BEFORE))?;
        self.file = open_file(&path)?;
        (self.bytes, self.is_torn) = (0, false);
        Ok(())
    }
}

impl Lines for RingFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.turn_over()?;
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            (self.is_torn, self.bytes) = (false, self.bytes + 1);
        }
        let written = self.file.write_all(line);
        self.is_torn = written.is_err();
        self.bytes = self.file.metadata().map_or(self.bytes, |found| found.len());
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Never waits for a reader of something that is no file.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(MODE);
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file: remove it"));
    }
    if found.permissions().mode() & 0o777 != MODE {
        file.set_permissions(PermissionsExt::from_mode(MODE))?;
    }
    Ok(file)
}

/// What both files hold, oldest first.
fn read_all(directory: &Path) -> Vec<Event> {
    let both = [NAME_BEFORE, NAME].map(|name| directory.join(name));
    let mut events: Vec<Event> = both.iter().flat_map(|path| read(path)).collect();
    events.sort_by_key(|event| event.seq);
    events
}

fn read(path: &Path) -> Vec<Event> {
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            warn!(path = %path.display(), %error, "earlier events cannot be read");
            return Vec::new();
        }
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut events, mut ignored) = (Vec::new(), 0_u64);
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(event) => events.push(event),
            Err(_) => ignored += 1,
        }
    }
    if ignored > 0 {
        warn!(path = %path.display(), ignored, "lines that are torn or no events are left out");
    }
    events
}

/// Its end, where somebody has made it larger than it should be.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(found.len().saturating_sub(2 * FILE_BYTES)))?;
    file.take(2 * FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
#[path = "event_ring_tests.rs"]
mod tests;
