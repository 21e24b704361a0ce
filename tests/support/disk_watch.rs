//! How long the machine's own disk takes meanwhile. A commit waits for it, whatever the agents do: a gap in writes
//! that is no longer than that is the disk's.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks. What is shorter and falls in between is not seen.
const PERIOD: Duration = Duration::from_millis(50);
/// What `PostgreSQL` writes at least.
const PAGE: [u8; 8192] = [0; 8192];

/// Writes and syncs a page on the disk of the temporary directory, over and over. Dropping the value stops it.
pub struct DiskWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(Instant, Duration)>>>,
}

impl DiskWatch {
    pub fn begin() -> DiskWatch {
        let file = tempfile::tempfile().expect("a temporary file");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        DiskWatch { stop, thread: Some(std::thread::spawn(move || look(&file, &told))) }
    }

    /// The longest time that one write took which was not over at that moment.
    pub fn worst_since(mut self, since: Instant) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.thread.take().expect("it runs").join().expect("the disk can be written");
        let later = took.into_iter().filter(|(began, took)| *began + *took > since);
        later.map(|(_, took)| took).max().expect("it has written since then")
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn look(file: &File, stop: &AtomicBool) -> Vec<(Instant, Duration)> {
    let mut looks = Vec::new();
    // Once more after it was told: there is always one to judge by.
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        let began = Instant::now();
        file.write_all_at(&PAGE, 0).expect("a page can be written");
        file.sync_data().expect("it can be synced");
        looks.push((began, began.elapsed()));
        if is_last {
            return looks;
        }
        std::thread::sleep(PERIOD);
    }
}
