//! What a member says of itself.

use crate::values::{Lsn, MemberName, Timeline};

/// The version of Patroni whose keys, REST and metrics are kept. Published as a member's version:
/// Patroni's own agents compare it, and read only dotted integers.
pub const COMPATIBLE_VERSION: &str = "4.1.5";

/// The field of ours in a member's record that says why it should not be chosen.
pub const UNFIT: &str = "pgbaton_unfit";

/// A member's own record, as Patroni's `members/<name>` key holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The member's name: the last part of the key.
    pub name: MemberName,
    /// `postgres://host:port/database`; `None` in a record without it.
    pub conn_url: Option<String>,
    /// `http://host:port/patroni`; `None` in a record without it.
    pub api_url: Option<String>,
    /// What its server is doing.
    pub state: MemberState,
    /// Which part its server plays.
    pub role: Role,
    /// The version of its agent.
    pub version: Option<String>,
    /// Flush position of a primary; the further of received and replayed of a standby.
    pub xlog_location: Option<Lsn>,
    /// Received by a standby.
    pub receive_lsn: Option<Lsn>,
    /// Replayed by a standby.
    pub replay_lsn: Option<Lsn>,
    /// How a standby gets its log.
    pub replication_state: Option<ReplicationState>,
    /// The timeline its server is on.
    pub timeline: Option<Timeline>,
    /// The leader's checkpoint after its promotion is still to be done: do not rewind from it yet.
    pub awaits_checkpoint: bool,
    /// Published tags.
    pub tags: serde_json::Map<String, serde_json::Value>,
    /// Fields that are passed on as they are (`pending_restart`, `scheduled_restart`, ...).
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Member {
    /// Whether the member says it may lead: neither `nofailover` nor a priority of zero.
    pub fn may_lead(&self) -> bool {
        match self.tags.get("nofailover") {
            Some(tag) => !truthy(tag),
            None => self.failover_priority() > 0,
        }
    }

    /// Why the member says that it should not be chosen, if it does.
    pub fn unfit(&self) -> Option<&str> {
        self.other.get(UNFIT)?.as_str()
    }

    /// Whether base backups are better made from it than from the leader (`clonefrom`).
    pub fn is_source_of_copies(&self) -> bool {
        self.tags.get("clonefrom").is_some_and(truthy)
    }

    /// The member it is to stream from instead of the leader (`replicatefrom`).
    pub fn replicatefrom(&self) -> Option<&str> {
        self.tags.get("replicatefrom")?.as_str().filter(|name| !name.is_empty())
    }

    /// Whether it streams from nobody (`nostream`).
    pub fn is_fed_from_the_archive(&self) -> bool {
        self.tags.get("nostream").is_some_and(truthy)
    }

    /// The member's `failover_priority`; 1 where it says nothing.
    pub fn failover_priority(&self) -> i64 {
        self.tags.get("failover_priority").and_then(serde_json::Value::as_i64).unwrap_or(1)
    }
}

fn truthy(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Bool(yes) => *yes,
        serde_json::Value::Null => false,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(fields) => !fields.is_empty(),
    }
}

/// What a member's server is doing, in Patroni's words (see its state index in the metrics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// `initdb` runs.
    InitializingNewCluster,
    /// `initdb` failed.
    InitdbFailed,
    /// The first copy of the leader's data is being made.
    CreatingReplica,
    /// The server answers.
    Running,
    /// The server was started and does not answer yet.
    Starting,
    /// The server did not come up.
    StartFailed,
    /// The server is being restarted.
    Restarting,
    /// The server is being stopped.
    Stopping,
    /// The server was stopped on purpose.
    Stopped,
    /// The server ended by itself.
    Crashed,
    /// A record without a state, or with one that is not known here.
    Unknown,
}

/// Which part a member's server plays, in Patroni's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// Follows.
    Replica,
    /// Was a primary and was taken down.
    Demoted,
    /// Holds the leader key and is being promoted.
    Promoted,
    /// Leads a standby cluster.
    StandbyLeader,
    /// Has no data yet.
    Uninitialized,
}

/// How a standby gets its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationState {
    /// From its upstream.
    Streaming,
    /// From an archive.
    InArchiveRecovery,
}
