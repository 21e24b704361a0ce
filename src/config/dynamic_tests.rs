//! Rules of the dynamic document.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn read(document: Value) -> (Dynamic, Vec<String>) {
    let (dynamic, said) = Dynamic::from_document(&document, Floors::Own).unwrap();
    (dynamic, said.iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_document_means_the_defaults() {
    assert_eq!(read(json!({})), (Dynamic::default(), Vec::new()));
    let default = Dynamic::default();
    assert_eq!(default.maximum_lag_on_failover, 1_048_576);
    assert_eq!(default.primary_start_timeout, Duration::from_secs(300));
    assert_eq!(default.member_slots_ttl, Duration::from_secs(1800));
    assert_eq!(default.synchronous_node_count, 1);
}

#[test]
fn the_stall_timeout_is_a_key_of_ours_and_zero_turns_it_off() {
    let of = |value: Value| read(json!({ "pgbaton": { "primary_stall_timeout": value } }));
    assert_eq!(read(json!({})).0.primary_stall_timeout, Duration::from_secs(10));
    assert_eq!(of(json!("1min")).0.primary_stall_timeout, Duration::from_secs(60));
    assert_eq!(of(json!(0)).0.primary_stall_timeout, Duration::ZERO);
    let (dynamic, said) = of(json!("soon"));
    assert_eq!(dynamic.primary_stall_timeout, Duration::from_secs(10));
    assert!(said[0].starts_with("pgbaton.primary_stall_timeout: expected a duration"), "{said:?}");
}

#[test]
fn a_size_with_a_unit_falls_back_and_is_said() {
    let (dynamic, said) = read(json!({"maximum_lag_on_failover": "1MB"}));
    assert_eq!(dynamic.maximum_lag_on_failover, 1_048_576);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("maximum_lag_on_failover: expected a whole number"), "{said:?}");
}

#[test]
fn older_spellings_are_understood() {
    let (dynamic, _) = read(json!({"master_start_timeout": 0, "permanent_slots": {"a": {}}}));
    assert_eq!(dynamic.primary_start_timeout, Duration::ZERO);
    assert!(dynamic.slots.iter().any(|slot| slot.name == "a"));
}

#[test]
fn synchronous_mode_is_a_switch_or_quorum() {
    for (value, mode) in [
        (json!("on"), SynchronousMode::On),
        (json!("Quorum"), SynchronousMode::Quorum),
        (json!(false), SynchronousMode::Off),
        (json!("maybe"), SynchronousMode::Off),
    ] {
        assert_eq!(read(json!({"synchronous_mode": value})).0.synchronous_mode, mode);
    }
}

#[test]
fn a_standby_cluster_says_where_from() {
    let empty = json!({"standby_cluster": {"host": "", "primary_slot_name": "x"}});
    assert!(!read(empty).0.is_standby_cluster());
    assert!(read(json!({"standby_cluster": {"port": 5432}})).0.is_standby_cluster());
}

#[test]
fn what_is_no_object_is_refused() {
    for document in [json!(null), json!([]), json!("x"), json!(1)] {
        assert!(matches!(
            Dynamic::from_document(&document, Floors::Own),
            Err(DocumentError::NotAnObject(_))
        ));
    }
}

/// Any JSON, with the known keys often enough to be met.
pub(in crate::config) fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "[a-z_]{0,8}",
        Just("ttl".to_owned()),
        Just("loop_wait".to_owned()),
        Just("retry_timeout".to_owned()),
        Just("maximum_lag_on_failover".to_owned()),
        Just("primary_start_timeout".to_owned()),
        Just("member_slots_ttl".to_owned()),
        Just("postgresql".to_owned()),
        Just("parameters".to_owned()),
        Just("max_connections".to_owned()),
        Just("slots".to_owned()),
        Just("standby_cluster".to_owned()),
        Just("pg_hba".to_owned()),
        Just("callbacks".to_owned()),
        Just("pg_ctl_timeout".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[-+]?[0-9.xe]{0,20}(ms|kB|GB|d)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_is_a_panic_and_every_time_fits(document in any_json()) {
        for floors in [Floors::Own, Floors::Patroni] {
            if let Ok((dynamic, _)) = Dynamic::from_document(&document, floors) {
                prop_assert!(dynamic.ttl >= Duration::from_secs(1));
                prop_assert!(dynamic.loop_wait + dynamic.retry_timeout * 2 <= dynamic.ttl);
                prop_assert!(!dynamic.loop_wait.is_zero() && !dynamic.retry_timeout.is_zero());
            }
        }
    }
}
