//! The documents about the whole cluster: `/cluster` and `/history`. They say what was last read of
//! the store; nothing is asked for them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, HistoryEntry, Member, MemberState};
use crate::config::{Dynamic, HostPort, SynchronousMode};
use crate::dcs::codec::{replication_state_text, state_text};
use crate::values::{Lsn, MemberName};

use super::shown::is_same_name;

/// PostgreSQL's own port, where a URL has none.
const POSTGRESQL_PORT: u16 = 5432;

/// The `/cluster` document.
pub fn cluster_document(cluster: &Cluster, dynamic: &Dynamic, scope: &str) -> Value {
    let describe = |member| member_document(member, cluster, dynamic);
    let mut document = Map::new();
    document.insert("members".into(), cluster.each_member().map(describe).collect());
    if dynamic.pause {
        document.insert("pause".into(), true.into());
    }
    if let Some(request) = cluster.pending_request()
        && let Some(at) = &request.scheduled_at
    {
        let mut scheduled = Map::from_iter([("at".to_owned(), Value::from(at.as_str()))]);
        let mut put = |key: &str, name: &Option<MemberName>| {
            if let Some(name) = name {
                scheduled.insert(key.to_owned(), name.as_str().into());
            }
        };
        put("from", &request.leader);
        put("to", &request.candidate);
        document.insert("scheduled_switchover".into(), scheduled.into());
    }
    document.insert("scope".into(), scope.into());
    Value::Object(document)
}

fn member_document(member: &Member, cluster: &Cluster, dynamic: &Dynamic) -> Value {
    let role = member_role(member, cluster, dynamic);
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("name", member.name.as_str().into());
    put("role", role.into());
    put("state", member_state(member, role).into());
    put("api_url", member.api_url.clone().into());
    if let Some(address) = member.conn_url.as_deref().and_then(address) {
        put("host", address.host.into());
        put("port", address.port.into());
    }
    if let Some(timeline) = member.timeline {
        put("timeline", timeline.0.into());
    }
    for name in ["pending_restart", "pending_restart_reason", "scheduled_restart"] {
        if let Some(value) = member.other.get(name) {
            put(name, value.clone());
        }
    }
    if !member.tags.is_empty() {
        put("tags", Value::Object(member.tags.clone()));
    }
    if !is_leader(member, cluster) {
        let positions = [
            ("receive_lsn", "receive_lag", member.receive_lsn),
            ("replay_lsn", "replay_lag", member.replay_lsn),
            ("lsn", "lag", member.xlog_location),
        ];
        for (lsn_name, lag_name, lsn) in positions {
            let (lsn, lag) = position(lsn, cluster.optime.unwrap_or_default());
            put(lsn_name, lsn);
            put(lag_name, lag);
        }
    }
    Value::Object(document)
}

fn is_leader(member: &Member, cluster: &Cluster) -> bool {
    cluster.leader.as_ref().is_some_and(|leader| leader.value == member.name)
}

fn member_role(member: &Member, cluster: &Cluster, dynamic: &Dynamic) -> &'static str {
    if is_leader(member, cluster) {
        return if dynamic.is_standby_cluster() { "standby_leader" } else { "leader" };
    }
    let is_listed = cluster.sync.as_ref().is_some_and(|sync| {
        let names = &sync.value.standbys;
        sync.value.leader.is_some() && names.iter().any(|name| is_same_name(name, &member.name))
    });
    match dynamic.synchronous_mode {
        SynchronousMode::On if is_listed => "sync_standby",
        SynchronousMode::Quorum if is_listed => "quorum_standby",
        SynchronousMode::On | SynchronousMode::Quorum | SynchronousMode::Off => "replica",
    }
}

/// How a member gets its log, else what its server does. A word that is not known here is passed on.
fn member_state(member: &Member, role: &str) -> String {
    let word = |name: &str| member.other.get(name).and_then(Value::as_str).map(str::to_owned);
    let replication = member.replication_state.map(|one| replication_state_text(one).to_owned());
    let replication = replication.or_else(|| word("replication_state"));
    let state = word("state").unwrap_or_else(|| match member.state {
        MemberState::Unknown => String::new(),
        known => state_text(known).to_owned(),
    });
    replication.filter(|_| role != "leader").unwrap_or(state)
}

/// A position as text, and how far it is behind; both `unknown` where nothing is known.
fn position(lsn: Option<Lsn>, optime: Lsn) -> (Value, Value) {
    match lsn.and_then(Lsn::known) {
        Some(lsn) => (lsn.to_string().into(), lsn.bytes_behind(optime).into()),
        None => ("unknown".into(), "unknown".into()),
    }
}

/// The address in a `postgres://[user[:password]@]host[:port][/database]`.
fn address(url: &str) -> Option<HostPort> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    HostPort::parse_or(authority, POSTGRESQL_PORT).ok()
}

/// The `/history` document.
pub fn history_document(entries: &[HistoryEntry]) -> Value {
    entries
        .iter()
        .map(|entry| {
            let mut fields = vec![json!(entry.timeline), json!(entry.lsn.0), json!(entry.reason)];
            if let Some(timestamp) = &entry.timestamp {
                fields.push(json!(timestamp));
                fields.extend(entry.new_leader.iter().map(|name| json!(name.as_str())));
            }
            Value::Array(fields)
        })
        .collect()
}

/// The `/failsafe` document.
pub fn failsafe_document(members: &BTreeMap<MemberName, String>) -> Value {
    let field = |(name, url): (&MemberName, &String)| (name.to_string(), url.clone().into());
    Value::Object(members.iter().map(field).collect())
}
