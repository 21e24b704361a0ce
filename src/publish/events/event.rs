//! One event: what happened, as it stands in memory, on disk and on the wire.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A text that is longer is cut: one event must not fill the ring.
const TEXT_LENGTH_MAX: usize = 1500;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The agent itself.
    Agent,
    /// A decision came into force.
    Decision,
    /// Something that was decided was done, or failed.
    Step,
    /// What the server was found doing.
    Server,
    /// This member's own lease.
    Lease,
    /// What this member read of the leader in the store.
    Leader,
    /// The server was promoted.
    Promotion,
    /// What the guardian did.
    Guardian,
    /// What this member gave up of its own log.
    Loss,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 9] = [
        EventKind::Agent,
        EventKind::Decision,
        EventKind::Step,
        EventKind::Server,
        EventKind::Lease,
        EventKind::Leader,
        EventKind::Promotion,
        EventKind::Guardian,
        EventKind::Loss,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Agent => "agent",
            EventKind::Decision => "decision",
            EventKind::Step => "step",
            EventKind::Server => "server",
            EventKind::Lease => "lease",
            EventKind::Leader => "leader",
            EventKind::Promotion => "promotion",
            EventKind::Guardian => "guardian",
            EventKind::Loss => "loss",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place among this member's events.
    pub seq: u64,
    /// When, for people.
    #[serde(default)]
    pub at: String,
    /// When, Unix time in microseconds.
    pub at_micros: i64,
    /// What it is about.
    pub kind: EventKind,
    /// The word for what happened, of a fixed set.
    pub what: String,
    /// What is particular to this time, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What mattered.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// The steps that a decision asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// How long it took; for a decision, for how long the one before was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The how many-th of its like in a row this is, where not each was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl Event {
    /// An event that has no place yet.
    pub fn new(at_micros: i64, kind: EventKind, what: impl Into<String>) -> Self {
        Self {
            seq: 0,
            at: String::new(),
            at_micros,
            kind,
            what: what.into(),
            detail: String::new(),
            facts: Map::new(),
            effects: Vec::new(),
            seconds: None,
            error: None,
            times: None,
        }
    }

    /// The same, with something for people.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same, with a fact.
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The same, having taken so long.
    pub fn took(mut self, took: Duration) -> Self {
        self.seconds = Some((took.as_secs_f64() * 1e6).round() / 1e6);
        self
    }

    /// The same, failed if there is an error.
    pub fn failed(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// Gives it its place, and bounds its texts.
    pub(super) fn placed(mut self, seq: u64) -> Self {
        self.seq = seq;
        self.at = Timestamp::from_microsecond(self.at_micros)
            .map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
            .unwrap_or_default();
        for text in [&mut self.detail].into_iter().chain(self.error.as_mut()) {
            if text.len() > TEXT_LENGTH_MAX {
                let fits = |at: &usize| text.is_char_boundary(*at);
                text.truncate((0..=TEXT_LENGTH_MAX).rev().find(fits).unwrap_or(0));
                text.push_str(" ...");
            }
        }
        self
    }
}
