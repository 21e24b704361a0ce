//! `pgbaton drill`: a game day. Faults against a running demo or compose project, each under traffic, each
//! with the time line of what the agents noted, and a verdict. It knows the cluster as an operator does:
//! by its processes or containers, and by what its agents answer.

mod args;
mod checks;
mod compose;
mod demo;
mod place;
mod report;
mod scenario;
mod sight;
mod timeline;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

pub use args::DrillArgs;
pub use scenario::Scenario;

use place::Place;
use report::Outcome;
use scenario::{Stage, tell};

/// The arguments make no sense, or nobody could be asked.
const USAGE: u8 = 2;

/// Runs the command; what failed is said on standard error.
pub fn run(args: &DrillArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: the runtime could not be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(play(args)).unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

async fn play(args: &DrillArgs) -> Result<ExitCode> {
    let place = match &args.demo {
        Some(dir) => demo::find(dir)?,
        None => compose::find(args.project.as_deref(), args.compose_file.as_deref()).await?,
    };
    if !place.is_demo() && !args.yes {
        match agreed(&place, &args.chosen())? {
            Some(true) => {}
            Some(false) => return Ok(ExitCode::FAILURE),
            None => {
                let title = place.title();
                eprintln!("Error: {title} is no demo, and nobody can be asked here: add --yes");
                return Ok(USAGE.into());
            }
        }
    }
    if let Some(dir) = &args.html {
        std::fs::create_dir_all(dir).with_context(|| format!("--html {}", dir.display()))?;
    }
    let stage = Stage::new(place, args.options());
    let mut outcomes = Vec::new();
    for scenario in args.chosen() {
        let outcome = tokio::select! {
            outcome = stage.play(scenario) => outcome,
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        };
        match outcome.with_context(|| scenario.to_string()) {
            Ok(outcome) => {
                show(args, &outcome)?;
                outcomes.push(outcome);
            }
            Err(error) => {
                stage.tidy_up().await;
                return Err(error);
            }
        }
    }
    let text = match args.json {
        true => serde_json::to_string_pretty(&outcomes)? + "\n",
        false => report::summary(&outcomes),
    };
    // Whoever does not read on has seen enough; the exit code still tells.
    let _ = io::stdout().write_all(text.as_bytes());
    let passed = outcomes.iter().all(|outcome| outcome.passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(args: &DrillArgs, outcome: &Outcome) -> Result<()> {
    if let (Some(dir), Some(clients)) = (&args.html, &outcome.clients) {
        let path = dir.join(format!("{}.html", outcome.scenario));
        std::fs::write(&path, crate::traffic::html_page(clients))
            .with_context(|| format!("--html: {}", path.display()))?;
    }
    let text = report::text(outcome);
    if args.json {
        tell(text.trim_end());
    } else {
        let _ = io::stdout().write_all(text.as_bytes());
    }
    Ok(())
}

/// Asks; `None` where there is nobody to ask.
fn agreed(place: &Place, scenarios: &[Scenario]) -> Result<Option<bool>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let names: Vec<String> = scenarios.iter().map(ToString::to_string).collect();
    eprint!(
        "This stops and kills parts of {}: {}.\nClients that use it will see the failures. Go on? [y/N] ",
        place.title(),
        names.join(", ")
    );
    io::stderr().flush().context("standard error")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("standard input")?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
