//! The disk probe: a process of its own that writes and syncs a small file on the log's volume each
//! time it is told to over a pipe. One that is blocked cannot be killed, so it is left alone and told
//! nothing more; it ends with its agent, or with what blocks it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::statvfs::fstatvfs;
use tokio::sync::oneshot;

use super::owner::Owner;
use super::probing::Probed;
use super::spawner;
use crate::cluster::Trouble;

/// A block of most file systems: it has to be found free, and written.
const WRITTEN: [u8; 4096] = [0x70; 4096];
/// How long to wait before a probe that ended is started again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The hidden subcommand that is the process.
pub const SUBCOMMAND: &str = "probe-disk";

/// The agent's end: a thread that owns the process and may be blocked on its answer.
#[derive(Debug)]
pub(super) struct DiskProbe(mpsc::Sender<oneshot::Sender<Probed<u64>>>);

impl DiskProbe {
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(folder: PathBuf, owner: Option<Owner>) -> io::Result<Self> {
        let (sender, questions) = mpsc::channel::<oneshot::Sender<Probed<u64>>>();
        // The kernel ends a child with the thread that started it: this one lasts as long as the probe.
        std::thread::Builder::new().name("disk-probe".into()).spawn(move || {
            let mut running: Option<Running> = None;
            for question in questions {
                let answer = ask(&mut running, &folder, owner);
                let failed = running.is_none();
                // Whoever asked may be gone.
                let _ = question.send(answer);
                if failed {
                    std::thread::sleep(START_AGAIN_AFTER);
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Asks, and waits for the answer as long as it takes.
    pub async fn ask(&self) -> Probed<u64> {
        let (answer, reply) = oneshot::channel();
        if self.0.send(answer).is_err() {
            return Probed::Absent;
        }
        reply.await.unwrap_or(Probed::Absent)
    }
}

struct Running {
    child: Child,
    told: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        spawner::forget(self.child.id());
        // It has ended, or ends when its pipe is closed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: &Path, owner: Option<Owner>) -> io::Result<Running> {
    // By this name it is found even where the file has been replaced by an upgrade.
    let mut command = Command::new("/proc/self/exe");
    spawner::prepare(&mut command, owner);
    command.arg(SUBCOMMAND).arg(folder).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = spawner::start(|| command.spawn(), |child| Some(child.id()))?;
    let told = child.stdin.take().expect("it was piped");
    let said = BufReader::new(child.stdout.take().expect("it was piped"));
    Ok(Running { child, told, said })
}

fn ask(running: &mut Option<Running>, folder: &Path, owner: Option<Owner>) -> Probed<u64> {
    let answer = try_to_ask(running, folder, owner);
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "the disk probe ended");
        *running = None;
        Probed::Absent
    })
}

fn try_to_ask(
    running: &mut Option<Running>,
    folder: &Path,
    owner: Option<Owner>,
) -> io::Result<Probed<u64>> {
    let probe = match running {
        Some(probe) => probe,
        None => running.insert(start(folder, owner)?),
    };
    probe.told.write_all(b"\n")?;
    probe.told.flush()?;
    let mut line = String::new();
    if probe.said.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(understand(line.trim_end()))
}

fn understand(line: &str) -> Probed<u64> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("free", bytes) => bytes.parse().map_or(Probed::Absent, Probed::Good),
        ("full", _) => Probed::Trouble(Trouble::NoSpace),
        ("broken", text) => Probed::Trouble(Trouble::Broken(text.to_owned())),
        _ => Probed::Absent,
    }
}

/// What the process does: one answer for each line that it is told, until nobody tells it anything.
pub fn probe_disk(folder: &Path) -> ExitCode {
    let mut answers = io::stdout();
    for _ in io::stdin().lines().map_while(Result::ok) {
        let line = answer_line(write_once(folder));
        if writeln!(answers, "{line}").and_then(|()| answers.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

fn answer_line(written: io::Result<u64>) -> String {
    match written {
        Ok(free) => format!("free {free}"),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => "full".to_owned(),
            Some(libc::EIO | libc::EROFS | libc::ESHUTDOWN | libc::ENXIO) => {
                format!("broken {error}")
            }
            // There is no such folder yet, or it is not ours: that says nothing of the disk.
            _ => format!("nothing {error}"),
        },
    }
}

/// A file without a name: no backup, no copy and no removal of the folder ever meets it.
fn write_once(folder: &Path) -> io::Result<u64> {
    let mut file = nameless(folder)?;
    file.write_all(&WRITTEN)?;
    file.sync_data()?;
    let of = fstatvfs(&file)?;
    Ok(of.blocks_available().saturating_mul(of.fragment_size()))
}

fn nameless(folder: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).mode(0o600);
    let made = options.clone().custom_flags(libc::O_TMPFILE).open(folder);
    match made {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let path = folder.join(".pgbaton-probe");
            let file = options.create(true).truncate(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_leaves_nothing_behind_and_tells_what_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let line = answer_line(write_once(folder.path()));
        let Probed::Good(free) = understand(&line) else { panic!("{line}") };
        assert!(free > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_a_broken_one_and_a_missing_folder_are_three_things() {
        let failed = |code| understand(&answer_line(Err(io::Error::from_raw_os_error(code))));
        assert_eq!(failed(libc::ENOSPC), Probed::Trouble(Trouble::NoSpace));
        assert!(matches!(failed(libc::EIO), Probed::Trouble(Trouble::Broken(_))));
        assert_eq!(failed(libc::ENOENT), Probed::Absent);
        assert_eq!(failed(libc::EACCES), Probed::Absent);
    }
}
