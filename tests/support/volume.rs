//! A small file system of its own, on a loop device: it can be frozen, so that every write to it blocks, and
//! filled. Needs root.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine::give_away;
use super::sql;
use super::wait::wait_until;

/// A mounted volume. Dropping the value unmounts it; whoever uses it has to be gone by then.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    mounted: PathBuf,
}

impl Volume {
    /// Mounts a new one of this size on an empty folder, which then belongs to the servers' user.
    pub fn mount(folder: &Path, megabytes: u64) -> Volume {
        let name = format!("pgbaton-volume-{}-{}", std::process::id(), rand::random::<u32>());
        let image = std::env::temp_dir().join(name);
        let file = File::create(&image).expect("a file for the volume");
        file.set_len(megabytes << 20).expect("a sparse file");
        // Nothing is kept for root: the servers' user can fill it.
        run("mkfs.ext4", &["-q", "-m", "0", &text(&image)]);
        run("mount", &["-o", "loop", &text(&image), &text(folder)]);
        give_away(folder);
        Volume { image, mounted: folder.to_owned() }
    }

    /// Freezes it until the answer is dropped.
    pub fn freeze(&self) -> Frozen {
        run("fsfreeze", &["--freeze", &text(&self.mounted)]);
        Frozen(self.mounted.clone())
    }

    /// Takes all the space that is left.
    pub fn fill(&self) -> PathBuf {
        let filler = self.mounted.join("filler");
        let mut file = File::create(&filler).expect("a file on the volume");
        let chunk = vec![0x66; 1 << 20];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        // What is left of the last chunk's size is taken by halves.
        for size in (0..20).rev().map(|power| 1_usize << power) {
            while std::io::Write::write_all(&mut file, &chunk[..size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for _ in 0..50 {
            if Command::new("umount")
                .arg(&self.mounted)
                .output()
                .is_ok_and(|it| it.status.success())
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = fs::remove_dir_all(&self.mounted);
        let _ = fs::remove_file(&self.image);
    }
}

/// Uses up what a server on a full volume has left, as old segments of its log are used again while there are
/// any; says when it ended.
#[track_caller]
pub fn write_until_the_server_ends(server: SocketAddr) -> Instant {
    let mut since = Instant::now();
    wait_until("the server ends for want of space", Duration::from_secs(60), || {
        since = Instant::now();
        sql::query(server, "SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 't', '')")
            .is_err_and(|why| !why.contains("read-only"))
    });
    since
}

/// A frozen volume. Dropping the value thaws it.
#[derive(Debug)]
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.0).output();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: is it installed?"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed (needs root): {said}");
}
