//! The spellings of Patroni's keys, members' records excepted. Patroni and its tools write them too:
//! the older spellings that they still read are read here.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json;
use crate::cluster::{HistoryEntry, Initialize, Request, SyncState};
use crate::values::{Lsn, MemberName, SystemId};

/// Identifiers of data directories have at least so many digits.
const SYSTEM_ID_DIGITS_MIN: usize = 10;

/// Spells the `leader` key.
pub fn leader(name: &MemberName) -> Bytes {
    Bytes::copy_from_slice(name.as_str().as_bytes())
}

pub(super) fn read_leader(bytes: &[u8]) -> Result<MemberName, String> {
    match std::str::from_utf8(bytes) {
        Ok("") => Err("empty, not a member's name".to_owned()),
        Ok(name) => Ok(name.into()),
        Err(error) => Err(format!("not a text ({error})")),
    }
}

/// Spells the `initialize` key.
pub fn initialize(state: Initialize) -> Bytes {
    match state {
        Initialize::Claimed => Bytes::new(),
        Initialize::Done(id) => id.to_string().into(),
    }
}

pub(super) fn read_initialize(bytes: &[u8]) -> Result<Initialize, String> {
    if bytes.is_empty() {
        return Ok(Initialize::Claimed);
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let is_id = text.len() >= SYSTEM_ID_DIGITS_MIN && text.bytes().all(|one| one.is_ascii_digit());
    let id = text.parse().ok().filter(|_| is_id).map(SystemId);
    id.map(Initialize::Done).ok_or_else(|| "not a system identifier in decimal".to_owned())
}

/// Spells the `config` key.
pub fn config(value: &Value) -> Bytes {
    json::to_bytes(value)
}

pub(super) fn read_config(bytes: &[u8]) -> Result<Value, String> {
    match json::any(bytes)? {
        config @ Value::Object(_) => Ok(config),
        other => Err(format!("{}, not an object", json::type_name(&other))),
    }
}

/// Spells the `status` key; slots are left out where there are none.
pub fn status(optime: Lsn, slots: &BTreeMap<String, Lsn>, retained: &[String]) -> Bytes {
    #[derive(Serialize)]
    struct Status<'a> {
        optime: u64,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        slots: BTreeMap<&'a str, u64>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        retain_slots: &'a [String],
    }
    let slots = slots.iter().map(|(name, lsn)| (name.as_str(), lsn.0)).collect();
    json::to_bytes(&Status { optime: optime.0, slots, retain_slots: retained })
}

/// What the `status` key says.
#[derive(Debug, Default)]
pub(super) struct StatusRead {
    pub optime: Option<Lsn>,
    pub slots: BTreeMap<String, Lsn>,
    pub retained: Vec<String>,
}

/// Reads `status`, which was a bare number once, and `optime/leader`, which is one. The slots may be
/// JSON in a text; what is none of theirs is left out.
pub(super) fn read_status(bytes: &[u8]) -> Result<StatusRead, String> {
    let value = json::any(bytes)?;
    let mut read = StatusRead::default();
    let optime = match &value {
        Value::Object(fields) => {
            let unfolded = |name: &str| match fields.get(name) {
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
                Some(other) => other.clone(),
                None => Value::Null,
            };
            if let Value::Object(slots) = unfolded("slots") {
                let slots = slots.into_iter();
                read.slots =
                    slots.filter_map(|(name, lsn)| Some((name, Lsn(lsn.as_u64()?)))).collect();
            }
            if let Value::Array(names) = unfolded("retain_slots") {
                read.retained = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            }
            fields.get("optime").unwrap_or(&Value::Null)
        }
        other => other,
    };
    read.optime = match optime {
        Value::Null => None,
        Value::Number(number) if number.as_u64().is_some() => number.as_u64().map(Lsn),
        other => {
            let found = json::type_name(other);
            return Err(format!("its position is {found}, not a whole number"));
        }
    };
    Ok(read)
}

/// Spells the `failover` key; no request is written as `{}`, the key is never deleted.
pub fn request(request: Option<&Request>) -> Bytes {
    #[derive(Default, Serialize)]
    struct Failover<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        leader: Option<&'a MemberName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        member: Option<&'a MemberName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scheduled_at: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        accept_loss: bool,
    }
    json::to_bytes(&request.map_or(Failover::default(), |request| Failover {
        leader: request.leader.as_ref(),
        member: request.candidate.as_ref(),
        scheduled_at: request.scheduled_at.as_deref(),
        accept_loss: request.accepts_loss,
    }))
}

pub(super) fn read_request(bytes: &[u8]) -> Result<Option<Request>, String> {
    let fields = match json::any(bytes) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(format!("{}, not an object", json::type_name(&other))),
        Err(_) if bytes.is_empty() => return Ok(None),
        Err(error) => return legacy_request(bytes).ok_or(error).map(Some),
    };
    let request = Request {
        leader: text(&fields, "leader")?.map(MemberName::from),
        candidate: text(&fields, "member")?.map(MemberName::from),
        scheduled_at: text(&fields, "scheduled_at")?,
        accepts_loss: match fields.get("accept_loss") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(accepts)) => *accepts,
            Some(other) => {
                return Err(format!(
                    "accept_loss is {}, not true or false",
                    json::type_name(other)
                ));
            }
        },
    };
    Ok(Some(request).filter(|one| one.leader.is_some() || one.candidate.is_some()))
}

/// The older spelling, `leader:candidate`, where either may be empty. A name alone is not read as a
/// request: whatever else is no JSON would be one.
fn legacy_request(bytes: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with(['{', '[', '"']))?;
    let (leader, candidate) = text.split_once(':')?;
    let name = |part: &str| Some(part.trim()).filter(|part| !part.is_empty()).map(MemberName::from);
    let (leader, candidate) = (name(leader), name(candidate));
    let request = Request { leader, candidate, scheduled_at: None, accepts_loss: false };
    Some(request).filter(|one| one.leader.is_some() || one.candidate.is_some())
}

/// A text that is there and not empty.
fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(format!("{name} is {}, not a text", json::type_name(other))),
    }
}

/// Spells the `history` key.
pub fn history(entries: &[HistoryEntry]) -> Bytes {
    let spelled = |entry: &HistoryEntry| {
        let mut fields = vec![
            Value::from(entry.timeline),
            Value::from(entry.lsn.0),
            Value::from(entry.reason.as_str()),
        ];
        if let Some(timestamp) = &entry.timestamp {
            fields.push(Value::from(timestamp.as_str()));
            fields.extend(entry.new_leader.as_ref().map(|name| Value::from(name.as_str())));
        }
        Value::Array(fields)
    };
    json::to_bytes(&entries.iter().map(spelled).collect::<Vec<_>>())
}

pub(super) fn read_history(bytes: &[u8]) -> Result<Vec<HistoryEntry>, String> {
    let Value::Array(entries) = json::any(bytes)? else {
        return Err("not a list".to_owned());
    };
    let entry = |(index, entry): (usize, &Value)| {
        history_entry(entry).ok_or_else(|| {
            let expected = "[timeline, position, reason, timestamp, new leader]";
            format!("entry {} is not {expected}", index + 1)
        })
    };
    entries.iter().enumerate().map(entry).collect()
}

fn history_entry(entry: &Value) -> Option<HistoryEntry> {
    let fields = entry.as_array()?;
    let text = |index: usize| fields.get(index).and_then(Value::as_str).map(str::to_owned);
    Some(HistoryEntry {
        timeline: fields.first()?.as_u64()?.try_into().ok()?,
        lsn: Lsn(fields.get(1)?.as_u64()?),
        reason: text(2)?,
        timestamp: text(3),
        new_leader: text(4).map(MemberName::from),
    })
}

/// Spells the `sync` key.
pub fn sync(state: &SyncState) -> Bytes {
    #[derive(Serialize)]
    struct Sync<'a> {
        leader: Option<&'a MemberName>,
        quorum: u32,
        sync_standby: Option<String>,
    }
    let mut names: Vec<&str> = state.standbys.iter().map(MemberName::as_str).collect();
    names.sort_unstable();
    let sync_standby = (!names.is_empty()).then(|| names.join(","));
    json::to_bytes(&Sync { leader: state.leader.as_ref(), quorum: state.quorum, sync_standby })
}

pub(super) fn read_sync(bytes: &[u8]) -> Result<SyncState, String> {
    let Value::Object(fields) = json::any(bytes)? else {
        return Err("not an object".to_owned());
    };
    let Some(leader) = text(&fields, "leader")? else {
        return Ok(SyncState::default());
    };
    let standbys = text(&fields, "sync_standby")?.unwrap_or_default();
    let standbys = standbys.split(',').map(str::trim).filter(|name| !name.is_empty());
    let quorum = match fields.get("quorum") {
        None | Some(Value::Null) => Some(0),
        Some(number) => number.as_u64().and_then(|number| number.try_into().ok()),
    };
    Ok(SyncState {
        leader: Some(leader.into()),
        standbys: standbys.map(MemberName::from).collect(),
        quorum: quorum.ok_or("quorum is not a small whole number")?,
    })
}

/// Spells the `failsafe` key.
pub fn failsafe(members: &BTreeMap<MemberName, String>) -> Bytes {
    json::to_bytes(members)
}

pub(super) fn read_failsafe(bytes: &[u8]) -> Result<BTreeMap<MemberName, String>, String> {
    json::from_bytes(bytes).map_err(|error| format!("not an object of REST URLs ({error})"))
}
