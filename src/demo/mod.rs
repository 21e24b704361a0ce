//! `pgbaton demo`: a whole cluster on this machine's loopback in one command, and nothing left of it
//! afterwards. Every process is a real one: etcd, HAProxy, and agents that run this very binary on
//! files of the form that users write. Knows nothing of how an agent works inside.

mod commands;
mod crew;
mod descendants;
mod files;
mod folder;
mod identity;
mod plan;
mod ports;
mod programs;
mod screen;
mod sight;
mod stage;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use plan::{EtcdMember, Node, Passwords, Plan, ProxyPorts};
pub use ports::HOST;

use folder::Folder;
use identity::Identity;
use programs::Programs;
use stage::Stage;

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: u16,
    /// Where files, data and logs are kept; a temporary directory, removed at the end, when absent.
    pub dir: Option<PathBuf>,
    /// The cluster's `ttl`, in seconds.
    pub ttl_seconds: u64,
    /// How many etcd members.
    pub etcd_members: u16,
    /// Where to look for free ports, upward; `None` begins with the usual port of each service.
    pub first_port: Option<u16>,
}

/// Runs the demo until it is told to stop. Makes a runtime of its own on the calling thread, which has
/// to live as long as the demo: the processes are stopped when it ends.
///
/// # Errors
/// When programs are missing, the directory cannot be used, or the cluster does not come up. Whatever
/// was started is stopped first.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.etcd_members % 2 == 1,
        "--etcd {}: take an odd number of members; an even one bears no more losses",
        options.etcd_members
    );
    let programs = Programs::find()?;
    let identity = Identity::choose()?;
    let folder = Folder::open(options.dir.as_deref(), identity.as_ref())?;
    let plan = Plan::make(options, &folder)?;
    let binary = files::binary_for(identity.as_ref(), &folder)?;
    files::write_all(&plan, &programs, &folder, identity.as_ref())?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime could not be made")?;
    let commands = commands::Commands { plan: &plan, programs: &programs, folder: &folder, binary };
    let stage = Stage::new(commands, identity)?;
    let outcome = runtime.block_on(stage.play());
    // HTTP requests under way must not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    folder.close();
    outcome
}
