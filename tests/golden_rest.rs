//! The REST API as others see it, over a real socket: codes of health checks, documents, changes, and
//! what malformed requests get. Bodies are held still in `tests/golden/rest`; with `UPDATE_GOLDEN=1`
//! they are written anew, for a look at the difference.

mod support;

#[path = "rest/changes.rs"]
mod changes;
#[path = "rest/codes.rs"]
mod codes;
#[path = "rest/documents.rs"]
mod documents;
#[path = "rest/failsafe.rs"]
mod failsafe;
#[path = "rest/handover.rs"]
mod handover;
#[path = "rest/pair.rs"]
mod pair;
#[path = "rest/preflight.rs"]
mod preflight;
#[path = "rest/promise.rs"]
mod promise;
#[path = "rest/transport.rs"]
mod transport;

use std::fs;
use std::path::Path;

/// Compares a body with its golden file.
#[track_caller]
fn check_golden(file: &str, body: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rest").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{body}\n")).expect("the golden files can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(body, expected.trim_end_matches('\n'), "{file}");
}
