//! A document that somebody puts into `/config` is any JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbaton::config::{Dynamic, Floors, merge_patch};

fuzz_target!(|data: (&[u8], &[u8])| {
    let Ok(patch) = serde_json::from_slice(data.0) else { return };
    let mut document = serde_json::from_slice(data.1).unwrap_or(serde_json::json!({}));
    merge_patch(&mut document, &patch);
    let _ = Dynamic::from_document(&document, Floors::Own);
    let _ = Dynamic::from_document(&document, Floors::Patroni);
});
