//! What is printed, and how it ends.

use std::process::ExitCode;
use std::time::Instant;

use pgbaton::mutants::Mutant;

/// What passed and what did not.
pub struct Report {
    began: Instant,
    passed: usize,
    failures: Vec<(String, String)>,
}

impl Default for Report {
    fn default() -> Self {
        Self { began: Instant::now(), passed: 0, failures: Vec::new() }
    }
}

impl Report {
    /// One test passed, or failed with a reason.
    pub fn test(&mut self, name: &str, failure: Option<String>) {
        match failure {
            None => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            Some(why) => {
                println!("test {name} ... FAILED");
                self.failures.push((name.to_owned(), why));
            }
        }
    }

    /// The summary.
    pub fn end(self) -> ExitCode {
        if !self.failures.is_empty() {
            println!("\nfailures:");
            for (name, why) in &self.failures {
                println!("    {name}: {why}");
            }
        }
        let word = if self.failures.is_empty() { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in {:.2}s",
            self.passed,
            self.failures.len(),
            self.began.elapsed().as_secs_f64()
        );
        if self.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The command that replays a seed.
pub fn replay(seed: u64, mutant: Option<Mutant>) -> String {
    let planted = mutant.map_or(String::new(), |mutant| format!(" --mutant {mutant:?}"));
    format!("cargo test --release --features mutants --test sim -- --seed {seed}{planted} --trace")
}
