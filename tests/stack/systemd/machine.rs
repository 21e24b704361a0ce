//! A container whose first process is systemd, with pgbaton installed as docs/DEPLOY.md tells. It holds no more than
//! systemd needs: SYS_ADMIN, and none of Docker's own filters, which an ordinary machine has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::compose::{docker, try_docker};
use super::super::daemon::BASE_IMAGE;
use super::super::support::wait::wait_until;

const IMAGE: &str = "pgbaton-test/systemd";
const BOUND: Duration = Duration::from_secs(60);
const GUIDE: &str = include_str!("../../../docs/DEPLOY.md");
/// What the container may do, and the name of its cgroup's environment variable.
const RIGHTS: [&str; 10] = [
    "--cap-add",
    "SYS_ADMIN",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
    "--security-opt",
    "systempaths=unconfined",
    "--tmpfs",
    "/run",
];

/// The machine. Dropping it takes it away, and everything that was made for it but the image.
pub struct Machine {
    name: String,
}

impl Machine {
    /// Boots one that has the files of a release and the settings of one node.
    pub fn boot(settings: impl Fn(&str) -> String) -> Machine {
        build_image();
        let machine = Machine { name: format!("pgbaton-test-systemd-{}", std::process::id()) };
        let cgroup = format!("CGROUP={}", machine.name);
        // A volume: databases are slow on an image's layers.
        let mut arguments = vec!["create", "--name", &machine.name, "--env", &cgroup];
        arguments.extend(RIGHTS);
        arguments.extend(["--volume", "/var/lib/pgbaton", IMAGE]);
        docker(&arguments);
        let files = tempfile::tempdir().expect("a temporary directory");
        lay_out(files.path(), &settings);
        machine.copy(&files.path().join("."), "/root");
        machine.copy(&root().join("tests/stack/systemd/boot"), "/usr/local/sbin/boot");
        docker(&["start", &machine.name]);
        wait_until("systemd is up", BOUND, || {
            machine.try_shell("systemctl is-system-running").is_ok_and(|state| state == "running")
        });
        machine
    }

    fn copy(&self, from: &Path, to: &str) {
        docker(&["cp", &from.to_string_lossy(), &format!("{}:{to}", self.name)]);
    }

    /// The commands of the guide, one after another, as root.
    pub fn install(&self) {
        let (_, part) = GUIDE.split_once("\n## systemd\n").expect("the guide has that part");
        let part = part.split("\n## ").next().expect("the first of it");
        let commands: Vec<&str> =
            part.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        assert!(commands.iter().any(|line| line.contains("enable --now pgbaton")), "{commands:?}");
        self.shell(&commands.join("\n"));
    }

    /// What a script of bash printed, or why it failed.
    pub fn try_shell(&self, script: &str) -> Result<String, String> {
        let script = format!("cd /root; {script}");
        try_docker(&["exec", &self.name, "bash", "-euo", "pipefail", "-c", &script])
    }

    /// The same for one that has to work.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        self.try_shell(script).unwrap_or_else(|why| panic!("{why}\n{}", self.journal()))
    }

    /// What systemd shows of the unit.
    #[track_caller]
    pub fn shown(&self, property: &str) -> String {
        self.shell(&format!("systemctl show --value --property={property} pgbaton"))
    }

    /// What unit and systemd wrote about it.
    pub fn journal(&self) -> String {
        self.try_shell("journalctl --no-pager --unit=pgbaton").unwrap_or_else(|why| why)
    }

    /// What the agent says of itself, if it answers.
    pub fn status(&self) -> Option<Value> {
        let answer = self.try_shell("curl --silent http://127.0.0.1:8008/patroni").ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// The one value of a statement, asked by a way that libpq understands.
    pub fn sql(&self, way: &str, statement: &str) -> Result<String, String> {
        self.try_shell(&format!(
            "PGPASSWORD=change-me-superuser PGCONNECT_TIMEOUT=2 \
             psql --no-psqlrc -qAt '{way} user=postgres dbname=postgres' -c \"{statement}\""
        ))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let file = root().join("target/stack/systemd.log");
            let _ = fs::write(&file, self.journal());
            println!("the journal is in {}", file.display());
        }
        let cgroup = format!("CGROUP={}", self.name);
        let _ = try_docker(&["rm", "--force", "--volumes", &self.name]);
        let mut arguments = vec!["run", "--name", &self.name, "--env", &cgroup];
        arguments.extend(RIGHTS);
        arguments.extend(["--entrypoint", "sh"]);
        let script = fs::read_to_string(root().join("tests/stack/systemd/boot"));
        let script = script.expect("it was copied before");
        arguments.extend([IMAGE, "-c", &script, "boot", "sweep"]);
        let swept = try_docker(&arguments);
        let _ = try_docker(&["rm", "--force", "--volumes", &self.name]);
        if !std::thread::panicking() {
            swept.expect("the machine's cgroup is taken away");
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What the guide's commands take: the program, the unit, the node's file.
fn lay_out(folder: &Path, settings: &dyn Fn(&str) -> String) {
    let put = |file: &str, content: &[u8]| {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, content).expect("a file");
    };
    let read = |file: &str| fs::read(root().join(file)).expect("a file of this repository");
    put("target/release/pgbaton", &read("target/stack/pgbaton"));
    put("deploy/systemd/pgbaton.service", &read("deploy/systemd/pgbaton.service"));
    let node = String::from_utf8(read("config/pg-a.yml")).expect("text");
    put("config/pg-a.yml", settings(&node).as_bytes());
}

fn build_image() {
    let file = fs::File::open(root().join("tests/stack/systemd/Dockerfile")).expect("a Dockerfile");
    let mut command = Command::new("docker");
    command.args(["build", "--quiet", "--tag", IMAGE, "--build-arg"]);
    // Without a context: it takes nothing from here.
    command.arg(format!("BASE={BASE_IMAGE}")).arg("-").stdin(Stdio::from(file));
    let output = command.output().expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
