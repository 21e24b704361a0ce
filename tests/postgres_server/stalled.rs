//! A disk that answers late: what was given up does not land in what comes after it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pgbaton::postgres::{Server, ServerError, StartAs, State};

use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer};

/// Longer than a start takes to get to its first file.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(2);

/// The first file that a start reads, as one whose reader waits for a writer.
struct SlowFile(PathBuf);

impl SlowFile {
    fn of(server: &TestServer) -> SlowFile {
        let path = server.node.postgresql.pgpass.clone();
        let _ = fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        SlowFile(path)
    }

    /// Until somebody reads it, who then waits for what is returned to be dropped; nobody else will.
    async fn is_read(&self) -> File {
        let began = Instant::now();
        loop {
            // A pipe cannot be opened so without a reader.
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(libc::O_NONBLOCK);
            if let Ok(writer) = options.open(&self.0) {
                fs::remove_file(&self.0).unwrap();
                return writer;
            }
            assert!(began.elapsed() < BOUND, "nobody reads it");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_the_disk_work_of_one_that_was_given_up() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    a.bootstrap().await;
    a.stop().await;
    let slow = SlowFile::of(&a);
    let first_waits = tokio::select! {
        started = a.server.start(&StartAs::Primary, BOUND) => panic!("{started:?}"),
        reader_waits = slow.is_read() => reader_waits,
    };
    // The disk answers this one, and it is not to begin before the first one, now given up, has ended.
    let second = a.server.start(&StartAs::Standby(None), GIVEN_UP_AFTER).await;
    assert!(matches!(second, Err(ServerError::TimedOut { .. })), "{second:?}");
    assert!(a.processes().is_empty(), "nothing was started");
    drop(first_waits);
    a.server.start(&StartAs::Standby(None), BOUND).await.unwrap();
    assert!(matches!(a.look().await.state, State::Standby(_)), "{:?}", a.look().await.state);
    assert!(a.node.postgresql.data_dir.join("standby.signal").exists());
}
