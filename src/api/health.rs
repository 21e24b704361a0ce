//! What the probes found, for people: part of what is ours in the status document.

use serde_json::{Map, Value, json};

use super::wire::millis;
use crate::cluster::{Finding, Health, Trouble};
use crate::values::Monotonic;

/// One entry for each probe that was ever asked.
pub fn document(health: &Health, now: Monotonic) -> Value {
    let mut document = Map::new();
    let probes =
        [("commit", &health.commit), ("connection", &health.connection), ("disk", &health.disk)];
    for (name, finding) in probes {
        document.insert(name.to_owned(), entry(finding, now));
    }
    if let Some(since) = health.sync_waiting_since {
        document.insert("sync_waiting_ms".to_owned(), millis(now.since(since)));
    }
    if let Some(free) = health.free_bytes {
        document.insert("wal_volume_free_bytes".to_owned(), free.into());
    }
    Value::Object(document)
}

fn entry(finding: &Finding, now: Monotonic) -> Value {
    match finding {
        Finding::Unknown => json!({"state": "unknown"}),
        Finding::Good { asked_at, took } => {
            let age = millis(now.since(*asked_at));
            json!({"state": "good", "age_ms": age, "took_ms": millis(*took)})
        }
        Finding::Silent { since } => {
            json!({"state": "silent", "for_ms": millis(now.since(*since))})
        }
        Finding::Bad { since, trouble } => {
            let why = match trouble {
                Trouble::NoSpace => "no space",
                Trouble::Broken(text) => text.as_str(),
            };
            json!({"state": "bad", "for_ms": millis(now.since(*since)), "why": why})
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn unknown_good_silent_and_bad_are_told_apart() {
        let at = |seconds| Monotonic::from_boot(Duration::from_secs(seconds));
        let took = Duration::from_millis(3);
        let health = Health {
            connection: Finding::Good { asked_at: at(99), took },
            commit: Finding::Silent { since: at(90) },
            disk: Finding::Bad { since: at(95), trouble: Trouble::NoSpace },
            ..Health::default()
        };
        let expected = json!({
            "commit": {"state": "silent", "for_ms": 10_000},
            "connection": {"state": "good", "age_ms": 1_000, "took_ms": 3},
            "disk": {"state": "bad", "for_ms": 5_000, "why": "no space"},
        });
        assert_eq!(document(&health, at(100)), expected);
        assert_eq!(document(&Health::default(), at(100))["disk"], json!({"state": "unknown"}));
    }
}
