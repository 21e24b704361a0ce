//! Reading the keys again and again, as a watch shows them: what did not change is not read twice.
//! A busy cluster changes one or two small keys many times a second; its configuration and its
//! members' records, which cost the most to read, stay the same for long.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{losses, member, ours, patroni};
use crate::cluster::{Cluster, SyncState, Versioned};
use crate::dcs::keys::{Key, OPTIME_LEADER, STATUS};
use crate::dcs::{RawSnapshot, RawValue};

/// The keys as they were read last.
#[derive(Debug, Default)]
pub struct Decoder {
    seen: BTreeMap<String, RawValue>,
    cluster: Cluster,
    warnings: BTreeMap<String, Vec<String>>,
}

impl Decoder {
    /// Reads what is not as it was the last time.
    pub fn take_in(&mut self, snapshot: &RawSnapshot) -> &Cluster {
        for key in self.differing(snapshot) {
            self.take_in_one(key, snapshot);
        }
        self.cluster.revision = snapshot.revision;
        &self.cluster
    }

    /// Reads these keys, where nothing else differs from the last time.
    pub fn take_in_some(&mut self, keys: Vec<String>, snapshot: &RawSnapshot) -> &Cluster {
        for key in keys {
            self.take_in_one(key, snapshot);
        }
        // Nothing would read such a key again.
        if cfg!(any(debug_assertions, feature = "mutants")) {
            let seen = self.seen.values().map(|raw| raw.mod_revision);
            let there = snapshot.keys.values().map(|raw| raw.mod_revision);
            assert!(seen.eq(there), "a key differs that was not named");
        }
        self.cluster.revision = snapshot.revision;
        &self.cluster
    }

    /// Which keys are not as they were. Both are in order: one walk over the two is enough.
    fn differing(&self, snapshot: &RawSnapshot) -> Vec<String> {
        let mut differing = Vec::new();
        let mut seen = self.seen.iter().peekable();
        for (key, raw) in &snapshot.keys {
            while let Some((gone, _)) = seen.next_if(|(known, _)| *known < key) {
                differing.push(gone.clone());
            }
            if seen.next_if(|(known, _)| *known == key).map(|(_, known)| known) != Some(raw) {
                differing.push(key.clone());
            }
        }
        differing.extend(seen.map(|(gone, _)| gone.clone()));
        differing
    }

    fn take_in_one(&mut self, key: String, snapshot: &RawSnapshot) {
        self.forget(&key);
        let is_status = is_status(&key);
        match snapshot.keys.get(&key) {
            Some(raw) => {
                self.read(&key, raw);
                self.seen.insert(key, raw.clone());
            }
            None => drop(self.seen.remove(&key)),
        }
        if is_status {
            self.read_status(snapshot);
        }
    }

    /// Which keys are unusable or odd, and why.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.values().flatten().map(String::as_str)
    }

    /// What was read last.
    pub fn into_cluster(self) -> Cluster {
        self.cluster
    }

    fn forget(&mut self, key: &str) {
        self.warnings.remove(key);
        let cluster = &mut self.cluster;
        match Key::of(key) {
            Key::Leader => cluster.leader = None,
            Key::Initialize => cluster.initialize = None,
            Key::Config => cluster.config = None,
            Key::Sync => cluster.sync = None,
            Key::Failover => cluster.request = None,
            Key::History => cluster.history = None,
            Key::Failsafe => cluster.failsafe = None,
            Key::Baton => cluster.baton = None,
            Key::Guard => cluster.guard = None,
            Key::Claim => cluster.claimant = None,
            Key::Lineage => cluster.lineage = None,
            Key::Recovered => cluster.recovered = None,
            Key::Outcome => cluster.outcome = None,
            Key::Member(name) => drop(cluster.members.remove(&name.into())),
            Key::Agent(name) => drop(cluster.presences.remove(&name.into())),
            Key::Losses(name) => drop(cluster.losses.remove(&name.into())),
            Key::Status | Key::OptimeLeader | Key::Foreign => {}
        }
    }

    fn read(&mut self, key: &str, raw: &RawValue) {
        let bytes: &[u8] = &raw.value;
        match Key::of(key) {
            Key::Leader => self.cluster.leader = self.take(key, raw, patroni::read_leader),
            Key::Initialize => {
                self.cluster.initialize = self.take(key, raw, patroni::read_initialize);
            }
            Key::Config => {
                let read = |bytes: &[u8]| patroni::read_config(bytes).map(Arc::new);
                self.cluster.config = self.take(key, raw, read);
            }
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
                for what in wrong {
                    self.warn(key, &what);
                }
                self.cluster.members.insert(member.name.clone(), member.into());
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
    fn read_status(&mut self, snapshot: &RawSnapshot) {
        self.warnings.remove(STATUS);
        self.warnings.remove(OPTIME_LEADER);
        let key = if snapshot.keys.contains_key(STATUS) { STATUS } else { OPTIME_LEADER };
        let read = snapshot.keys.get(key).map(|raw| patroni::read_status(&raw.value));
        let status = read.and_then(|read| self.note(key, read)).unwrap_or_default();
        self.cluster.optime = status.optime;
        self.cluster.slot_positions = status.slots;
        self.cluster.retained_slots = status.retained;
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
        read.map_err(|what| self.warn(key, &what)).ok()
    }

    fn warn(&mut self, key: &str, what: &str) {
        self.warnings.entry(key.to_owned()).or_default().push(format!("{key}: {what}"));
    }
}

fn is_status(key: &str) -> bool {
    matches!(Key::of(key), Key::Status | Key::OptimeLeader)
}

fn versioned<T>(raw: &RawValue, value: T) -> Versioned<T> {
    Versioned { value, revision: raw.mod_revision }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::{decode, keys};
    use crate::values::Revision;
    use proptest::prelude::*;

    /// One write: which key, what (nothing deletes it).
    fn some_write() -> impl Strategy<Value = (&'static str, Option<&'static str>)> {
        let keys = vec![
            keys::BATON,
            keys::STATUS,
            keys::OPTIME_LEADER,
            keys::CONFIG,
            keys::SYNC,
            keys::FAILOVER,
            keys::LEADER,
            "members/a",
            "members/b",
            "agents/a",
            "losses/a",
            "foreign",
        ];
        let values = vec![
            r#"{"ttl": 5}"#,
            r#"{"optime": 7, "retain_slots": ["x"]}"#,
            r#"{"leader": "a", "sync_standby": "b", "quorum": 0}"#,
            r#"{"role": "replica", "state": "running", "xlog_location": 9}"#,
            "12",
            "{",
            "",
        ];
        (prop::sample::select(keys), prop::option::weighted(0.8, prop::sample::select(values)))
    }

    proptest! {
        /// A look takes in some writes, perhaps two of one key; it knows which keys they were, or finds out.
        #[test]
        fn reading_what_changed_is_reading_everything_anew(
            looks in prop::collection::vec(
                (prop::collection::vec(some_write(), 1..4), prop::bool::ANY), 1..20)
        ) {
            let mut snapshot = RawSnapshot::default();
            let mut decoder = Decoder::default();
            for (writes, knows_which) in looks {
                let keys = writes.iter().map(|(key, _)| (*key).to_owned()).collect();
                for (key, value) in writes {
                    snapshot.revision = Revision(snapshot.revision.0 + 1);
                    match value {
                        Some(value) => {
                            let (value, mod_revision) = (value.into(), snapshot.revision);
                            let raw = RawValue { value, mod_revision, lease: None };
                            snapshot.keys.insert(key.to_owned(), raw);
                        }
                        None => drop(snapshot.keys.remove(key)),
                    }
                }
                let (anew, warnings) = decode(&snapshot);
                let taken_in = if knows_which {
                    decoder.take_in_some(keys, &snapshot)
                } else {
                    decoder.take_in(&snapshot)
                };
                prop_assert_eq!(taken_in, &anew);
                prop_assert_eq!(decoder.warnings().collect::<Vec<_>>(), warnings);
            }
        }
    }
}
