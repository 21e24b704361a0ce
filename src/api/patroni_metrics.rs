//! Patroni's metrics: names, types, order and values as Patroni 4.1.5 has them.

use crate::cluster::COMPATIBLE_VERSION;
use crate::publish::{Family, Kind};
use crate::values::Lsn;

use super::shown::Shown;
use super::time::unix_seconds;

/// One of Patroni's metrics, and how its value is read; `None` where it is not emitted.
pub struct Metric {
    /// Name, type and meaning.
    pub family: Family,
    value: fn(&Shown<'_>) -> Option<String>,
}

type Value = fn(&Shown<'_>) -> Option<String>;

const fn gauge(name: &'static str, help: &'static str, value: Value) -> Metric {
    Metric { family: Family { name, kind: Kind::Gauge, labels: &[], help }, value }
}

const fn counter(name: &'static str, help: &'static str, value: Value) -> Metric {
    Metric { family: Family { name, kind: Kind::Counter, labels: &[], help }, value }
}

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[
    gauge("patroni_version", "Version of Patroni that is kept to, without its dots.", |_| {
        Some(version_number())
    }),
    gauge("patroni_postgres_running", "1 while PostgreSQL runs.", |at| flag(at.is_running())),
    gauge(
        "patroni_postmaster_start_time",
        "Unix time at which the postmaster started, 0 if it does not run.",
        |at| seconds(at.status.look.started_at_micros.filter(|_| at.answers())),
    ),
    gauge("patroni_primary", "1 while this node's server is a primary.", |at| {
        flag(at.role() == "primary")
    }),
    counter("patroni_xlog_location", "WAL position of a primary in bytes, else 0.", |at| {
        position(at.primary().map(|facts| facts.position.lsn))
    }),
    gauge("patroni_standby_leader", "1 while this node leads a standby cluster.", |at| {
        flag(at.role() == "standby_leader")
    }),
    gauge("patroni_replica", "1 while this node's server is a replica.", |at| {
        flag(at.role() == "replica")
    }),
    gauge("patroni_sync_standby", "1 while this node is a synchronous standby.", |at| {
        flag(at.is_sync_standby())
    }),
    gauge("patroni_quorum_standby", "1 while this node is a quorum standby.", |at| {
        flag(at.is_quorum_standby())
    }),
    counter(
        "patroni_xlog_received_location",
        "WAL position received by a replica in bytes, else 0.",
        |at| position(at.received()),
    ),
    counter(
        "patroni_xlog_replayed_location",
        "WAL position replayed by a replica in bytes, else 0.",
        |at| position(at.replayed()),
    ),
    gauge(
        "patroni_xlog_replayed_timestamp",
        "Unix time of the last commit that a replica replayed, else 0.",
        |at| seconds(at.standby().and_then(|facts| facts.replayed_at_micros)),
    ),
    gauge("patroni_xlog_paused", "1 while replay is paused.", |at| {
        flag(at.standby().is_some_and(|facts| facts.replay_paused))
    }),
    gauge("patroni_postgres_streaming", "1 while this node streams.", |at| {
        flag(at.is_streaming()).filter(|_| at.answers())
    }),
    // No fact about an archive is read yet: it is never said that one is replayed.
    gauge(
        "patroni_postgres_in_archive_recovery",
        "1 while this node replays from an archive (not told apart yet: 0).",
        |at| flag(false).filter(|_| at.answers()),
    ),
    gauge(
        "patroni_postgres_server_version",
        "Version of PostgreSQL, 0 if it does not run.",
        |at| number(at.status.look.version.filter(|_| at.answers()).map(u64::from)),
    ),
    gauge("patroni_cluster_unlocked", "1 while nobody is known to hold the leader key.", |at| {
        flag(at.is_unlocked())
    }),
    gauge(
        "patroni_failsafe_mode_is_active",
        "1 while the members carry the lease in the store's place.",
        |at| flag(at.status.is_in_failsafe(at.now)),
    ),
    gauge("patroni_postgres_timeline", "Timeline of the server, 0 if it does not run.", |at| {
        number(at.timeline().map(|timeline| u64::from(timeline.0)))
    }),
    gauge("patroni_dcs_last_seen", "Unix time of the store's last answer.", |at| {
        Some(at.status.store_last_seen.to_string())
    }),
    gauge("patroni_pending_restart", "1 while a setting waits for a restart.", |at| {
        flag(!at.status.look.pending_restart.is_empty())
    }),
    gauge("patroni_is_paused", "1 while automatic failover is switched off.", |at| {
        flag(at.status.dynamic.pause)
    }),
    gauge(STATE, "State of PostgreSQL as a number.", |at| {
        let index = STATES.iter().position(|(_, text)| *text == at.state());
        Some(index.map_or_else(|| "-1".to_owned(), |index| index.to_string()))
    }),
];

/// The metric that has a comment of its own.
const STATE: &str = "patroni_postgres_state";

impl Metric {
    /// Its value at one moment. Two metrics have none while the server does not answer.
    pub fn value(&self, shown: &Shown<'_>) -> Option<String> {
        (self.value)(shown)
    }

    /// The comment of its own: what the numbers mean.
    pub fn note(&self) -> Option<String> {
        let values = || {
            let values = STATES.iter().enumerate();
            values.map(|(index, (name, _))| format!("{index}={name}")).collect::<Vec<_>>()
        };
        (self.family.name == STATE).then(|| format!("Values: {}", values().join(", ")))
    }
}

fn flag(yes: bool) -> Option<String> {
    Some(u8::from(yes).to_string())
}

fn number(number: Option<u64>) -> Option<String> {
    Some(number.unwrap_or(0).to_string())
}

fn position(lsn: Option<Lsn>) -> Option<String> {
    number(lsn.map(|lsn| lsn.0))
}

fn seconds(unix_micros: Option<i64>) -> Option<String> {
    Some(unix_micros.map_or(0.0, unix_seconds).to_string())
}

/// The states by their index: name, and text in the JSON documents.
pub const STATES: [(&str, &str); 15] = [
    ("initdb", "initializing new cluster"),
    ("initdb_failed", "initdb failed"),
    ("custom_bootstrap", "running custom bootstrap script"),
    ("custom_bootstrap_failed", "custom bootstrap failed"),
    ("creating_replica", "creating replica"),
    ("running", "running"),
    ("starting", "starting"),
    ("bootstrap_starting", "starting after custom bootstrap"),
    ("start_failed", "start failed"),
    ("restarting", "restarting"),
    ("restart_failed", "restart failed"),
    ("stopping", "stopping"),
    ("stopped", "stopped"),
    ("stop_failed", "stop failed"),
    ("crashed", "crashed"),
];

/// Each part of the version padded to two digits, without dots.
fn version_number() -> String {
    COMPATIBLE_VERSION.split('.').map(|part| format!("{part:0>2}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_keeps_its_leading_zero() {
        assert_eq!(version_number(), "040105");
    }
}
