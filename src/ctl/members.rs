//! What a cluster's members look like to people: roles as the leader key, `/sync` and `/config` make
//! them, states, positions and lags. How it is laid out is not known here.

use hyper::Uri;
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Member, MemberState};
use crate::config::{Dynamic, Floors, SynchronousMode};
use crate::dcs::codec::{replication_state_text, state_text};
use crate::values::{Lsn, MemberName};

/// Where the port of PostgreSQL goes without saying.
const POSTGRESQL_PORT: u16 = 5432;
const LEADER: &str = "Leader";
const STANDBY_LEADER: &str = "Standby Leader";

/// One member as it is shown. Texts are empty where there is nothing to say.
#[derive(Clone, Debug)]
pub(super) struct MemberRow {
    pub(super) name: String,
    /// Its PostgreSQL host, with the port where any member needs one.
    pub(super) host: String,
    pub(super) role: &'static str,
    pub(super) state: String,
    pub(super) timeline: Option<u32>,
    pub(super) received: Position,
    pub(super) replayed: Position,
    pub(super) pending_restart: bool,
    /// One `setting: old->new` each.
    pub(super) pending_reasons: Vec<String>,
    pub(super) scheduled_restart: String,
    /// Why it is not chosen as a leader, as far as that is about itself.
    pub(super) unfit: String,
    pub(super) tags: Map<String, Value>,
}

/// A standby's position and how far it lies behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// The position, or `unknown`; empty for the leader.
    pub(super) lsn: String,
    pub(super) lag_mb: Option<u64>,
}

impl MemberRow {
    pub(super) fn is_leader(&self) -> bool {
        [LEADER, STANDBY_LEADER].contains(&self.role)
    }
}

/// The cluster's dynamic configuration; the defaults where it has none that can be used.
pub(super) fn dynamic(cluster: &Cluster) -> Dynamic {
    let document = cluster.config.as_ref().map(|config| &config.value);
    let read = document.and_then(|value| Dynamic::from_document(value, Floors::Own).ok());
    read.map(|(dynamic, _)| dynamic).unwrap_or_default()
}

/// The members by name.
pub(super) fn rows(cluster: &Cluster) -> Vec<MemberRow> {
    let dynamic = dynamic(cluster);
    let mut rows: Vec<MemberRow> =
        cluster.each_member().map(|member| row(cluster, &dynamic, member)).collect();
    let addresses: Vec<Option<(String, u16)>> = cluster.each_member().map(address_of).collect();
    let hosts = || addresses.iter().flatten().map(|(host, _)| host);
    let is_shared = |host: &String| hosts().filter(|one| *one == host).count() > 1;
    let has_ports = addresses.iter().flatten().any(|(_, port)| *port != POSTGRESQL_PORT)
        || hosts().any(is_shared);
    for (row, address) in rows.iter_mut().zip(addresses) {
        row.host = match address {
            Some((host, port)) if has_ports => format!("{host}:{port}"),
            Some((host, _)) => host,
            None => String::new(),
        };
    }
    rows
}

/// Host (an IPv6 address without brackets) and port of a member's server.
pub(super) fn address_of(member: &Member) -> Option<(String, u16)> {
    let url: Uri = member.conn_url.as_deref()?.parse().ok()?;
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_u16().unwrap_or(POSTGRESQL_PORT))).filter(|(host, _)| !host.is_empty())
}

/// Names in `/sync` compare without case.
pub(super) fn is_listed_in_sync(cluster: &Cluster, name: &MemberName) -> bool {
    let listed = |one: &MemberName| one.as_str().to_lowercase() == name.as_str().to_lowercase();
    cluster.sync.as_ref().is_some_and(|sync| {
        let leader = sync.value.leader.as_ref();
        leader.is_some_and(|leader| listed(leader) || sync.value.standbys.iter().any(listed))
    })
}

fn row(cluster: &Cluster, dynamic: &Dynamic, member: &Member) -> MemberRow {
    let role = role(cluster, dynamic, &member.name);
    let is_leader = [LEADER, STANDBY_LEADER].contains(&role);
    let (received, replayed) = if is_leader {
        (Position::default(), Position::default())
    } else {
        positions(cluster.optime, member)
    };
    MemberRow {
        name: member.name.to_string(),
        host: String::new(),
        role,
        state: state(member, role),
        timeline: member.timeline.map(|timeline| timeline.0),
        received,
        replayed,
        pending_restart: member.other.get("pending_restart").is_some_and(is_truthy),
        pending_reasons: pending_reasons(member),
        scheduled_restart: scheduled_restart(member),
        unfit: unfit(member),
        tags: member.tags.clone(),
    }
}

fn role(cluster: &Cluster, dynamic: &Dynamic, name: &MemberName) -> &'static str {
    let is_leader = cluster.leader.as_ref().is_some_and(|leader| leader.value == *name);
    if is_leader {
        return if dynamic.is_standby_cluster() { STANDBY_LEADER } else { LEADER };
    }
    let is_listed = !dynamic.is_standby_cluster() && is_listed_in_sync(cluster, name);
    match dynamic.synchronous_mode {
        SynchronousMode::On if is_listed => "Sync Standby",
        SynchronousMode::Quorum if is_listed => "Quorum Standby",
        SynchronousMode::Off | SynchronousMode::On | SynchronousMode::Quorum => "Replica",
    }
}

fn state(member: &Member, role: &str) -> String {
    let raw = |name: &str| member.other.get(name).and_then(Value::as_str).map(str::to_owned);
    let replication = member.replication_state.map(replication_state_text).map(str::to_owned);
    match replication.or_else(|| raw("replication_state")) {
        Some(replication) if role != LEADER => replication,
        _ if member.state == MemberState::Unknown => raw("state").unwrap_or_default(),
        _ => state_text(member.state).to_owned(),
    }
}

/// Received and replayed. Agents before Patroni 4.1 publish one position only, which is the one that
/// their replication state makes it.
fn positions(optime: Option<Lsn>, member: &Member) -> (Position, Position) {
    let (mut received, mut replayed) = (known(member.receive_lsn), known(member.replay_lsn));
    if received.is_none() && replayed.is_none() {
        let only = known(member.xlog_location);
        match member.replication_state {
            Some(crate::cluster::ReplicationState::Streaming) => received = only,
            Some(crate::cluster::ReplicationState::InArchiveRecovery) | None => replayed = only,
        }
    }
    (position(optime, received), position(optime, replayed))
}

fn known(lsn: Option<Lsn>) -> Option<Lsn> {
    lsn.and_then(Lsn::known)
}

fn position(optime: Option<Lsn>, lsn: Option<Lsn>) -> Position {
    let Some(lsn) = lsn else {
        return Position { lsn: "unknown".to_owned(), lag_mb: None };
    };
    let behind = optime.and_then(Lsn::known).map(|end| lsn.bytes_behind(end));
    Position { lsn: lsn.to_string(), lag_mb: behind.map(megabytes) }
}

/// Whole MB, halves to the even one.
fn megabytes(bytes: u64) -> u64 {
    let (whole, rest) = (bytes >> 20, bytes & 0xF_FFFF);
    let is_up = rest > 0x8_0000 || (rest == 0x8_0000 && whole % 2 == 1);
    whole + u64::from(is_up)
}

fn unfit(member: &Member) -> String {
    member.unfit().unwrap_or_default().to_owned()
}

fn is_truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn pending_reasons(member: &Member) -> Vec<String> {
    let Some(Value::Object(reasons)) = member.other.get("pending_restart_reason") else {
        return Vec::new();
    };
    let value = |reason: &Value, name: &str| match reason.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let line = |(setting, reason): (&String, &Value)| {
        format!("{setting}: {}->{}", value(reason, "old_value"), value(reason, "new_value"))
    };
    reasons.iter().map(line).collect()
}

fn scheduled_restart(member: &Member) -> String {
    let Some(scheduled) = member.other.get("scheduled_restart") else { return String::new() };
    let text = |name: &str| scheduled.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("postgres_version") {
        "" => text("schedule").to_owned(),
        version => format!("{} if version < {version}", text("schedule")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_megabyte_goes_to_the_even_one() {
        let half = 1 << 19;
        for (bytes, shown) in [
            (0, 0),
            (half, 0),
            (half + 1, 1),
            (3 * half, 2),
            (5 * half, 2),
            (224 << 20, 224),
            (u64::MAX, 1 << 44),
        ] {
            assert_eq!(megabytes(bytes), shown, "{bytes}");
        }
    }
}
