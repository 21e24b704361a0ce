//! How the values of the keys are spelled, both ways. Reading takes any bytes: what cannot be used is
//! left out and named in a warning. What the keys mean is not known here.

mod decoder;
mod json;
mod losses;
mod member;
mod ours;
mod patroni;

pub use decoder::Decoder;
pub use losses::{losses, read_losses};
pub use member::{member, replication_state_text, role_text, state_text};
pub use ours::{baton, claim, guard, lineage, outcome, presence, recovered};
pub use patroni::{config, failsafe, history, initialize, leader, request, status, sync};

use super::RawSnapshot;
use crate::cluster::Cluster;

/// Reads every key below the prefix. The warnings say which key was unusable or odd, and why.
pub fn decode(snapshot: &RawSnapshot) -> (Cluster, Vec<String>) {
    let mut decoder = Decoder::default();
    decoder.take_in(snapshot);
    let warnings = decoder.warnings().map(str::to_owned).collect();
    (decoder.into_cluster(), warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::{RawValue, keys};
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
            "accept_loss",
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
