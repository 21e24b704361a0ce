//! A node's configuration, given in the environment, is any text: it is read or refused.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let env = BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text.to_owned())]);
    let loaded = pgbaton::config::load(None, &env);
    assert!(loaded.config.is_some() || !loaded.findings.is_empty());
});
