//! The spellings of our own keys: the lease, its guard, presences, the record of promotions, the
//! outcome of a request. Only agents of ours write them, so reading is strict.

use bytes::Bytes;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json;
use crate::cluster::{
    Baton, BatonState, Guard, Lineage, Outcome, Presence, Promotion, PromotionState, Recovered,
};
use crate::values::{Incarnation, Lsn, MemberName, Revision, Term, Timeline, WalPosition};

/// A 64-bit number as 16 lower-case hexadecimal digits: JSON readers may round larger integers.
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_digit = |letter: u8| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            let expected = "16 lower-case hexadecimal digits";
            return Err(D::Error::custom(format!("{text:?} is not {expected}")));
        }
        u64::from_str_radix(&text, 16).map(Hex).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateText {
    Held,
    Offered,
    Released,
}

#[derive(Serialize, Deserialize)]
struct BatonRecord {
    term: Term,
    incarnation: Hex,
    holder: MemberName,
    sequence: u64,
    nonce: Hex,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    timeline: Option<Timeline>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lsn: Option<u64>,
    #[serde(default)]
    ttl_ms: u64,
    state: StateText,
}

/// Spells the `baton` key.
pub fn baton(baton: &Baton) -> Bytes {
    json::to_bytes(&BatonRecord {
        term: baton.term,
        incarnation: Hex(baton.incarnation.0),
        holder: baton.holder.clone(),
        sequence: baton.sequence,
        nonce: Hex(baton.nonce),
        timeline: baton.position.map(|position| position.timeline),
        lsn: baton.position.map(|position| position.lsn.0),
        ttl_ms: u64::try_from(baton.ttl.as_millis()).unwrap_or(u64::MAX),
        state: match baton.state {
            BatonState::Held => StateText::Held,
            BatonState::Offered => StateText::Offered,
            BatonState::Released => StateText::Released,
        },
    })
}

pub(super) fn read_baton(bytes: &[u8]) -> Result<Baton, String> {
    let record: BatonRecord = json::from_bytes(bytes)?;
    if record.holder.as_str().is_empty() {
        return Err("holder is empty".to_owned());
    }
    let position = match (record.timeline, record.lsn) {
        (Some(timeline), Some(lsn)) => Some(WalPosition { timeline, lsn: Lsn(lsn) }),
        (None, None) => None,
        _ => return Err("timeline and lsn are not both there".to_owned()),
    };
    Ok(Baton {
        term: record.term,
        incarnation: Incarnation(record.incarnation.0),
        holder: record.holder,
        sequence: record.sequence,
        nonce: record.nonce.0,
        position,
        ttl: Duration::from_millis(record.ttl_ms),
        state: match record.state {
            StateText::Held => BatonState::Held,
            StateText::Offered => BatonState::Offered,
            StateText::Released => BatonState::Released,
        },
    })
}

#[derive(Serialize, Deserialize)]
struct GuardRecord {
    term: Term,
    incarnation: Hex,
}

/// Spells the `baton_guard` key. One guard has one spelling: transactions compare the bytes.
pub fn guard(guard: &Guard) -> Bytes {
    json::to_bytes(&GuardRecord { term: guard.term, incarnation: Hex(guard.incarnation.0) })
}

pub(super) fn read_guard(bytes: &[u8]) -> Result<Guard, String> {
    let record: GuardRecord = json::from_bytes(bytes)?;
    let read = Guard { term: record.term, incarnation: Incarnation(record.incarnation.0) };
    if guard(&read) != bytes {
        return Err("not in the one spelling that transactions compare".to_owned());
    }
    Ok(read)
}

#[derive(Serialize, Deserialize)]
struct ClaimRecord {
    incarnation: Hex,
}

/// Spells the `claim` key.
pub fn claim(incarnation: Incarnation) -> Bytes {
    json::to_bytes(&ClaimRecord { incarnation: Hex(incarnation.0) })
}

pub(super) fn read_claim(bytes: &[u8]) -> Result<Incarnation, String> {
    let record: ClaimRecord = json::from_bytes(bytes)?;
    Ok(Incarnation(record.incarnation.0))
}

#[derive(Serialize, Deserialize)]
struct PresenceRecord {
    incarnation: Hex,
    promised: Term,
}

/// Spells an `agents/<name>` key.
pub fn presence(presence: &Presence) -> Bytes {
    let incarnation = Hex(presence.incarnation.0);
    json::to_bytes(&PresenceRecord { incarnation, promised: presence.promised })
}

pub(super) fn read_presence(bytes: &[u8]) -> Result<Presence, String> {
    let record: PresenceRecord = json::from_bytes(bytes)?;
    Ok(Presence { incarnation: Incarnation(record.incarnation.0), promised: record.promised })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PromotionText {
    Intended,
    Done,
}

#[derive(Serialize, Deserialize)]
struct PromotionRecord {
    term: Term,
    timeline: Timeline,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    parent: Option<Timeline>,
    switched_at: u64,
    node: MemberName,
    state: PromotionText,
}

#[derive(Serialize, Deserialize)]
struct LineageRecord {
    promotions: Vec<PromotionRecord>,
}

/// Spells the `lineage` key.
pub fn lineage(lineage: &Lineage) -> Bytes {
    let record = |one: &Promotion| PromotionRecord {
        term: one.term,
        timeline: one.timeline,
        parent: one.parent,
        switched_at: one.switched_at.0,
        node: one.node.clone(),
        state: match one.state {
            PromotionState::Intended => PromotionText::Intended,
            PromotionState::Done => PromotionText::Done,
        },
    };
    json::to_bytes(&LineageRecord { promotions: lineage.promotions.iter().map(record).collect() })
}

pub(super) fn read_lineage(bytes: &[u8]) -> Result<Lineage, String> {
    let record: LineageRecord = json::from_bytes(bytes)?;
    let promotion = |one: PromotionRecord| Promotion {
        term: one.term,
        timeline: one.timeline,
        parent: one.parent,
        switched_at: Lsn(one.switched_at),
        node: one.node,
        state: match one.state {
            PromotionText::Intended => PromotionState::Intended,
            PromotionText::Done => PromotionState::Done,
        },
    };
    Ok(Lineage { promotions: record.promotions.into_iter().map(promotion).collect() })
}

#[derive(Serialize, Deserialize)]
struct RecoveredRecord {
    term: Term,
    at: String,
    by: String,
}

/// Spells the `recovered` key.
pub fn recovered(recovered: &Recovered) -> Bytes {
    let Recovered { term, at, by } = recovered.clone();
    json::to_bytes(&RecoveredRecord { term, at, by })
}

pub(super) fn read_recovered(bytes: &[u8]) -> Result<Recovered, String> {
    let RecoveredRecord { term, at, by } = json::from_bytes(bytes)?;
    Ok(Recovered { term, at, by })
}

#[derive(Serialize, Deserialize)]
struct OutcomeRecord {
    request: i64,
    done: bool,
    reason: String,
}

/// Spells the `outcome` key.
pub fn outcome(outcome: &Outcome) -> Bytes {
    json::to_bytes(&OutcomeRecord {
        request: outcome.request.0,
        done: outcome.done,
        reason: outcome.reason.clone(),
    })
}

pub(super) fn read_outcome(bytes: &[u8]) -> Result<Outcome, String> {
    let record: OutcomeRecord = json::from_bytes(bytes)?;
    Ok(Outcome { request: Revision(record.request), done: record.done, reason: record.reason })
}
