//! What a run is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::schedule::Schedule;
use super::target::Target;

/// What each write does, and how it can be told afterwards whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A row of its own for each write: each acknowledged row has to be there.
    Insert,
    /// Each write adds one to one counter: it has to equal the acknowledged increments.
    Counter,
    /// Each write sets one of some keys to a higher version: none may fall back.
    Kv,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Insert => "insert",
            Mode::Counter => "counter",
            Mode::Kv => "kv",
        })
    }
}

/// A run, as the library is asked for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where writes go.
    pub write: Target,
    /// Where reads go.
    pub read: Target,
    /// Authority by which servers have to prove their names; `None` believes them.
    pub tls_authority: Option<PathBuf>,
    /// Writes a second.
    pub writes_per_second: f64,
    /// Reads a second.
    pub reads_per_second: f64,
    /// How many connections write, and how many read.
    pub clients: usize,
    /// When no further request is due; `None` goes on until it is told to stop.
    pub duration: Option<Duration>,
    /// What writes do.
    pub mode: Mode,
    /// How many keys `kv` has.
    pub keys: u64,
    /// Bytes that each write carries.
    pub payload_bytes: usize,
    /// A request that has no answer so long after it was due is given up.
    pub timeout: Duration,
    /// The table, with its schema if it has one.
    pub table: String,
    /// Whether the table stays where this run has made it.
    pub keep_table: bool,
    /// Whether what was acknowledged is looked for at the end.
    pub verify: bool,
    /// How long the verification may wait for somebody to answer.
    pub verify_within: Duration,
    /// What the nodes are called, by address and port; others are shown by these.
    pub names: BTreeMap<String, String>,
}

impl Settings {
    /// A run against these, with everything else as is usual.
    pub fn usual(write: Target, read: Target) -> Self {
        Self {
            write,
            read,
            tls_authority: None,
            writes_per_second: 50.0,
            reads_per_second: 50.0,
            clients: 8,
            duration: None,
            mode: Mode::Insert,
            keys: 100,
            payload_bytes: 100,
            timeout: Duration::from_secs(10),
            table: "pgbaton_traffic".to_owned(),
            keep_table: false,
            verify: true,
            verify_within: Duration::from_secs(60),
            names: BTreeMap::new(),
        }
    }

    /// When writes are due.
    pub fn writes(&self) -> Schedule {
        Schedule::of_rate(self.writes_per_second)
    }

    /// When reads are due.
    pub fn reads(&self) -> Schedule {
        Schedule::of_rate(self.reads_per_second)
    }
}
