//! `pgbaton ctl`: what people use to look at a cluster and to work on it. One file for each
//! subcommand; what they share (configuration and store, members' REST, prompts, tables) has its own.
//! Roles, columns, prompts and words are patronictl's; a refused request is exit code 1 here.

mod absent;
mod dcs_url;
mod dsn;
mod edit_config;
mod editor;
mod events;
mod failover;
mod handover;
mod history;
mod list;
mod members;
mod output;
mod recover;
mod refresh;
mod reload;
mod rest;
mod selection;
mod session;
mod show_config;
mod switchover;
mod table;
mod terminal;
mod topology;
mod version;
mod yaml_text;

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

pub use events::{MemberEvent, render as render_events};
pub use history::render as render_history;
pub use list::{ListOptions, render};
pub use output::Format;
pub(crate) use session::etcd_options;
pub use topology::render as render_topology;
pub(crate) use yaml_text::block as yaml_block;

use self::session::{Session, SessionOptions};
use self::terminal::End;

/// The arguments of `pgbaton ctl`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = absent::help())]
#[command(subcommand_value_name = "COMMAND")]
pub struct CtlArgs {
    /// A node's YAML file, or a directory of files; else ~/.config/patroni/patronictl.yaml.
    #[arg(short, long, value_name = "NODE.yml", env = "PATRONICTL_CONFIG_FILE")]
    #[arg(hide_env_values = true)]
    pub config_file: Option<PathBuf>,
    /// Where etcd is, instead of what the file says: [etcd3://]host[:port][/namespace].
    #[arg(short, long, value_name = "URL", env = "DCS_URL", alias = "dcs")]
    #[arg(hide_env_values = true)]
    pub dcs_url: Option<String>,
    /// Do not verify the certificates of the members' REST addresses.
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// What is to be done.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// The subcommands of `ctl`.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// The members of a cluster: who leads, who follows, how far behind.
    List(list::ListArgs),
    /// The members of a cluster as the tree that they stream in.
    Topology(topology::TopologyArgs),
    /// Let the leader step down for another member, while both are well.
    Switchover(switchover::SwitchoverArgs),
    /// Let a named member take over, whether there is a leader or not.
    Failover(failover::FailoverArgs),
    /// The timelines that ended, and who began the next.
    History(history::HistoryArgs),
    /// What the members decided and did, and why, on one time line.
    Events(events::EventsArgs),
    /// Print the configuration that the whole cluster shares.
    ShowConfig(show_config::ShowConfigArgs),
    /// Change the configuration that the whole cluster shares.
    EditConfig(edit_config::EditConfigArgs),
    /// Let members read their configuration files again.
    Reload(reload::ReloadArgs),
    /// Go on with a store that was emptied or put back, accepting what it has forgotten.
    Recover(recover::RecoverArgs),
    /// Print host and port of a member, for psql.
    Dsn(dsn::DsnArgs),
    /// Print the versions of this program, and of a cluster's agents and servers.
    Version(version::VersionArgs),
    /// Any other word: a command of patronictl's that is not there yet, or none at all.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

impl CtlCommand {
    /// Whether it goes on until somebody presses Ctrl-C.
    fn is_endless(&self) -> bool {
        match self {
            CtlCommand::List(args) => args.refresh.period().is_some(),
            CtlCommand::Topology(args) => args.refresh.period().is_some(),
            _ => false,
        }
    }
}

/// Runs one command; what failed is said on standard error.
pub fn run(args: CtlArgs) -> ExitCode {
    if let CtlCommand::Other(words) = &args.command {
        return absent::refuse(words);
    }
    let is_endless = args.command.is_endless();
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| {
            let result = runtime.block_on(async {
                tokio::select! {
                    result = dispatch(args) => result,
                    () = interrupted() => if is_endless { Ok(()) } else { Err(End::Aborted.into()) },
                }
            });
            // A thread may still wait for a line of standard input.
            runtime.shutdown_background();
            result
        });
    exit_code(result)
}

async fn dispatch(args: CtlArgs) -> anyhow::Result<()> {
    let CtlArgs { config_file, dcs_url, insecure, command } = args;
    let options = SessionOptions { config_file, dcs_url, insecure };
    let open = || Session::open(&options);
    match command {
        CtlCommand::List(args) => list::run(&open()?, args).await,
        CtlCommand::Topology(args) => topology::run(&open()?, args).await,
        CtlCommand::Switchover(args) => switchover::run(&open()?, args).await,
        CtlCommand::Failover(args) => failover::run(&open()?, args).await,
        CtlCommand::History(args) => history::run(&open()?, args).await,
        CtlCommand::Events(args) => events::run(&open()?, args).await,
        CtlCommand::ShowConfig(args) => show_config::run(&open()?, args).await,
        CtlCommand::EditConfig(args) => edit_config::run(&open()?, args).await,
        CtlCommand::Reload(args) => reload::run(&open()?, args).await,
        CtlCommand::Recover(args) => recover::run(&open()?, args).await,
        CtlCommand::Dsn(args) => dsn::run(&open()?, args).await,
        CtlCommand::Version(args) => version::run(&options, args).await,
        CtlCommand::Other(_) => unreachable!("refused before there was a runtime"),
    }
}

/// Ctrl-C, unless another program has the terminal.
async fn interrupted() {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        if !editor::is_away() {
            return;
        }
    }
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    match error.downcast_ref::<End>() {
        Some(End::Refused) => return ExitCode::FAILURE,
        Some(End::Aborted) => {
            eprintln!("Aborted!");
            return ExitCode::FAILURE;
        }
        None => {}
    }
    if error.downcast_ref::<io::Error>().is_some_and(|one| one.kind() == ErrorKind::BrokenPipe) {
        // Whoever reads what is printed has enough of it.
        return ExitCode::SUCCESS;
    }
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}
