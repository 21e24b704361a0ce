//! How each process is started: its program, arguments and environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::HAPROXY_FILE;
use super::folder::Folder;
use super::plan::{EtcdMember, Node, Plan};
use super::ports::HOST;
use super::programs::Programs;

/// Below this `ttl` etcd's usual election timeout of a second is too long: a member that takes over
/// must be able to within the lease.
const TTL_SECONDS_FOR_USUAL_ELECTIONS: u64 = 4;

/// Makes the commands of one demo.
#[derive(Debug)]
pub struct Commands<'a> {
    /// What is started.
    pub plan: &'a Plan,
    /// With which programs.
    pub programs: &'a Programs,
    /// Where.
    pub folder: &'a Folder,
    /// What the agents run.
    pub binary: PathBuf,
}

impl Commands<'_> {
    /// One member of etcd.
    pub fn etcd(&self, member: &EtcdMember) -> Command {
        let peers: Vec<String> =
            self.plan.etcd.iter().map(|it| format!("{}={}", it.name, peer_url(it))).collect();
        let client = format!("http://{}", member.client_address());
        let peer = peer_url(member);
        let mut command = self.command(&self.programs.etcd);
        command.arg("--name").arg(&member.name);
        command.arg("--data-dir").arg(self.folder.path().join(&member.name));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"]);
        command.args(["--initial-cluster-token", "pgbaton-demo", "--logger", "zap"]);
        // Without it each renewal would stay on the disk for ever.
        command.args(["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "5m"]);
        if self.plan.ttl_seconds < TTL_SECONDS_FOR_USUAL_ELECTIONS {
            command.args(["--heartbeat-interval", "25", "--election-timeout", "250"]);
        }
        // Releases of etcd before 3.5 ask for this on machines they were not tried on.
        if cfg!(target_arch = "aarch64") {
            command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        }
        command
    }

    /// HAProxy, in the foreground.
    pub fn haproxy(&self) -> Command {
        let mut command = self.command(&self.programs.haproxy);
        command.arg("-db").arg("-f").arg(self.folder.path().join(HAPROXY_FILE));
        command
    }

    /// One agent.
    pub fn agent(&self, node: &Node) -> Command {
        let mut command = self.command(&self.binary);
        command.arg("run").arg(self.folder.path().join(node.file_name()));
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        // What is set for other servers and clusters in the user's shell must not reach ours.
        for (name, _) in std::env::vars_os() {
            if is_about_other_servers(&name) {
                command.env_remove(name);
            }
        }
        command
    }
}

fn is_about_other_servers(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "NOTIFY_SOCKET" || ["PATRONI", "ETCD", "PG"].iter().any(|it| name.starts_with(it))
}

fn peer_url(member: &EtcdMember) -> String {
    format!("http://{HOST}:{}", member.peer_port)
}
