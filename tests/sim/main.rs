//! The simulation: real agents in worlds on virtual time, one thread and one seed a world.
//!
//! `cargo test --release --features mutants --test sim -- --help` tells the options; a seed that fails
//! prints the command that replays it.

mod args;
mod batch;
mod carried;
mod clock;
mod etcd;
mod faults;
mod gate;
mod histories;
mod host;
mod invariants;
mod life;
mod mutants;
mod net;
mod nodefile;
mod plan;
mod ports;
mod postgres;
mod report;
mod rng;
mod sometimes;
mod trace;
mod truth;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use pgbaton::mutants::plant;

use args::Args;
use report::Report;

/// So many seeds are lived twice.
const LIVED_TWICE: u64 = 60;
/// From so many seeds on, what should happen sometimes has to have happened.
const WORTH_COUNTING: u64 = 1_000;

/// A world is many small values that come and go: this allocator gives out again what is still in the cache.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::FAILURE;
        }
    };
    life::watch_for_panics(args.trace);
    let mut report = Report::default();
    plant(args.mutant);
    if args.trace {
        trace::tell_logs();
    }
    if let Some(name) = &args.history {
        histories::all(&mut report, name, args.trace);
        return report.end();
    }
    if let Some(mutant) = args.hunt {
        planted(&mut report, vec![mutants::hunt(mutant)]);
        return report.end();
    }
    if args.trace {
        let (from, count) = args.seeds;
        for seed in from..from + count {
            let outcome = life::live(seed, true);
            report.test(&format!("seed {seed}"), outcome.violation.map(|one| one.to_string()));
        }
        return report.end();
    }
    if args.everything {
        histories::all(&mut report, "", false);
        lived_twice(&mut report);
    }
    seeds(&args, &mut report);
    if args.everything {
        planted(&mut report, mutants::all());
    }
    report.end()
}

/// The same seed, the same life.
fn lived_twice(report: &mut Report) {
    let differs = (1..=LIVED_TWICE).find(|seed| {
        let (one, other) = (life::live(*seed, false), life::live(*seed, false));
        one.hash != other.hash || one.lived != other.lived
    });
    let text = differs.map(|seed| format!("seed {seed} goes differently the second time"));
    report.test("a_seed_has_one_life", text);
}

fn seeds(args: &Args, report: &mut Report) {
    let began = Instant::now();
    let (from, count) = args.seeds;
    let batch = batch::seeds(from, count, args.mutant);
    for (seed, violation) in &batch.failures {
        println!("seed {seed}: {violation}\n  replay: {}", report::replay(*seed, args.mutant));
    }
    let rate = batch.seeds as f64 / began.elapsed().as_secs_f64();
    println!("{} seeds, {rate:.0} a second, {} broken", batch.seeds, batch.failures.len());
    if !batch.spoken.is_empty() {
        println!("a person had to speak in {:?}", batch.spoken);
    }
    let broken =
        batch.failures.first().map(|(seed, violation)| format!("seed {seed}: {violation}"));
    report.test("every_rule_holds_in_every_world", broken);
    for (what, count) in sometimes::Sometimes::ALL.iter().zip(batch.counts) {
        println!("  {count:>8} {what:?}");
    }
    if batch.seeds >= WORTH_COUNTING && args.mutant.is_none() {
        let never = batch.never();
        let text = (!never.is_empty()).then(|| format!("never happened: {never:?}"));
        report.test("what_should_happen_sometimes_did", text);
    }
}

fn planted(report: &mut Report, caught: Vec<mutants::Caught>) {
    for caught in caught {
        let name = format!("the_planted_fault_is_seen::{:?}", caught.mutant);
        match caught.by {
            Some(by) => {
                println!("{:?}: seen {by} (allowed: {})", caught.mutant, caught.within);
                report.test(&name, None);
            }
            None => report.test(&name, Some(format!("not seen within {}", caught.within))),
        }
    }
}
