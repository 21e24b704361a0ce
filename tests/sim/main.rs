//! The simulation: real agents in worlds on virtual time, one seed a world.
//!
//! `cargo test --release --features mutants --test sim -- --seeds 10000`; a seed that fails prints the
//! command that replays it.

mod clock;
mod etcd;
mod faults;
mod gate;
mod host;
mod invariants;
mod life;
mod net;
mod nodefile;
mod plan;
mod ports;
mod postgres;
mod rng;
mod sometimes;
mod trace;
mod truth;
mod world;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let told = args.iter().any(|a| a == "--trace");
    let from: u64 =
        args.iter().position(|a| a == "--seed").map_or(1, |i| args[i + 1].parse().unwrap());
    let n: u64 =
        args.iter().position(|a| a == "--seeds").map_or(1, |i| args[i + 1].parse().unwrap());
    if told {
        tracing_subscriber::fmt()
            .without_time()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .init();
    }
    let began = std::time::Instant::now();
    let mut failed = 0;
    for seed in from..from + n {
        let outcome = life::live(seed, told);
        if let Some(v) = outcome.violation {
            println!("seed {seed}: {} at {:.3}: {}", v.invariant, v.at.as_secs_f64(), v.text);
            failed += 1;
        } else if n == 1 {
            println!("seed {seed} ok: {:?} {:?}", outcome.lived, outcome.counts);
        }
    }
    println!("{n} seeds, {failed} failed, {:.1}/s", n as f64 / began.elapsed().as_secs_f64());
}
