//! `make soak`: every fault of the table on real processes, held for a minute at `ttl: 5`, with the figures
//! as a Markdown table. Ends with 1 where a rule is broken or a figure is missed.
//!
//!     cargo test --release --features cluster --test soak -- [--held SECONDS] [--ttl SECONDS] [--stall SECONDS]
//!         [--mode async|quorum|both] [--only WORD]... [--runs N] [--at-once N]

#[path = "../fault_table/mod.rs"]
mod fault_table;
#[path = "../support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use fault_table::{FAULTS, Fault, How, Mode, Outcome, play};

/// What was asked for.
struct Options {
    how: How,
    modes: Vec<Mode>,
    only: Vec<String>,
    runs: usize,
    /// How many clusters run at one time; with more than one a neighbour shows in the figures.
    at_once: usize,
}

fn options() -> Options {
    let how = How {
        ttl: 5,
        stall_timeout: Duration::from_secs(10),
        held: Duration::from_secs(60),
        mode: Mode::Async,
    };
    let mut options =
        Options { how, modes: vec![Mode::Async], only: Vec::new(), runs: 1, at_once: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        let number = |text: String| text.parse().unwrap_or_else(|_| panic!("no number: {text}"));
        match word.as_str() {
            "--held" => options.how.held = Duration::from_secs(number(value())),
            "--ttl" => options.how.ttl = number(value()),
            "--stall" => options.how.stall_timeout = Duration::from_secs(number(value())),
            "--only" => options.only.push(value()),
            "--runs" => options.runs = usize::try_from(number(value())).expect("few runs"),
            "--at-once" => options.at_once = usize::try_from(number(value())).expect("few"),
            "--mode" => {
                options.modes = match value().as_str() {
                    "async" => vec![Mode::Async],
                    "quorum" => vec![Mode::Quorum],
                    "both" => vec![Mode::Async, Mode::Quorum],
                    other => panic!("unknown mode {other}"),
                }
            }
            _ => panic!("unknown option {word}"),
        }
    }
    options
}

fn main() -> ExitCode {
    let options = options();
    let is_asked_for = |fault: &&Fault| {
        options.only.is_empty()
            || options.only.iter().any(|word| fault.name.contains(word.as_str()))
    };
    let mut waiting = VecDeque::new();
    for mode in &options.modes {
        for _ in 0..options.runs {
            let how = How { mode: *mode, ..options.how };
            waiting.extend(FAULTS.iter().filter(is_asked_for).map(|fault| (fault, how)));
        }
    }
    assert!(!waiting.is_empty(), "no fault has that word in its name");
    let (waiting, rows) = (Mutex::new(waiting), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.at_once {
            scope.spawn(|| {
                while let Some((fault, how)) = next(&waiting) {
                    let (row, well) = one(fault, how);
                    eprintln!("{row}");
                    rows.lock().expect("no row panics").push((row, well));
                }
            });
        }
    });
    let rows = rows.into_inner().expect("no row panics");
    println!("ttl {} s, held {:?}\n\n{}", options.how.ttl, options.how.held, Outcome::head());
    rows.iter().for_each(|(row, _)| println!("{row}"));
    if rows.iter().all(|(_, well)| *well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn next(waiting: &Mutex<VecDeque<(&'static Fault, How)>>) -> Option<(&'static Fault, How)> {
    waiting.lock().expect("no fault is taken by a panic").pop_front()
}

/// A fault's line in the table, and whether all is well.
fn one(fault: &'static Fault, how: How) -> (String, bool) {
    let played = catch_unwind(AssertUnwindSafe(|| play(fault, how)));
    match played {
        Ok(outcome) => {
            let well = outcome.broken().is_empty() && outcome.missed().is_empty();
            (outcome.row(), well)
        }
        Err(why) => {
            let said = why.downcast_ref::<String>().cloned();
            let said = said.or_else(|| why.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let said = said.unwrap_or_default().replace('\n', " ");
            (
                format!("| {} | {:?} | | | | | | | | **FAILED: {said}** |", fault.name, how.mode),
                false,
            )
        }
    }
}
