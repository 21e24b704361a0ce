//! `make bench`: how long writes stop, how quickly a cluster comes up, what an agent costs. Three nodes, three
//! etcd members, ttl 5, and a client for each node that writes to it each 10 ms. Prints a table, and
//! writes it as Markdown where it is told to.
//!
//!     cargo bench --features cluster --bench cluster -- [--runs N] [--only PART] [--markdown FILE] [--patroni]

#[path = "../../tests/support/mod.rs"]
mod support;

mod cost;
mod figure;
mod gaps;
mod rig;

use figure::{Figure, markdown, table};
use rig::Rig;
use support::node::Agent;

type Measure = fn(&mut Rig) -> Vec<Figure>;

/// What is measured, in this order; those of one cluster stand together.
const PARTS: &[(&str, Measure)] = &[
    ("bootstrap", gaps::bootstrap),
    ("switchover", gaps::switchover),
    ("postmaster", gaps::postmaster_killed),
    ("sigterm", gaps::agent_told_to_stop),
    ("etcd", gaps::etcd_leader_killed),
    ("probe", cost::probes_a_second),
    ("memory", cost::memory),
    ("host", gaps::host_gone),
];

/// What was asked for.
pub struct Options {
    pub runs: usize,
    only: Option<String>,
    markdown: Option<String>,
    pub agent: Agent,
}

fn options() -> Options {
    let mut options = Options { runs: 5, only: None, markdown: None, agent: Agent::Pgbaton };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--runs" => options.runs = value().parse().expect("--runs needs a number"),
            "--only" => options.only = Some(value()),
            "--markdown" => options.markdown = Some(value()),
            "--patroni" => options.agent = Agent::Patroni,
            // Cargo's own.
            "--bench" => {}
            _ => panic!("unknown option {word}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let mut rig = Rig::new(&options);
    let mut figures = Vec::new();
    for (name, measure) in PARTS {
        if options.only.as_deref().is_some_and(|only| only != *name) {
            continue;
        }
        eprintln!("measuring: {name}");
        let measured = measure(&mut rig);
        eprint!("{}", table(&measured));
        figures.extend(measured);
    }
    println!("{}", table(&figures));
    if let Some(file) = &options.markdown {
        std::fs::write(file, markdown(&figures)).expect("the file can be written");
    }
}
