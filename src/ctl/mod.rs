//! `pgbaton ctl`: what people use to look at a cluster and to work on it. One file for each
//! subcommand; what they share (configuration, store, members' REST, prompts, tables) has its own.

mod absent;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// The arguments of `pgbaton ctl`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = absent::help(), after_long_help = absent::help())]
pub struct CtlArgs {
    /// A node's YAML file, or a directory of files; else ~/.config/patroni/patronictl.yaml.
    #[arg(
        short,
        long,
        value_name = "NODE.yml",
        env = "PATRONICTL_CONFIG_FILE",
        hide_env_values = true
    )]
    pub config_file: Option<PathBuf>,
    /// Where etcd is, instead of what the file says: [etcd3://]host[:port][/namespace].
    #[arg(short, long, value_name = "URL", env = "DCS_URL", hide_env_values = true, alias = "dcs")]
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
    /// Any other word: a command of patronictl's that is not there yet, or none at all.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Runs one command; what failed is said on standard error.
pub fn run(args: CtlArgs) -> ExitCode {
    match args.command {
        CtlCommand::Other(words) => absent::refuse(&words),
    }
}
