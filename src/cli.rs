//! The command line of the whole binary: its commands, their options and their help. What a command
//! does is its own module's business; the subcommands of `ctl` are declared in `ctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::ctl::CtlArgs;
use crate::demo::Options;
use crate::drill::DrillArgs;
use crate::traffic::TrafficArgs;

const ROOT_EXAMPLES: &str = "\
Examples:
  pgbaton demo                          a whole cluster on this machine, in one command
  pgbaton check /etc/pgbaton/node.yml   everything that is wrong with a configuration
  pgbaton run /etc/pgbaton/node.yml     the agent beside one PostgreSQL server
  pgbaton ctl -c node.yml list          who leads, who follows, and how far behind";

/// Keeps a PostgreSQL cluster writable: one agent beside each server, one baton among them.
#[derive(Debug, Parser)]
#[command(name = "pgbaton", version, after_help = ROOT_EXAMPLES)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Check a configuration and exit: the same as the command `check`.
    #[arg(long, value_name = "NODE.yml", num_args = 0..=1)]
    validate_config: Option<Option<PathBuf>>,

    /// With --validate-config: do not mind listen addresses that are taken.
    #[arg(short, long, requires = "validate_config")]
    ignore_listen_port: bool,

    /// With --validate-config: also print the merged configuration, without passwords.
    #[arg(short, long, requires = "validate_config")]
    print: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent beside one PostgreSQL server.
    Run(RunArgs),
    /// Say everything that is wrong with a configuration.
    Check(CheckArgs),
    /// Bring up a whole cluster on this machine, and take it down again on Ctrl-C.
    Demo(DemoArgs),
    /// Read and write at a constant rate, and say what clients saw and whether anything is missing.
    Traffic(TrafficArgs),
    /// Break a demo or a compose project in known ways, under traffic, and judge what follows.
    Drill(DrillArgs),
    /// Look at a cluster and work on it.
    Ctl(CtlArgs),
    /// Ask this machine's agent whether its server runs; the exit code says it.
    Health(HealthArgs),
    /// The process that the agent has write to the log's volume: not for people.
    #[command(hide = true)]
    ProbeDisk(ProbeDiskArgs),
}

impl Cli {
    /// The command, also where it was spelled as an option.
    pub fn into_command(self) -> Command {
        match (self.command, self.validate_config) {
            (Some(command), _) => command,
            (None, config) => {
                let (ignore_listen_port, print) = (self.ignore_listen_port, self.print);
                Command::Check(CheckArgs { config: config.flatten(), ignore_listen_port, print })
            }
        }
    }
}

const RUN_HELP: &str = "\
The configuration is a YAML file in Patroni's format, or a directory whose *.yml and *.yaml files
are merged in the order of their names. PATRONI_* variables stand above the file. Without a file,
the variable PATRONI_CONFIGURATION holds the whole YAML, or the PATRONI_* variables alone say
everything.

SIGHUP reads the configuration again. SIGTERM and SIGINT stop PostgreSQL and hand the cluster over.

Examples:
  pgbaton run /etc/pgbaton/node.yml
  PATRONI_NAME=pg-b pgbaton run /etc/pgbaton/";

/// The arguments of `pgbaton run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// File or directory of files; without it the environment says everything.
    #[arg(value_name = "NODE.yml")]
    pub config: Option<PathBuf>,
}

const CHECK_HELP: &str = "\
One line for each finding, `file:line: error|warning: key: what was expected`, and a summary.
The exit code is 1 if anything is an error, else 0. The etcd that is named is asked how it is;
that it does not answer is a warning.

Examples:
  pgbaton check node.yml
  pgbaton check -i node.yml      while the agent runs: its ports are taken, and that is fine
  pgbaton check -p node.yml      print the merged configuration, the findings on standard error";

/// The arguments of `pgbaton check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// File or directory of files; without it the environment says everything.
    #[arg(value_name = "NODE.yml")]
    pub config: Option<PathBuf>,
    /// Do not mind listen addresses that are taken (by the running agent).
    #[arg(short, long)]
    pub ignore_listen_port: bool,
    /// Print the configuration as it was merged from files and environment, secrets hidden.
    #[arg(short, long)]
    pub print: bool,
}

/// The arguments of `pgbaton health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The agent's file or directory of files; without it the environment says everything.
    #[arg(value_name = "NODE.yml")]
    pub config: Option<PathBuf>,
}

/// The arguments of `pgbaton probe-disk`.
#[derive(Debug, Args)]
pub struct ProbeDiskArgs {
    /// The folder to write in.
    pub folder: PathBuf,
}

const DEMO_HELP: &str = "\
Starts etcd, HAProxy and one agent with its PostgreSQL server for each node, all on the loopback
address and on ports that are free. Nothing is left behind on Ctrl-C unless --dir is given.

Examples:
  pgbaton demo
  pgbaton demo --nodes 5 --ttl 3
  pgbaton demo --dir /tmp/try    keep files and data, and start from them the next time";

/// The arguments of `pgbaton demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = DEMO_HELP)]
pub struct DemoArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=15))]
    pub nodes: u16,
    /// Where to keep configuration, data and logs; a temporary directory when absent.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Seconds after which a silent leader is replaced.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub ttl: u64,
    /// How many etcd members.
    #[arg(long, value_name = "MEMBERS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=7))]
    pub etcd: u16,
    /// Take all ports from here upward, not each service's usual one and its neighbours.
    #[arg(long, value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1024..=60000))]
    pub base_port: Option<u16>,
}

impl From<DemoArgs> for Options {
    fn from(args: DemoArgs) -> Self {
        Self {
            nodes: args.nodes,
            dir: args.dir,
            ttl_seconds: args.ttl,
            etcd_members: args.etcd,
            first_port: args.base_port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(Cli::into_command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn validate_config_is_the_command_check() {
        for line in ["pgbaton check -i a.yml", "pgbaton --validate-config a.yml -i"] {
            let Command::Check(check) = parse(line).unwrap() else { panic!("{line}") };
            assert_eq!(check.config, Some(PathBuf::from("a.yml")), "{line}");
            assert!(check.ignore_listen_port, "{line}");
        }
        let Command::Check(check) = parse("pgbaton --validate-config").unwrap() else { panic!() };
        assert_eq!(check.config, None);
    }

    #[test]
    fn a_usage_error_is_exit_code_two() {
        for line in [
            "pgbaton",
            "pgbaton nonsense",
            "pgbaton run a b",
            "pgbaton -i",
            "pgbaton demo --nodes 0",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
