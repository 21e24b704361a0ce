//! One node of a cluster: its configuration, its agent, and what can be done to both.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::fence::{self, Process};
use serde_json::Value;

use super::cgroup::Cgroup;
use super::http::{Answer, Request};
use super::machine::{Identity, is_reachable, write_file};
use super::processes;
use super::wait::{wait_for, wait_until};

/// Where the server listens; below the ports that the kernel gives to clients.
pub const POSTGRESQL_PORT: u16 = 15_432;
/// Where the agent answers.
pub const REST_PORT: u16 = 18_008;

/// How long an agent that was told to stop may take before the test fails.
pub const STOP_BOUND: Duration = Duration::from_secs(30);

/// What keeps a server: the program under test, or the one that its figures are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    Pgbaton,
    /// In a virtual environment that `scripts/fetch-patroni` makes.
    Patroni,
}

impl Agent {
    fn command(self, file: &Path) -> Command {
        let mut command = match self {
            Agent::Pgbaton => Command::new(binary()),
            Agent::Patroni => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                let program = root.join("target/patroni-venv/bin/patroni");
                assert!(program.exists(), "no Patroni: run scripts/fetch-patroni");
                Command::new(program)
            }
        };
        if self == Agent::Pgbaton {
            command.arg("run");
        }
        command.arg(file);
        command
    }
}

/// One node.
#[derive(Debug)]
pub struct Node {
    pub agent: Agent,
    pub name: String,
    pub ip: IpAddr,
    /// What its file will say; a change counts from the next start or reload.
    pub config: Value,
    /// Everything of it lies here.
    pub dir: PathBuf,
    /// The network it is in, if not the tests' own.
    pub namespace: Option<File>,
    /// The cgroup it is put into, if not the tests' own.
    pub cgroup: Option<Cgroup>,
    /// What its agent, and what that starts, find in their environment besides.
    pub environment: Vec<(&'static str, String)>,
    pub(super) child: Option<Child>,
}

impl Node {
    /// Where its server answers.
    pub fn postgresql(&self) -> SocketAddr {
        (self.ip, POSTGRESQL_PORT).into()
    }

    /// Where its agent answers.
    pub fn rest(&self) -> SocketAddr {
        (self.ip, REST_PORT).into()
    }

    pub fn file(&self) -> PathBuf {
        self.dir.join("node.yml")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A setting of its file, by the path of its keys.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) {
        let mut place = &mut self.config;
        for key in pointer.split('/').filter(|key| !key.is_empty()) {
            place = &mut place[key];
        }
        *place = value.into();
    }

    /// Writes its file as `config` says.
    pub fn write_config(&self) {
        let text = serde_yaml::to_string(&self.config).expect("plain data");
        write_file(&self.file(), &text);
    }

    /// Starts its agent.
    pub fn start(&mut self) {
        self.write_config();
        self.start_with_the_file_as_it_is();
    }

    pub fn start_with_the_file_as_it_is(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.expect("a log file");
        let mut command = self.in_its_place(self.agent.command(&self.file()));
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.child = Some(command.spawn().expect("the program that was built for this test"));
    }

    /// The built program, to be run as this node would.
    pub fn command(&self) -> Command {
        self.in_its_place(Command::new(binary()))
    }

    fn in_its_place(&self, mut command: Command) -> Command {
        command.current_dir(&self.dir).stdin(Stdio::null());
        // What is set in the shell for other servers must not reach ours.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_foreign = ["PATRONI", "ETCD", "PG"].iter().any(|it| text.starts_with(it));
            if is_foreign || text == "NOTIFY_SOCKET" {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let namespace = self.namespace.as_ref().map(AsRawFd::as_raw_fd);
        let door = self.cgroup.as_ref().map(Cgroup::door);
        let identity = Identity::of_servers();
        let enter = move || {
            let door = door.as_ref().map(AsRawFd::as_raw_fd);
            become_part_of(namespace, door, identity)
        };
        // SAFETY: between fork and exec only system calls are made; nothing is allocated.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// `pgbaton ctl` with this node's file.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.arg("ctl").arg("-c").arg(self.file()).args(arguments);
        command.output().expect("the program that was built for this test")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("agent.log")
    }

    /// Everything its agents have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_for_log(&self, text: &str, bound: Duration) {
        wait_until(&format!("{} logs {text:?}", self.name), bound, || self.log().contains(text));
    }

    /// The agent's process.
    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("a running agent");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("an agent of ours takes signals");
    }

    /// How the agent ended, within a bound.
    #[track_caller]
    pub fn wait_for_exit(&mut self, bound: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running agent");
        let what = format!("{}'s agent ends", self.name);
        wait_for(&what, bound, || child.try_wait().expect("our own child"))
    }

    /// Stops the agent the friendly way.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_for_exit(STOP_BOUND);
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log_end());
    }

    /// Kills the agent alone.
    pub fn kill_agent(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_for_exit(STOP_BOUND);
    }

    /// Kills everything on this node at once, as a lost host would be.
    pub fn kill_host(&mut self) {
        assert!(processes::kill_all(&self.dir), "{} cannot be killed", self.name);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("our own child");
        }
    }

    /// Starts its agent again if it has ended, as a host's service manager would.
    pub fn start_if_it_ended(&mut self) {
        let ended = |child: &mut Child| child.try_wait().expect("our own child").is_some();
        if self.child.as_mut().is_none_or(ended) {
            self.child = None;
            self.start();
        }
    }

    /// The processes of its server; the postmaster is the first.
    #[track_caller]
    pub fn server_processes(&self) -> Vec<Pid> {
        let postmaster = self.postmaster().expect("a running server");
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = fs::read_to_string(children).expect("a running postmaster");
        let children = children.split_ascii_whitespace().map(|pid| pid.parse().expect("a pid"));
        std::iter::once(postmaster).chain(children.map(Pid::from_raw)).collect()
    }

    /// How its server is fenced, as its agent says.
    #[track_caller]
    pub fn shown_fence(&self) -> String {
        let shown = self.get("/patroni").expect("the agent answers").json();
        shown["pgbaton"]["fence"].as_str().unwrap_or_default().to_owned()
    }

    /// The server's first process, by the file it keeps.
    pub fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data_dir().join("postmaster.pid")).ok()?;
        self.server_process(text.lines().next()?.trim().parse().ok()?)
    }

    /// The process of the server that has this id in its own eyes. Under a guardian's PID namespace it has
    /// another one here, and the one that the server tells is somebody else's.
    pub fn server_process(&self, own: i32) -> Option<Pid> {
        let data_dir = self.data_dir().canonicalize().ok()?;
        let is_it = |one: &Process| {
            one.own_pid() == Some(own) && fence::works_in(one.pid, &data_dir) && !one.is_zombie()
        };
        fence::list().into_iter().find(is_it).map(|one| Pid::from_raw(one.pid))
    }

    /// The process that receives this standby's log.
    #[track_caller]
    pub fn receiver(&self) -> Pid {
        let told = super::sql::value(self.postgresql(), "SELECT pid FROM pg_stat_wal_receiver");
        let own = told.expect("it streams").parse().expect("a pid");
        self.server_process(own).expect("a process of this server")
    }

    /// What its agent answers; `None` when it does not.
    pub fn get(&self, path: &str) -> Option<Answer> {
        Request::get(path).send(self.rest()).ok()
    }

    /// A request that changes something, with the user that the API wants.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        Request::new(method, path, body).send(self.rest()).expect("the agent answers")
    }

    pub fn answers(&self, path: &str, status: u16) -> bool {
        self.get(path).is_some_and(|answer| answer.status == status)
    }

    /// Whether it says that it takes writes.
    pub fn is_primary(&self) -> bool {
        self.answers("/primary", 200)
    }

    /// The end of its log, and of its server's, for a test that failed.
    pub fn log_end(&self) -> String {
        let last = |text: &str| {
            // What the clients of a ledger cause all the time.
            let noise = ["read-only transaction", "STATEMENT:", "DETAIL:", "FATAL:  the database"];
            let is_telling = |line: &&str| !noise.iter().any(|noise| line.contains(noise));
            let lines: Vec<&str> = text.lines().filter(is_telling).collect();
            lines[lines.len().saturating_sub(100)..].join("\n")
        };
        format!("---- {}\n{}", self.name, last(&self.log()))
    }
}

/// What a child does before it becomes the program: enters its network, drops root, and sees to it that
/// it does not outlive the test's thread.
fn become_part_of(
    namespace: Option<i32>,
    cgroup: Option<i32>,
    identity: Option<Identity>,
) -> std::io::Result<()> {
    let check = |outcome: i32| match outcome {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: plain system calls on values of our own.
    unsafe {
        if let Some(namespace) = namespace {
            check(libc::setns(namespace, libc::CLONE_NEWNET))?;
        }
        if let Some(cgroup) = cgroup {
            // 0 is whoever writes it.
            check(if libc::write(cgroup, b"0".as_ptr().cast(), 1) == 1 { 0 } else { -1 })?;
        }
        if let Some(Identity { uid, gid }) = identity {
            check(libc::setgroups(1, &raw const gid))?;
            check(libc::setgid(gid))?;
            check(libc::setuid(uid))?;
        }
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
    }
}

/// The program under test: where it was built, or a copy where the servers' user cannot get there.
pub fn binary() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_pgbaton"));
        if is_reachable(&built) {
            return built;
        }
        let name = format!("pgbaton-under-test-{}", std::process::id());
        let copy = std::env::temp_dir().join(name);
        fs::copy(&built, &copy).expect("the program can be copied");
        copy
    })
}
