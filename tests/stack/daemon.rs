//! The Docker daemon and the one image that everything else is built from. Where no daemon answers, root
//! starts one for the time of the test; where that fails, the test fails.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::compose::{docker, try_docker};
use super::support::wait::wait_until;

/// What the Dockerfiles name by default.
pub const BASE_IMAGE: &str = "debian:bookworm-slim";
const START_BOUND: Duration = Duration::from_secs(60);

/// A daemon that was started here, or nothing where one ran already.
pub struct Daemon(Option<Child>);

impl Daemon {
    /// Until one answers.
    pub fn ready() -> Daemon {
        if try_docker(&["version"]).is_ok() {
            return Daemon(None);
        }
        assert!(geteuid().is_root(), "no Docker daemon answers, and only root can start one");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stack");
        fs::create_dir_all(&folder).expect("a folder below target");
        let log_path = folder.join("dockerd.log");
        let log = File::create(&log_path).expect("a log file");
        let mut command = Command::new("dockerd");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("dockerd can be started (Debian: docker.io)");
        let daemon = Daemon(Some(child));
        let what = format!("the daemon answers; its log: {}", log_path.display());
        wait_until(&what, START_BOUND, || try_docker(&["version"]).is_ok());
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It ends its containers, of which there are none any more.
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// Makes the base image where there is none: out of Debian's packages, as no registry may be in reach.
pub fn base_image() {
    if try_docker(&["image", "inspect", BASE_IMAGE]).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let archive = folder.path().join("base.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "bookworm"]).arg(&archive);
    let output = command.output().expect("mmdebstrap is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no base image could be made: {said}");
    docker(&["import", &archive.to_string_lossy(), BASE_IMAGE]);
}
