//! The command line of the simulation.

use pgbaton::mutants::Mutant;

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The seeds: from which, and how many.
    pub seeds: (u64, u64),
    /// Everything (histories, determinism, seeds, mutants), or only the seeds.
    pub everything: bool,
    /// The fault that is planted.
    pub mutant: Option<Mutant>,
    /// The planted fault that is looked for where it has to be seen.
    pub hunt: Option<Mutant>,
    /// One history alone.
    pub history: Option<String>,
    /// Whether the story is told.
    pub trace: bool,
}

/// How many seeds a full run has.
pub const SEEDS: u64 = 10_000;

const HELP: &str = "\
usage: cargo test --release --features mutants --test sim -- [OPTIONS]

  --seeds N      how many seeds (10000); only the seeds are run then
  --from S       the first of them (1)
  --seed S       this one alone
  --mutant NAME  with this fault planted
  --hunt NAME    look for this planted fault where it has to be seen: in its seeds, or its history
  --history NAME one history of tests/sim/histories alone
  --trace        tell the story of it

Without options: the histories, the determinism of a few seeds, 10000 seeds, and every mutant.";

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, or the help that was asked for.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Args {
            seeds: (1, SEEDS),
            everything: true,
            mutant: None,
            hunt: None,
            history: None,
            trace: false,
        };
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seeds" => args.seeds.1 = number(&word, words.next())?,
                "--from" => args.seeds.0 = number(&word, words.next())?,
                "--seed" => args.seeds = (number(&word, words.next())?, 1),
                "--mutant" => args.mutant = Some(mutant(words.next())?),
                "--hunt" => args.hunt = Some(mutant(words.next())?),
                "--history" => args.history = Some(words.next().unwrap_or_default()),
                "--trace" => args.trace = true,
                _ => return Err(format!("unknown argument {word}\n\n{HELP}")),
            }
            args.everything = false;
        }
        Ok(args)
    }
}

fn number(option: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.unwrap_or_default();
    value.parse().map_err(|_| format!("{option} wants a whole number, not {value:?}\n\n{HELP}"))
}

fn mutant(name: Option<String>) -> Result<Mutant, String> {
    let name = name.unwrap_or_default();
    let known = |mutant: &&Mutant| format!("{mutant:?}").eq_ignore_ascii_case(&name);
    Mutant::ALL
        .iter()
        .find(known)
        .copied()
        .ok_or_else(|| format!("expected one of {:?}, not {name:?}\n\n{HELP}", Mutant::ALL))
}
