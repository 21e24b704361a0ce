//! The arguments of `pgbaton traffic`, and what they mean together.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::settings::{Mode, Settings};
use super::target::{READ_PORT, Target, TargetError, WRITE_PORT};

const HELP: &str = "\
Requests are due at a constant rate, whatever became of those before, and latency counts from when a
request was due: an outage shows in it as long as it was. A request waits for a connection until its
--timeout is over. A write that was sent and not answered is unknown, and never sent again.

At the end every acknowledged write is looked for. The exit code is 1 if one is missing or the
verification was not possible, 2 if the arguments make no sense, else 0. Ctrl-C ends a run early,
with its report; a second one ends it at once, without.

What a connection string leaves out comes from PGUSER, PGPASSWORD and PGDATABASE.

Examples:
  pgbaton traffic --duration 1m                through HAProxy on this machine
  pgbaton traffic --write postgresql://app:pw@10.0.0.5:5000/shop \\
                  --read  postgresql://app:pw@10.0.0.5:5001/shop --rate 500
  pgbaton traffic --mode counter --html run.html \\
                  --write 'host=pg-a,pg-b,pg-c user=app target_session_attrs=read-write' \\
                  --read  'host=pg-a,pg-b,pg-c user=app load_balance_hosts=random'";

/// The arguments of `pgbaton traffic`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub struct TrafficArgs {
    /// Where writes go: a URL or key=value pairs [default: port 5000 of localhost].
    #[arg(short, long, value_name = "CONNINFO", hide_env_values = true, env = "PGBATON_WRITE")]
    write: Option<String>,
    /// Where reads go [default: where writes go if that is given, else port 5001 of localhost].
    #[arg(
        short = 'R',
        long,
        value_name = "CONNINFO",
        hide_env_values = true,
        env = "PGBATON_READ"
    )]
    read: Option<String>,
    /// Verify the servers' certificates and names by these authorities (PEM), where TLS is spoken.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Requests a second, reads and writes together.
    #[arg(short, long, default_value_t = 100.0, value_parser = positive)]
    rate: f64,
    /// How many of a hundred requests are reads.
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    reads: u8,
    /// Connections that write, and as many that read.
    #[arg(short, long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// How long requests come due, as in 30s, 5m or 1h; without it until Ctrl-C.
    #[arg(short, long, value_parser = duration)]
    duration: Option<Duration>,
    /// What a write does.
    #[arg(short, long, value_enum, default_value_t = Mode::Insert)]
    mode: Mode,
    /// With --mode kv: how many keys there are.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    keys: u64,
    /// Bytes that each write of insert and kv carries.
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    payload: u32,
    /// How long a request may take from when it was due.
    #[arg(short, long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// The table, made if it is not there; it may have a schema.
    #[arg(long, value_name = "NAME", default_value = "pgbaton_traffic")]
    table: String,
    /// Keep the table at the end. It is kept anyway if it was there before or a row is missing.
    #[arg(long)]
    keep_table: bool,
    /// Look at the end for all that was acknowledged: done unless --no-verify is given.
    #[arg(long, overrides_with = "no_verify")]
    verify: bool,
    /// Do not look for what was acknowledged.
    #[arg(long, overrides_with = "verify")]
    no_verify: bool,
    /// How long the verification may wait for an answer.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    verify_within: Duration,
    /// Print the report as JSON on standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// Also write the report as an HTML page with a picture of the run over time.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// How often a line of progress is printed; 0 never.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(super) progress: Duration,
    /// Print nothing but the report.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Arguments that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// A connection string.
    #[error("{option}: {source}")]
    Target {
        /// Which.
        option: &'static str,
        /// What is wrong.
        source: TargetError,
    },
    /// Together they make no sense.
    #[error("{0}")]
    Together(&'static str),
}

impl TrafficArgs {
    /// What they mean.
    ///
    /// # Errors
    /// When a connection string cannot be read, or they make no sense together.
    pub fn settings(&self) -> Result<Settings, ArgsError> {
        let target = |option, text: &Option<String>| {
            let parse = |text: &String| Target::parse(text);
            let parsed = text.as_ref().map(parse).transpose();
            parsed.map_err(|source| ArgsError::Target { option, source })
        };
        let (write, read) = (target("--write", &self.write)?, target("--read", &self.read)?);
        if write.is_none() && read.is_some() && self.reads < 100 {
            let what = "--read without --write: say where writes go, or ask for --reads 100";
            return Err(ArgsError::Together(what));
        }
        if self.timeout.is_zero() {
            return Err(ArgsError::Together("--timeout 0: no request could be answered in time"));
        }
        if self.duration.is_some_and(|duration| duration.is_zero()) {
            return Err(ArgsError::Together("--duration 0: no request would be due"));
        }
        let read = read.or_else(|| write.clone()).unwrap_or_else(|| Target::local(READ_PORT));
        let write = write.unwrap_or_else(|| Target::local(WRITE_PORT));
        let reads_per_second = self.rate * f64::from(self.reads) / 100.0;
        Ok(Settings {
            tls_authority: self.tls_ca.clone(),
            writes_per_second: self.rate - reads_per_second,
            reads_per_second,
            clients: self.clients.into(),
            duration: self.duration,
            mode: self.mode,
            keys: self.keys,
            payload_bytes: usize::try_from(self.payload).unwrap_or(usize::MAX),
            timeout: self.timeout,
            table: self.table.clone(),
            keep_table: self.keep_table,
            verify: !self.no_verify,
            verify_within: self.verify_within,
            ..Settings::usual(write, read)
        })
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1_000_000.0 => Ok(rate),
        _ => Err("expected requests a second, more than 0 and at most 1000000".to_owned()),
    }
}

/// `30s`, `5m`, `1h 30m`, `250ms`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no length of time; expected 30s, 5m, 1h or 250ms");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| expected());
    }
    let signed: SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrafficArgs,
    }

    fn parse(line: &str) -> Result<TrafficArgs, String> {
        let words = std::iter::once("traffic").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    fn settings(line: &str) -> Settings {
        parse(line).unwrap().settings().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn without_arguments_both_ports_of_this_machine_are_used() {
        let settings = settings("");
        assert_eq!(settings.write.to_string(), "localhost:5000");
        assert_eq!(settings.read.to_string(), "localhost:5001");
        assert!(settings.verify && settings.duration.is_none());
        assert!((settings.writes_per_second - 50.0).abs() < 1e-9);
    }

    #[test]
    fn reads_go_where_writes_go_if_only_that_is_given() {
        let settings = settings("--write host=pg-a --rate 200 --reads 75 --no-verify");
        assert_eq!(settings.read.to_string(), "pg-a:5432");
        assert!((settings.reads_per_second - 150.0).abs() < 1e-9);
        assert!(!settings.verify);
    }

    #[test]
    fn a_length_of_time_has_a_unit_or_counts_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["soon", "-1s", "-1", "5 parsecs", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_was_expected() {
        for (line, said) in [
            ("--rate 0", "more than 0"),
            ("--rate many", "requests a second"),
            ("--reads 101", "101"),
            ("--mode delete", "insert"),
            ("--clients 0", "0"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
        for (line, said) in [
            ("--write nonsense", "--write"),
            ("--read host=pg-b", "--reads 100"),
            ("--timeout 0", "--timeout"),
            ("--duration 0s", "--duration"),
        ] {
            let error = parse(line).unwrap().settings().unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
