//! How the values of the keys are spelled, both ways. Reading takes any bytes: what cannot be used is
//! left out and named in a warning. What the keys mean is not known here.

mod json;
mod losses;
mod member;
mod ours;
mod patroni;

pub use losses::{losses, read_losses};
pub use member::{member, replication_state_text, role_text, state_text};
pub use ours::{baton, claim, guard, lineage, outcome, presence, recovered};
pub use patroni::{config, failsafe, history, initialize, leader, request, status, sync};

use super::keys::{Key, OPTIME_LEADER, STATUS};
use super::{RawSnapshot, RawValue};
use crate::cluster::{Cluster, SyncState, Versioned};

/// Reads every key below the prefix. The warnings say which key was unusable or odd, and why.
pub fn decode(snapshot: &RawSnapshot) -> (Cluster, Vec<String>) {
    let mut reader = Reader {
        cluster: Cluster { revision: snapshot.revision, ..Cluster::default() },
        warnings: Vec::new(),
    };
    for (key, raw) in &snapshot.keys {
        reader.read(key, raw);
    }
    let status = reader.status(snapshot).unwrap_or_default();
    reader.cluster.optime = status.optime;
    reader.cluster.slot_positions = status.slots;
    reader.cluster.retained_slots = status.retained;
    (reader.cluster, reader.warnings)
}

struct Reader {
    cluster: Cluster,
    warnings: Vec<String>,
}

impl Reader {
    fn read(&mut self, key: &str, raw: &RawValue) {
        let bytes: &[u8] = &raw.value;
        match Key::of(key) {
            Key::Leader => self.cluster.leader = self.take(key, raw, patroni::read_leader),
            Key::Initialize => {
                self.cluster.initialize = self.take(key, raw, patroni::read_initialize);
            }
            Key::Config => self.cluster.config = self.take(key, raw, patroni::read_config),
            Key::Sync => self.cluster.sync = Some(self.sync(key, raw)),
            Key::Failover => {
                // A request that cannot be read is none, but its key is there to be replaced.
                let request = self.note(key, patroni::read_request(bytes)).flatten();
                self.cluster.request = Some(versioned(raw, request));
            }
            Key::History => self.cluster.history = self.take(key, raw, patroni::read_history),
            Key::Failsafe => self.cluster.failsafe = self.take(key, raw, patroni::read_failsafe),
            Key::Baton => self.cluster.baton = self.take(key, raw, ours::read_baton),
            Key::Guard => self.cluster.guard = self.take(key, raw, ours::read_guard),
            Key::Claim => self.cluster.claimant = self.note(key, ours::read_claim(bytes)),
            Key::Lineage => self.cluster.lineage = self.take(key, raw, ours::read_lineage),
            Key::Recovered => self.cluster.recovered = self.take(key, raw, ours::read_recovered),
            Key::Outcome => self.cluster.outcome = self.note(key, ours::read_outcome(bytes)),
            Key::Member(name) => {
                let (member, wrong) = member::read_member(name.into(), bytes);
                self.warnings.extend(wrong.into_iter().map(|what| format!("{key}: {what}")));
                self.cluster.members.insert(member.name.clone(), member);
            }
            Key::Agent(name) => {
                if let Some(presence) = self.note(key, ours::read_presence(bytes)) {
                    self.cluster.presences.insert(name.into(), presence);
                }
            }
            Key::Losses(name) => {
                if let Some(losses) = self.note(key, losses::read_losses(bytes)) {
                    self.cluster.losses.insert(name.into(), losses);
                }
            }
            Key::Status | Key::OptimeLeader | Key::Foreign => {}
        }
    }

    /// The leader's position; the older key counts only where the newer is missing.
    fn status(&mut self, snapshot: &RawSnapshot) -> Option<patroni::StatusRead> {
        let key = if snapshot.keys.contains_key(STATUS) { STATUS } else { OPTIME_LEADER };
        let raw = snapshot.keys.get(key)?;
        self.note(key, patroni::read_status(&raw.value))
    }

    /// What cannot be read means "not active", as in Patroni, and can be replaced.
    fn sync(&mut self, key: &str, raw: &RawValue) -> Versioned<SyncState> {
        let state = self.note(key, patroni::read_sync(&raw.value)).unwrap_or_default();
        versioned(raw, state)
    }

    fn take<T>(
        &mut self,
        key: &str,
        raw: &RawValue,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Option<Versioned<T>> {
        self.note(key, read(&raw.value)).map(|value| versioned(raw, value))
    }

    fn note<T>(&mut self, key: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.warnings.push(format!("{key}: {what}"))).ok()
    }
}

fn versioned<T>(raw: &RawValue, value: T) -> Versioned<T> {
    Versioned { value, revision: raw.mod_revision }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::keys;
    use crate::values::Revision;
    use bytes::Bytes;
    use proptest::prelude::*;

    const ALL: &[&str] = &[
        keys::LEADER,
        keys::INITIALIZE,
        keys::CONFIG,
        keys::STATUS,
        keys::OPTIME_LEADER,
        keys::SYNC,
        keys::FAILOVER,
        keys::HISTORY,
        keys::FAILSAFE,
        keys::BATON,
        keys::GUARD,
        keys::CLAIM,
        keys::LINEAGE,
        keys::OUTCOME,
        keys::RECOVERED,
        "members/a",
        "agents/a",
        "losses/a",
        "unknown",
    ];

    fn all_keys_hold(value: &[u8]) -> RawSnapshot {
        let raw = RawValue {
            value: Bytes::copy_from_slice(value),
            mod_revision: Revision(7),
            lease: None,
        };
        let keys = ALL.iter().map(|key| ((*key).to_owned(), raw.clone())).collect();
        RawSnapshot { revision: Revision(9), keys }
    }

    /// JSON of any shape, often with the fields that are looked for.
    fn some_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|one| one.to_string()),
            any::<i64>().prop_map(|one| one.to_string()),
            any::<f64>().prop_map(|one| serde_json::json!(one).to_string()),
            ".{0,8}".prop_map(|one| serde_json::json!(one).to_string()),
            Just("\"00000000000000ff\"".to_owned()),
        ];
        let name = prop::sample::select(vec![
            "term",
            "incarnation",
            "holder",
            "sequence",
            "nonce",
            "timeline",
            "lsn",
            "state",
            "promised",
            "promotions",
            "leader",
            "member",
            "scheduled_at",
            "sync_standby",
            "quorum",
            "optime",
            "tags",
            "role",
            "replication_state",
            "xlog_location",
            "conn_url",
        ]);
        leaf.prop_recursive(3, 24, 8, move |inner| {
            let field = (name.clone(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec(field, 0..8).prop_map(|fields| {
                    let spelled = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                    format!("{{{}}}", spelled.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let (cluster, _) = decode(&all_keys_hold(&value));
            prop_assert_eq!(cluster.revision, Revision(9));
        }

        #[test]
        fn any_json_can_be_read_and_a_member_written_again_reads_the_same(text in some_json()) {
            let (cluster, _) = decode(&all_keys_hold(text.as_bytes()));
            let read = &cluster.members[&"a".into()];
            let (again, wrong) = member::read_member("a".into(), &member(read));
            prop_assert_eq!(member(&again), member(read));
            prop_assert!(wrong.is_empty(), "{:?}", wrong);
        }

        #[test]
        fn a_text_key_cannot_upset_the_reader(key in ".{0,24}", value in ".{0,24}") {
            let mut snapshot = all_keys_hold(value.as_bytes());
            let raw = snapshot.keys["leader"].clone();
            snapshot.keys.insert(format!("members/{key}"), raw.clone());
            snapshot.keys.insert(key, raw);
            decode(&snapshot);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_left_out() {
        let (cluster, warnings) = decode(&all_keys_hold(b"\xff"));
        let named = |key: &&&str| warnings.iter().any(|one| one.starts_with(&format!("{key}: ")));
        let silent: Vec<_> = ALL.iter().filter(|key| !named(key)).copied().collect();
        // The older position key is not looked at while the newer one is there.
        assert_eq!(silent, [keys::OPTIME_LEADER, "unknown"]);
        assert!(cluster.baton.is_none() && cluster.leader.is_none() && cluster.config.is_none());
        assert!(cluster.request.is_some_and(|request| request.value.is_none()));
        assert!(cluster.members[&"a".into()].conn_url.is_none());
    }
}
