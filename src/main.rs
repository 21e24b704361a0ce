//! The thin end of the binary.

use std::process::ExitCode;

use clap::Parser;
use pgbaton::cli::{Cli, Command};

fn main() -> ExitCode {
    // Before anything is reserved or read: this one has to stay small.
    match std::env::args_os().nth(1) {
        Some(command) if command == "guardian" => return pgbaton::fence::run_guardian(),
        Some(command) if command == "run" && std::process::id() == 1 => {
            return pgbaton::fence::run_as_first_process();
        }
        Some(_) | None => {}
    }
    match Cli::parse().into_command() {
        Command::Drill(args) => pgbaton::drill::run(&args),
        Command::Traffic(args) => pgbaton::traffic::run(&args),
        Command::Ctl(args) => pgbaton::ctl::run(args),
        Command::Demo(args) => match pgbaton::demo::run(&args.into()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: {error:#}");
                ExitCode::FAILURE
            }
        },
        Command::ProbeDisk(args) => pgbaton::postgres::probe_disk(&args.folder),
        Command::Health(args) => pgbaton::health::run(&args),
        Command::Check(args) => pgbaton::check::run(&args),
        Command::Run(args) => match pgbaton::daemon::run(args.config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
