//! The commands of patronictl that are not there yet, by name: each says so, none pretends.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Command};

/// The names, with what can be done meanwhile where there is anything.
const ABSENT: &[(&str, Option<&str>)] = &[
    ("restart", None),
    ("reinit", Some("stop the agent, move its data directory aside, and start it again")),
    ("pause", None),
    ("resume", None),
    ("query", Some("`pgbaton ctl dsn` prints a connection string for psql")),
    ("remove", Some("`etcdctl del --prefix /<namespace>/<scope>/` once every agent is stopped")),
    ("flush", None),
    ("demote-cluster", None),
    ("promote-cluster", None),
];

/// What `ctl --help` says below the commands.
pub(super) fn help() -> String {
    let names = ABSENT.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    format!(
        "\
Examples:
  pgbaton ctl -c node.yml list
  pgbaton ctl -c node.yml switchover --candidate pg-b
  pgbaton ctl -c node.yml events --since 15m
  pgbaton ctl -d etcd3://10.0.0.9:2379 list shop

While etcd cannot be reached, a command says so and tries again every 5 seconds.
Exit codes: 0 done; 1 refused or failed; 2 wrong usage.
Not available yet: {names}."
    )
}

/// Refuses a command that is not there.
pub(super) fn refuse(words: &[OsString]) -> ExitCode {
    let word = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    match ABSENT.iter().find(|(name, _)| *name == word) {
        Some((name, meanwhile)) => {
            let version = env!("CARGO_PKG_VERSION");
            eprintln!("Error: {name} is not available yet in pgbaton {version}");
            if let Some(meanwhile) = meanwhile {
                eprintln!("Meanwhile: {meanwhile}");
            }
            ExitCode::FAILURE
        }
        None => unknown(&word),
    }
}

fn unknown(word: &str) -> ! {
    let mut ctl = super::CtlArgs::augment_args(Command::new("ctl").bin_name("pgbaton ctl"));
    ctl.build();
    let known = ctl.get_subcommands().map(|one| one.get_name().to_owned());
    let names = known.chain(ABSENT.iter().map(|(name, _)| (*name).to_owned()));
    let near = names.min_by_key(|name| strsim::damerau_levenshtein(name, word));
    let near = near.filter(|name| strsim::damerau_levenshtein(name, word) <= 2);
    let hint = near.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
    let message = format!("unrecognized subcommand '{word}'{hint}");
    ctl.error(ErrorKind::InvalidSubcommand, message).exit()
}
