//! The log: one line an event, as text or as JSON, on standard error or in a file. Whoever logs never
//! waits for either: the lines go through a bounded queue to a thread of its own, so that a stalled log
//! volume or a reader that is stuck holds up neither the lease nor the loop.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{self as lines, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::log_file::{Limits, LogFile};
use crate::config::{LogConfig, LogLevel};

type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;
type Shape = Box<dyn Layer<Filtered> + Send + Sync>;

/// The queue's thread: it ends when this is taken away, after it has written what is still queued.
static QUEUE: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The running log.
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    shape: reload::Handle<Shape, Filtered>,
    writer: NonBlocking,
    next: Arc<Mutex<Option<Sink>>>,
    in_force: Mutex<LogConfig>,
}

/// Writes what is still queued, before the process ends: nothing is logged after it.
pub fn finish() {
    drop(QUEUE.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Log {
    /// Starts the log. Libraries say only what went wrong; this crate says what the settings ask for.
    ///
    /// # Errors
    /// When the log file cannot be written, or a log was started before.
    pub fn start(config: &LogConfig) -> Result<Self> {
        let (next, dropped) = (Arc::default(), Arc::default());
        let output = Output::new(Sink::of(config)?, Arc::clone(&next), Arc::clone(&dropped));
        let queue = NonBlockingBuilder::default()
            .buffered_lines_limit(config.max_queue_size)
            .thread_name("log");
        let (writer, guard) = queue.finish(output);
        *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        let _ = dropped.set(writer.error_counter());
        let (filter, handle) = reload::Layer::new(targets(config));
        let (shape, shape_handle) = reload::Layer::new(shape(config, writer.clone()));
        tracing_subscriber::registry().with(filter).with(shape).try_init()?;
        let in_force = Mutex::new(config.clone());
        Ok(Self { filter: handle, shape: shape_handle, writer, next, in_force })
    }

    /// Puts other settings in force, without losing a line.
    ///
    /// # Errors
    /// When the new log file cannot be written: then everything stays as it was.
    pub fn change(&self, config: &LogConfig) -> Result<()> {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_force == *config {
            return Ok(());
        }
        let sink = Sink::of(config)?;
        self.filter.reload(targets(config))?;
        self.shape.reload(shape(config, self.writer.clone()))?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        *in_force = config.clone();
        Ok(())
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}

fn targets(config: &LogConfig) -> Targets {
    let own = level(config.level);
    let targets = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("pgbaton", own)
        // What the server itself says.
        .with_target("postgres", own);
    let single = config.loggers.iter();
    targets.with_targets(single.map(|(name, one)| (name.replace('.', "::"), level(*one))))
}

fn shape(config: &LogConfig, writer: NonBlocking) -> Shape {
    if config.json {
        let constant = constant_fields(&config.static_fields);
        let json = Format::default().json().flatten_event(true).with_current_span(false);
        let format = WithConstants { json: json.with_span_list(false), constant };
        let layer = lines::layer().fmt_fields(JsonFields::new()).event_format(format);
        return layer.with_writer(writer).boxed();
    }
    let ansi = config.dir.is_none() && io::stderr().is_terminal();
    lines::layer().with_target(false).with_ansi(ansi).with_writer(writer).boxed()
}

/// The constant fields as they stand in each line, with a comma behind each.
fn constant_fields(fields: &Map<String, Value>) -> String {
    let sorted: BTreeMap<_, _> = fields.iter().collect();
    let texts =
        sorted.iter().map(|(name, value)| format!("{}:{value},", Value::from(name.as_str())));
    texts.collect()
}

/// JSON lines that begin with fields which are the same in each.
struct WithConstants {
    json: Format<Json>,
    constant: String,
}

impl<S, N> FormatEvent<S, N> for WithConstants
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.json.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{{}{rest}", self.constant),
            None => writer.write_str(&line),
        }
    }
}

/// Where the lines end up.
enum Sink {
    Stderr,
    File(LogFile),
}

impl Sink {
    fn of(config: &LogConfig) -> Result<Self> {
        let Some(dir) = &config.dir else { return Ok(Self::Stderr) };
        let limits =
            Limits { size_bytes: config.file_size_bytes, kept: config.file_num, mode: config.mode };
        Ok(Self::File(LogFile::open(dir, limits).with_context(|| no_log_file(dir))?))
    }
}

fn no_log_file(dir: &Path) -> String {
    format!(
        "log.dir: no log file can be written in {}; expected an existing directory that this user \
         may write to",
        dir.display()
    )
}

/// The thread's end of the queue.
struct Output {
    sink: Sink,
    next: Arc<Mutex<Option<Sink>>>,
    dropped: Arc<OnceLock<ErrorCounter>>,
    dropped_told: usize,
}

impl Output {
    fn new(
        sink: Sink,
        next: Arc<Mutex<Option<Sink>>>,
        dropped: Arc<OnceLock<ErrorCounter>>,
    ) -> Self {
        Self { sink, next, dropped, dropped_told: 0 }
    }

    /// Says how many lines found the queue full. That line goes through the queue, too.
    fn tell_what_was_dropped(&mut self) {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > self.dropped_told {
            tracing::warn!(lines = dropped - self.dropped_told, "the log could not keep up");
            self.dropped_told = dropped;
        }
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tell_what_was_dropped();
        if let Some(next) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.sink = next;
        }
        let written = match &mut self.sink {
            Sink::Stderr => return io::stderr().write_all(line).map(|()| line.len()),
            Sink::File(file) => file.write_all(line),
        };
        if let Err(error) = written {
            // A full volume must not silence the agent.
            let mut stderr = io::stderr();
            writeln!(stderr, "the log file cannot be written ({error}); its line was:")?;
            stderr.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stderr => io::stderr().flush(),
            Sink::File(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log with these settings writes for one line of ours and one of the server's.
    fn logged(config: LogConfig) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { dir: Some(dir.path().to_owned()), ..config };
        let sink = Sink::of(&config).unwrap();
        let (writer, queue) = NonBlocking::new(Output::new(sink, Arc::default(), Arc::default()));
        let (filter, _) = reload::Layer::new(targets(&config));
        let (shape, _) = reload::Layer::new(shape(&config, writer));
        let subscriber = tracing_subscriber::registry().with(filter).with(shape);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "pgbaton::agent", decision = "lead", "decided");
            tracing::info!(target: "postgres", "LOG:  checkpoint starting");
        });
        drop(queue);
        let text = std::fs::read_to_string(dir.path().join("patroni.log")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn json_lines_begin_with_the_constant_fields() {
        let fields = [("site", Value::from("a\"b")), ("rack", 7.into())];
        let static_fields = fields.map(|(name, value)| (name.to_owned(), value)).into_iter();
        let written = logged(LogConfig {
            json: true,
            static_fields: static_fields.collect(),
            ..LogConfig::default()
        });
        let line: Value = serde_json::from_str(&written[0]).unwrap();
        assert_eq!(line["site"], "a\"b");
        assert_eq!(line["rack"], 7);
        assert_eq!(line["decision"], "lead");
        assert_eq!(line["message"], "decided");
        assert!(written[0].starts_with("{\"rack\":7,\"site\":"), "{}", written[0]);
    }

    #[test]
    fn a_single_logger_has_a_level_of_its_own() {
        let both = logged(LogConfig::default());
        assert_eq!(both.len(), 2, "{both:?}");
        let loggers = [("postgres".to_owned(), LogLevel::Error)].into();
        let quiet = logged(LogConfig { loggers, ..LogConfig::default() });
        assert_eq!(quiet.len(), 1, "{quiet:?}");
        let loggers = [("pgbaton.agent".to_owned(), LogLevel::Error)].into();
        let quiet = logged(LogConfig { loggers, ..LogConfig::default() });
        assert!(quiet.len() == 1 && quiet[0].contains("checkpoint"), "{quiet:?}");
    }

    #[test]
    fn the_place_can_be_changed_under_way() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let of = |dir: &tempfile::TempDir| {
            Sink::of(&LogConfig { dir: Some(dir.path().to_owned()), ..LogConfig::default() })
                .unwrap()
        };
        let next = Arc::new(Mutex::new(None));
        let mut output = Output::new(of(&first), Arc::clone(&next), Arc::default());
        output.write_all(b"one\n").unwrap();
        *next.lock().unwrap() = Some(of(&second));
        output.write_all(b"two\n").unwrap();
        let read =
            |dir: &tempfile::TempDir| std::fs::read_to_string(dir.path().join("patroni.log"));
        assert_eq!(read(&first).unwrap(), "one\n");
        assert_eq!(read(&second).unwrap(), "two\n");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let config = LogConfig { dir: Some("/nowhere/at/all".into()), ..LogConfig::default() };
        let error = format!("{:#}", Sink::of(&config).err().unwrap());
        assert!(
            error.contains("log.dir: no log file can be written in /nowhere/at/all"),
            "{error}"
        );
    }
}
