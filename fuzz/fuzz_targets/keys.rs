//! Every key below the prefix may hold any bytes.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pgbaton::dcs::{RawSnapshot, RawValue, decode};
use pgbaton::values::Revision;

const KEYS: [&str; 14] = [
    "leader", "initialize", "config", "status", "optime/leader", "sync", "failover", "history",
    "failsafe", "baton", "baton_guard", "lineage", "members/a", "agents/a",
];

fuzz_target!(|data: &[u8]| {
    let Some((which, value)) = data.split_first() else { return };
    let key = KEYS[usize::from(*which) % KEYS.len()].to_owned();
    let value = bytes::Bytes::copy_from_slice(value);
    let raw = RawValue { value, mod_revision: Revision(1), lease: None };
    let snapshot = RawSnapshot { revision: Revision(1), keys: BTreeMap::from([(key, raw)]) };
    let _ = decode(&snapshot);
});
