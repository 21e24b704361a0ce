//! The log: one line an event on stderr, as text or as JSON.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::outlet::{self, LastLines, Outlet};
use crate::config::{LogConfig, LogLevel};

/// Starts the log. Libraries say only what went wrong; this crate says what the settings ask for.
///
/// The value that is returned sees to it that the last lines are written.
///
/// # Errors
/// When a log was started before, or there is no thread to be had for it.
pub fn start(config: &LogConfig) -> anyhow::Result<LastLines> {
    outlet::start()?;
    let own = match config.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let targets = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("pgbaton", own)
        // What the server itself says.
        .with_target("postgres", own);
    let registry = tracing_subscriber::registry().with(targets);
    if config.json {
        let layer = fmt::layer().json().flatten_event(true).with_current_span(false);
        registry.with(layer.with_span_list(false).with_writer(|| Outlet)).try_init()?;
    } else {
        let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let layer = fmt::layer().with_target(false).with_ansi(ansi);
        registry.with(layer.with_writer(|| Outlet)).try_init()?;
    }
    Ok(LastLines)
}
