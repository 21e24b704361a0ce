//! The settings that the whole cluster shares, read from the JSON document in the store. What does
//! not fit together is adjusted, and each adjustment is said.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::scalar_rules::{Unit, parse_bool, parse_int};
use super::slots::{self, PermanentSlot, SlotMatcher};
use super::timing::{self, Timing};

/// The cluster-wide settings in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynamic {
    /// How long a silent leader keeps its key.
    pub ttl: Duration,
    /// The slow tick of the agent's loop.
    pub loop_wait: Duration,
    /// Bound of every store or database call that is not a renewal.
    pub retry_timeout: Duration,
    /// A standby further behind the last known position of the leader does not take over, in bytes.
    pub maximum_lag_on_failover: u64,
    /// A synchronous standby further behind is replaced, in bytes; `None`: never.
    pub maximum_lag_on_syncnode: Option<u64>,
    /// How many entries of the timeline history are kept; 0 means all.
    pub max_timelines_history: usize,
    /// How long a crashed primary may take to start before it hands over; zero: at once.
    pub primary_start_timeout: Duration,
    /// How long a primary may be hung or its disk stalled before it is replaced; zero: it never is.
    pub primary_stall_timeout: Duration,
    /// In synchronous mode, how long a stop may take before the server is killed; `None`: for ever.
    pub primary_stop_timeout: Option<Duration>,
    /// Whether a member must be on the last known timeline to take over.
    pub check_timeline: bool,
    /// Whether a primary goes on while the store is away and all members answer.
    pub failsafe_mode: bool,
    /// Whether the agents manage synchronous replication.
    pub synchronous_mode: SynchronousMode,
    /// Whether synchronous replication stays on without any standby.
    pub synchronous_mode_strict: bool,
    /// How many synchronous standbys there are.
    pub synchronous_node_count: usize,
    /// How long the slots of vanished members are kept; zero: not at all.
    pub member_slots_ttl: Duration,
    /// Whether the agents only watch.
    pub pause: bool,
    /// Permanent replication slots.
    pub slots: Vec<PermanentSlot>,
    /// Descriptions of slots that are never dropped.
    pub ignore_slots: Vec<SlotMatcher>,
    /// Where this cluster replicates from, when it is a standby cluster.
    pub standby_cluster: Option<Map<String, Value>>,
    /// The shared part of the `postgresql` section, as it was given.
    pub postgresql: Map<String, Value>,
}

/// A server or a disk that is only slow answers within this.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How synchronous replication is managed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynchronousMode {
    /// Not at all.
    #[default]
    Off,
    /// By a list of standbys.
    On,
    /// By a quorum of standbys.
    Quorum,
}

/// Which smallest values apply to the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floors {
    /// Ours: one second each.
    Own,
    /// Patroni's (`ttl` 20, `retry_timeout` 3), while one of its agents is a member.
    Patroni,
}

/// A value that is not in force as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Dotted path of the setting.
    pub key: String,
    /// What is in force instead, and why.
    pub message: String,
}

impl Adjustment {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Why a document as a whole is not applied; what was in force before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document is no mapping.
    #[error("the dynamic configuration is {0}, not a JSON object")]
    NotAnObject(&'static str),
    /// One of the times is no whole number of seconds.
    #[error("{key}: expected a whole number of seconds, found {found}")]
    Time {
        /// Which of the three.
        key: &'static str,
        /// What stands there.
        found: String,
    },
}

impl Default for Dynamic {
    fn default() -> Self {
        let empty = Reader { document: &Map::new(), adjustments: Vec::new() };
        empty.read(Timing::DEFAULT).0
    }
}

impl Dynamic {
    /// Reads a document. The second value says what is in force otherwise than it was given.
    ///
    /// # Errors
    /// When it is no object, or `ttl`, `loop_wait` or `retry_timeout` is no whole number: then the
    /// document as a whole does not count.
    pub fn from_document(
        document: &Value,
        floors: Floors,
    ) -> Result<(Self, Vec<Adjustment>), DocumentError> {
        let Value::Object(document) = document else {
            return Err(DocumentError::NotAnObject(kind_of(document)));
        };
        let (timing, adjustments) = timing::read(document, floors)?;
        Ok(Reader { document, adjustments }.read(timing))
    }

    /// Whether the agents say whom commits wait for.
    pub fn manages_synchronous_standbys(&self) -> bool {
        self.synchronous_mode != SynchronousMode::Off && !self.is_standby_cluster()
    }

    /// Whether this cluster replicates from another one.
    pub fn is_standby_cluster(&self) -> bool {
        self.standby_cluster.is_some()
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Reads one key after the other, and notes what falls back to its default.
struct Reader<'a> {
    document: &'a Map<String, Value>,
    adjustments: Vec<Adjustment>,
}

impl Reader<'_> {
    fn read(mut self, timing: Timing) -> (Dynamic, Vec<Adjustment>) {
        let start_timeout = ["primary_start_timeout", "master_start_timeout"];
        let stop_timeout = ["primary_stop_timeout", "master_stop_timeout"];
        let dynamic = Dynamic {
            ttl: timing.ttl,
            loop_wait: timing.loop_wait,
            retry_timeout: timing.retry_timeout,
            maximum_lag_on_failover: self.number(&["maximum_lag_on_failover"], Unit::None, 1 << 20),
            maximum_lag_on_syncnode: self.maximum_lag_on_syncnode(),
            max_timelines_history: self.count("max_timelines_history", 0),
            primary_start_timeout: Duration::from_secs(self.number(
                &start_timeout,
                Unit::Seconds,
                300,
            )),
            primary_stall_timeout: self.primary_stall_timeout(),
            primary_stop_timeout: Some(self.number(&stop_timeout, Unit::Seconds, 0))
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            check_timeline: self.switch("check_timeline"),
            failsafe_mode: self.switch("failsafe_mode"),
            synchronous_mode: self.synchronous_mode(),
            synchronous_mode_strict: self.switch("synchronous_mode_strict"),
            synchronous_node_count: self.count("synchronous_node_count", 1),
            member_slots_ttl: Duration::from_secs(self.number(
                &["member_slots_ttl"],
                Unit::Seconds,
                1800,
            )),
            pause: self.switch("pause"),
            slots: self.slots(),
            ignore_slots: self.ignore_slots(),
            standby_cluster: self.standby_cluster(),
            postgresql: self.mapping("postgresql"),
        };
        (dynamic, self.adjustments)
    }

    /// The value of the first of `names` that is there and not null.
    fn value(&self, names: &[&str]) -> Option<(String, Value)> {
        names.iter().find_map(|name| {
            let value = self.document.get(*name).filter(|value| !value.is_null())?;
            Some(((*name).to_owned(), value.clone()))
        })
    }

    fn fell_back(&mut self, key: &str, expected: &str, found: &Value, used: impl fmt::Display) {
        let message = format!("expected {expected}, found {found}: {used} is in force");
        self.adjustments.push(Adjustment::new(key, message));
    }

    fn number(&mut self, names: &[&str], unit: Unit, default: u64) -> u64 {
        let Some((key, value)) = self.value(names) else { return default };
        let number = parse_int(&value, unit).and_then(|number| u64::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.fell_back(&key, expected_number(unit), &value, default);
            default
        })
    }

    /// Ours alone, so below `pgbaton`.
    fn primary_stall_timeout(&mut self) -> Duration {
        let key = "pgbaton.primary_stall_timeout";
        let own = self.mapping("pgbaton");
        let given = own.get("primary_stall_timeout").filter(|value| !value.is_null());
        let Some(value) = given else { return STALL_TIMEOUT };
        let seconds = parse_int(value, Unit::Seconds).and_then(|number| u64::try_from(number).ok());
        seconds.map_or_else(
            || {
                let used = STALL_TIMEOUT.as_secs();
                self.fell_back(key, expected_number(Unit::Seconds), value, used);
                STALL_TIMEOUT
            },
            Duration::from_secs,
        )
    }

    fn count(&mut self, name: &str, default: usize) -> usize {
        usize::try_from(self.number(&[name], Unit::None, default as u64)).unwrap_or(usize::MAX)
    }

    fn switch(&mut self, name: &str) -> bool {
        let Some((key, value)) = self.value(&[name]) else { return false };
        parse_bool(&value).unwrap_or_else(|| {
            self.fell_back(&key, "on or off", &value, "off");
            false
        })
    }

    fn synchronous_mode(&mut self) -> SynchronousMode {
        let Some((key, value)) = self.value(&["synchronous_mode"]) else {
            return SynchronousMode::Off;
        };
        if value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("quorum")) {
            return SynchronousMode::Quorum;
        }
        match parse_bool(&value) {
            Some(true) => SynchronousMode::On,
            Some(false) => SynchronousMode::Off,
            None => {
                self.fell_back(&key, "on, off or quorum", &value, "off");
                SynchronousMode::Off
            }
        }
    }

    fn maximum_lag_on_syncnode(&mut self) -> Option<u64> {
        let (key, value) = self.value(&["maximum_lag_on_syncnode"])?;
        let Some(bytes) = parse_int(&value, Unit::None) else {
            self.fell_back(&key, "a whole number of bytes", &value, "-1 (never)");
            return None;
        };
        u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
    }

    fn mapping(&mut self, name: &str) -> Map<String, Value> {
        match self.value(&[name]) {
            None => Map::new(),
            Some((_, Value::Object(entries))) => entries,
            Some((key, other)) => {
                self.fell_back(&key, "a mapping", &other, "none of it");
                Map::new()
            }
        }
    }

    fn slots(&mut self) -> Vec<PermanentSlot> {
        let names = ["permanent_replication_slots", "permanent_slots", "slots"];
        let name = names.into_iter().find(|name| self.value(&[name]).is_some());
        let Some(name) = name else { return Vec::new() };
        let entries = self.mapping(name);
        slots::permanent(name, &entries, &mut self.adjustments)
    }

    fn ignore_slots(&mut self) -> Vec<SlotMatcher> {
        match self.value(&["ignore_slots"]) {
            None => Vec::new(),
            Some((_, Value::Array(entries))) => slots::ignored(&entries, &mut self.adjustments),
            Some((key, other)) => {
                self.fell_back(&key, "a list", &other, "none of it");
                Vec::new()
            }
        }
    }

    /// The section counts as soon as it says where from.
    fn standby_cluster(&mut self) -> Option<Map<String, Value>> {
        let section = self.mapping("standby_cluster");
        let says = |name: &&str| section.get(*name).is_some_and(is_said);
        ["host", "port", "restore_command"].iter().any(says).then_some(section)
    }
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        other => other != &Value::Bool(false),
    }
}

fn expected_number(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "a whole number, not negative and without a unit",
        Unit::Seconds => "a duration, not negative, such as 300 or 5min",
        Unit::Mebibytes | Unit::Bytes => "a size, not negative, such as 128MB",
    }
}

#[cfg(test)]
#[path = "dynamic_tests.rs"]
pub(super) mod tests;
