//! The spelling of a member's record, `members/<name>`. Patroni's agents write such records too, so
//! reading keeps what it can and names what it could not use.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::json;
use crate::cluster::{Member, MemberState, ReplicationState, Role};
use crate::values::{Lsn, MemberName, Timeline};

const STATES: &[(&str, MemberState)] = &[
    ("initializing new cluster", MemberState::InitializingNewCluster),
    ("initdb failed", MemberState::InitdbFailed),
    ("creating replica", MemberState::CreatingReplica),
    ("running", MemberState::Running),
    ("starting", MemberState::Starting),
    ("start failed", MemberState::StartFailed),
    ("restarting", MemberState::Restarting),
    ("stopping", MemberState::Stopping),
    ("stopped", MemberState::Stopped),
    ("crashed", MemberState::Crashed),
    ("unknown", MemberState::Unknown),
];

/// The first spelling of a role is the one that is written; `master` is that of old agents.
const ROLES: &[(&str, Role)] = &[
    ("primary", Role::Primary),
    ("replica", Role::Replica),
    ("demoted", Role::Demoted),
    ("promoted", Role::Promoted),
    ("standby_leader", Role::StandbyLeader),
    ("uninitialized", Role::Uninitialized),
    ("master", Role::Primary),
];

const REPLICATION_STATES: &[(&str, ReplicationState)] = &[
    ("streaming", ReplicationState::Streaming),
    ("in archive recovery", ReplicationState::InArchiveRecovery),
];

/// Patroni's text of a state.
pub fn state_text(state: MemberState) -> &'static str {
    text_of(STATES, state)
}

/// Patroni's text of a role.
pub fn role_text(role: Role) -> &'static str {
    text_of(ROLES, role)
}

/// Patroni's text of a replication state.
pub fn replication_state_text(state: ReplicationState) -> &'static str {
    text_of(REPLICATION_STATES, state)
}

fn text_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    let row = table.iter().find(|(_, one)| *one == value);
    row.expect("every value has a row in its table").0
}

fn value_of<T: Copy>(table: &[(&str, T)], text: &str) -> Option<T> {
    table.iter().find(|(one, _)| *one == text).map(|(_, value)| *value)
}

/// Spells a member's record, its fields in Patroni's order.
pub fn member(member: &Member) -> Bytes {
    let mut fields = Map::new();
    let mut other = member.other.clone();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let lsn = |position: Option<Lsn>| position.map(|lsn| Value::from(lsn.0));
    put("conn_url", member.conn_url.clone().map(Value::from));
    put("api_url", member.api_url.clone().map(Value::from));
    put("state", Some(other.shift_remove("state").unwrap_or(state_text(member.state).into())));
    put("role", Some(other.shift_remove("role").unwrap_or(role_text(member.role).into())));
    put("version", member.version.clone().map(Value::from));
    put("proxy_url", other.shift_remove("proxy_url"));
    put("checkpoint_after_promote", member.awaits_checkpoint.then_some(Value::Bool(false)));
    put("tags", (!member.tags.is_empty()).then(|| Value::Object(member.tags.clone())));
    put("pending_restart", other.shift_remove("pending_restart"));
    put("pending_restart_reason", other.shift_remove("pending_restart_reason"));
    put("xlog_location", lsn(member.xlog_location));
    put("replay_lsn", lsn(member.replay_lsn.and_then(Lsn::known)));
    put("receive_lsn", lsn(member.receive_lsn.and_then(Lsn::known)));
    let replication = member.replication_state.map(replication_state_text).map(Value::from);
    put("replication_state", other.shift_remove("replication_state").or(replication));
    put("timeline", member.timeline.filter(|known| known.0 != 0).map(|one| one.0.into()));
    for (name, value) in other {
        put(&name, Some(value));
    }
    json::to_bytes(&fields)
}

/// Reads a member's record, with what was wrong about it.
pub(super) fn read_member(name: MemberName, bytes: &[u8]) -> (Member, Vec<String>) {
    let mut record = Record::default();
    match json::fields(bytes, |name, value| record.put(name, value)) {
        Ok(()) => {}
        Err(_) if bytes.starts_with(b"postgres") => record = legacy_record(bytes),
        Err(error) => record = Record { wrong: vec![ignored(&error)], ..Record::default() },
    }
    let member = Member {
        name,
        conn_url: record.text("conn_url"),
        api_url: record.text("api_url"),
        state: record.word("state", STATES).unwrap_or(MemberState::Unknown),
        role: record.word("role", ROLES).unwrap_or(Role::Uninitialized),
        version: record.text("version"),
        xlog_location: record.number("xlog_location").map(Lsn),
        receive_lsn: record.number("receive_lsn").map(Lsn),
        replay_lsn: record.number("replay_lsn").map(Lsn),
        replication_state: record.word("replication_state", REPLICATION_STATES),
        timeline: record.timeline(),
        awaits_checkpoint: record.take("checkpoint_after_promote") == Some(Value::Bool(false)),
        tags: record.tags(),
        other: record.other,
    };
    (member, record.wrong)
}

fn ignored(what: &str) -> String {
    format!("{what}: taken as an empty record")
}

fn type_of(value: &Value) -> &'static str {
    json::type_name(value)
}

/// The fields that an agent reads.
const KNOWN: [&str; 12] = [
    "conn_url",
    "api_url",
    "state",
    "role",
    "version",
    "xlog_location",
    "receive_lsn",
    "replay_lsn",
    "replication_state",
    "timeline",
    "checkpoint_after_promote",
    "tags",
];

/// What is left of a record while it is read: fields that nobody takes are passed on. Every member's record
/// is read again with each of its positions, so the known ones have their places.
#[derive(Default)]
struct Record {
    known: [Option<Value>; KNOWN.len()],
    other: Map<String, Value>,
    wrong: Vec<String>,
}

impl Record {
    /// A field that is there twice counts as it is there last.
    fn put(&mut self, name: &str, value: Value) {
        match KNOWN.iter().position(|known| *known == name) {
            Some(at) => self.known[at] = Some(value),
            None => drop(self.other.insert(name.to_owned(), value)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = KNOWN.iter().position(|known| *known == name).expect("a known field");
        self.known[at].take().filter(|value| !value.is_null())
    }

    fn reject(&mut self, name: &str, value: &Value, expected: &str) {
        self.wrong.push(format!("{name} is {}, not {expected}: ignored", type_of(value)));
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                self.reject(name, &other, "a text");
                None
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        if value.as_u64().is_none() {
            self.reject(name, &value, "a whole number from 0");
        }
        value.as_u64()
    }

    fn timeline(&mut self) -> Option<Timeline> {
        let number = self.number("timeline")?;
        let id = u32::try_from(number).ok().filter(|id| *id != 0);
        if id.is_none() && number != 0 {
            self.wrong.push(format!("timeline {number} is no timeline's id: ignored"));
        }
        id.map(Timeline)
    }

    /// A word of a table. One that is not there is passed on as it is.
    fn word<T: Copy>(&mut self, name: &str, table: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let value = value_of(table, &text);
        if value.is_none() {
            self.other.insert(name.to_owned(), Value::String(text));
        }
        value
    }

    fn tags(&mut self) -> Map<String, Value> {
        match self.take("tags") {
            None => Map::new(),
            Some(Value::Object(tags)) => tags,
            Some(other) => {
                self.reject("tags", &other, "an object");
                Map::new()
            }
        }
    }
}

/// The oldest spelling: the connection URL, with the REST URL as its `application_name`.
fn legacy_record(bytes: &[u8]) -> Record {
    let text = String::from_utf8_lossy(bytes);
    let (conn_url, query) = text.split_once('?').unwrap_or((&text, ""));
    let mut record = Record::default();
    record.put("conn_url", conn_url.into());
    let parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    for (_, value) in parameters.filter(|(name, _)| *name == "application_name") {
        record.put("api_url", percent_decoded(value).into());
    }
    record
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|_| *first == b'%')?;
            u8::from_str_radix(digits, 16).ok()
        });
        decoded.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Member, Vec<String>) {
        read_member("pg-a".into(), text.as_bytes())
    }

    #[test]
    fn a_record_that_is_not_json_is_an_empty_one_with_a_warning() {
        for text in ["", "{", "7", "[]", "nonsense"] {
            let (member, wrong) = read(text);
            assert_eq!(member.conn_url, None, "{text}");
            assert_eq!(member.state, MemberState::Unknown, "{text}");
            assert!(wrong[0].ends_with("taken as an empty record"), "{text}: {wrong:?}");
        }
        assert_eq!(read("{}").1, Vec::<String>::new());
    }

    #[test]
    fn a_field_of_a_wrong_type_does_not_spoil_the_others() {
        let (member, wrong) = read(r#"{"api_url":7,"timeline":-1,"state":"running","tags":[]}"#);
        assert_eq!(member.state, MemberState::Running);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }

    #[test]
    fn of_two_fields_of_one_name_the_last_counts_and_null_is_none() {
        let (member, wrong) = read(r#"{"version":"1","version":"2","api_url":"u","api_url":null}"#);
        assert_eq!((member.version.as_deref(), member.api_url), (Some("2"), None));
        assert!(wrong.is_empty() && member.other.is_empty(), "{wrong:?}");
    }

    #[test]
    fn nothing_is_taken_from_a_record_that_breaks_off() {
        let (member, wrong) = read(r#"{"state":"running","mine":1,"#);
        assert_eq!((member.state, member.other.len()), (MemberState::Unknown, 0));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
    }

    #[test]
    fn the_oldest_spelling_is_read() {
        let (member, wrong) = read(
            "postgres://10.1.0.7:5432/postgres?application_name=http%3A%2F%2F10.1.0.7:8008/patroni",
        );
        assert_eq!(member.conn_url.as_deref(), Some("postgres://10.1.0.7:5432/postgres"));
        assert_eq!(member.api_url.as_deref(), Some("http://10.1.0.7:8008/patroni"));
        assert!(wrong.is_empty());
    }

    #[test]
    fn words_that_are_not_known_here_are_passed_on() {
        let text = r#"{"state":"stop failed","role":"master"}"#;
        let (read, wrong) = read(text);
        assert_eq!((read.state, read.role), (MemberState::Unknown, Role::Primary));
        assert!(wrong.is_empty());
        assert_eq!(member(&read), r#"{"state":"stop failed","role":"primary"}"#);
    }
}
