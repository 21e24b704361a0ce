//! `pgbaton traffic`: requests at a constant rate against a cluster, and a ledger of what was acknowledged.
//! It says what clients saw, and whether anything acknowledged is missing. Knows nothing of agents, and is
//! no benchmark of throughput: the rate is given.

mod args;
mod html;
mod lane;
mod ledger;
mod progress;
mod recorder;
mod report;
#[cfg(test)]
mod report_tests;
mod running;
#[cfg(test)]
mod sample;
mod schedule;
mod session;
mod settings;
mod svg;
mod target;
mod text;
mod timeline;
mod tls;
mod watch;
mod workload;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use args::TrafficArgs;
pub use html::page as html_page;
pub use ledger::CounterCheck;
pub use report::{LaneReport, Latency, LedgerReport, MissingReport, Report};
pub use running::{Running, Teller, TrafficError};
#[cfg(test)]
pub(crate) use sample::sample_report;
pub use settings::{Mode, Settings};
pub use target::{Target, TargetError};
pub use text::text as report_text;
pub use timeline::{Bucket, Gap, Span, Timeline};
pub use watch::{LaneName, News, seconds};

use recorder::Recorder;

/// The arguments make no sense.
const USAGE: u8 = 2;

/// Runs the command; what failed is said on standard error.
pub fn run(args: &TrafficArgs) -> ExitCode {
    let settings = match args.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("Error: {error}");
            return USAGE.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: the runtime could not be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(play(args, settings)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {}", chain(&error));
            ExitCode::FAILURE
        }
    };
    // A request that was given up may still wait for its cancel.
    runtime.shutdown_background();
    code
}

async fn play(args: &TrafficArgs, settings: Settings) -> Result<ExitCode, TrafficError> {
    let duration = settings.duration;
    let is_quiet = args.quiet;
    let teller = Box::new(move |news: &News| {
        if !is_quiet {
            eprintln!("{news}");
        }
    });
    let running = Running::start(settings, teller).await?;
    let progress = (!is_quiet && !args.progress.is_zero())
        .then(|| tokio::spawn(show_progress(Arc::clone(running.recorder()), args.progress)));
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = interrupted() => {
            running.stop();
            if !is_quiet {
                eprintln!("stopping: requests that were due are carried out, then verified (once \
                           more Ctrl-C ends it at once)");
            }
        }
    }
    let finished = tokio::select! {
        report = running.finish() => Some(report),
        () = interrupted() => None,
    };
    if let Some(progress) = progress {
        progress.abort();
    }
    let Some(report) = finished else {
        eprintln!("Error: ended before anything was verified; the table is left as it is");
        return Ok(ExitCode::FAILURE);
    };
    Ok(show(args, &report))
}

fn show(args: &TrafficArgs, report: &Report) -> ExitCode {
    let text = if args.json {
        let json = serde_json::to_string_pretty(report);
        json.expect("a report holds nothing that JSON has not") + "\n"
    } else {
        report_text(report)
    };
    // Whoever does not read on has seen enough; the exit code still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if let Some(path) = &args.html
        && let Err(error) = std::fs::write(path, html_page(report))
    {
        eprintln!("Error: --html {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if report.has_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn show_progress(recorder: Arc<Recorder>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let now = recorder.now();
        let line = progress::line(&mut recorder.record(), now, every);
        eprintln!("{line}");
    }
}

/// Ctrl-C or SIGTERM; never, where signals cannot be listened to.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => {
            if result.is_err() {
                std::future::pending::<()>().await;
            }
        }
        () = terminated => {}
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
