//! The arguments of `pgbaton drill`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::scenario::{Options, Scenario};

const HELP: &str = "\
Each scenario is played under traffic, and followed by the way back: what was stopped is started, and
the cluster has to be whole again before the next. Ctrl-C starts again what is down and ends.

A demo is there to be broken. Anything else is asked about first, unless --yes is given.

The exit code is 0 if every scenario passed or could not be played here, 1 if one failed, 2 if the
arguments make no sense.

Examples:
  pgbaton demo --etcd 3 --dir /tmp/try          in one terminal
  pgbaton drill --demo /tmp/try                 in another: all scenarios
  pgbaton drill --demo /tmp/try primary-kill switchover
  pgbaton drill --project pgbaton --yes --json > drill.json";

/// The arguments of `pgbaton drill`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("place").required(true).multiple(false))]
pub struct DrillArgs {
    /// What to play, in this order; everything when absent.
    #[arg(value_enum, value_name = "SCENARIO")]
    pub(super) scenarios: Vec<Scenario>,
    /// The directory of a running `pgbaton demo`.
    #[arg(long, value_name = "DIR", group = "place")]
    pub(super) demo: Option<PathBuf>,
    /// The name of a running compose project; found by its containers' labels.
    #[arg(long, value_name = "NAME", group = "place")]
    pub(super) project: Option<String>,
    /// The compose file that a running project was started with.
    #[arg(long, value_name = "FILE", group = "place")]
    pub(super) compose_file: Option<PathBuf>,
    /// Do not ask before something is stopped that is no demo.
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Requests a second, half of them reads.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,
    /// Connections that write, and as many that read.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    clients: u16,
    /// How many seconds each thing that is waited for may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    within: u64,
    /// Print the outcome as JSON on standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// Write a page with a picture for each scenario into this directory.
    #[arg(long, value_name = "DIR")]
    pub(super) html: Option<PathBuf>,
}

impl DrillArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            rate: self.rate.into(),
            clients: self.clients.into(),
            within: Duration::from_secs(self.within),
        }
    }

    /// What is played.
    pub(super) fn chosen(&self) -> Vec<Scenario> {
        if self.scenarios.is_empty() { Scenario::ALL.to_vec() } else { self.scenarios.clone() }
    }
}
