//! The status document: what `GET /patroni` and every health check answer, and what peers and tools
//! read. The fields and their order are Patroni's; what is ours alone is under `pgbaton`.

use serde_json::{Map, Value, json};

use crate::cluster::{COMPATIBLE_VERSION, Downstream, Loss, StandbyFacts};
use crate::config::SynchronousMode;
use crate::decide::JobKind;
use crate::publish::{Status, WatchdogSeen};
use crate::values::{Monotonic, WatchdogMode};

use super::shown::Shown;
use super::time::timestamp_text;

/// The version of this program.
pub const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The status document at one moment.
pub fn status_document(status: &Status, now: Monotonic) -> Value {
    let shown = Shown { status, now };
    let mut document = Map::new();
    document.insert("state".into(), shown.state().into());
    server(&shown, &mut document);
    cluster(&shown, &mut document);
    node(status, &mut document);
    document.insert("pgbaton".into(), own(&shown));
    Value::Object(document)
}

/// What the server said, in the order in which Patroni writes it.
fn server(shown: &Shown, document: &mut Map<String, Value>) {
    let look = &shown.status.look;
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    if !shown.answers() {
        put("role", shown.role().into());
        return;
    }
    put("postmaster_start_time", look.started_at_micros.and_then(timestamp_text).into());
    put("role", shown.role().into());
    put("server_version", look.version.unwrap_or(0).into());
    if let Some(facts) = shown.primary() {
        put("xlog", json!({"location": facts.position.lsn.0}));
    }
    if let Some(facts) = shown.standby() {
        put("xlog", standby_xlog(shown, facts));
    }
    match shown.listed_standby() {
        Some(SynchronousMode::On) => drop(put("sync_standby", true.into())),
        Some(SynchronousMode::Quorum) => drop(put("quorum_standby", true.into())),
        Some(SynchronousMode::Off) | None => {}
    }
    put("timeline", shown.timeline().map(|timeline| timeline.0).into());
    if shown.is_streaming() {
        put("replication_state", "streaming".into());
    }
    let downstreams = match (shown.primary(), shown.standby()) {
        (Some(facts), _) => &facts.downstreams[..],
        (None, Some(facts)) => &facts.downstreams[..],
        (None, None) => &[],
    };
    if !downstreams.is_empty() {
        put("replication", downstreams.iter().map(downstream).collect());
    }
}

fn standby_xlog(shown: &Shown, facts: &StandbyFacts) -> Value {
    json!({
        "received_location": shown.received().map(|lsn| lsn.0),
        "replayed_location": facts.replayed.0,
        "replayed_timestamp": facts.replayed_at_micros.and_then(timestamp_text),
        "paused": facts.replay_paused,
    })
}

fn downstream(row: &Downstream) -> Value {
    json!({
        "usename": row.user,
        "application_name": row.name,
        "client_addr": row.client_address,
        "state": row.state,
        "sync_state": row.sync_state,
        "sync_priority": row.sync_priority,
    })
}

/// What is known of the cluster.
fn cluster(shown: &Shown, document: &mut Map<String, Value>) {
    if shown.status.dynamic.pause {
        document.insert("pause".into(), true.into());
    }
    if shown.is_unlocked() {
        document.insert("cluster_unlocked".into(), true.into());
    }
    if shown.status.is_in_failsafe(shown.now) {
        document.insert("failsafe_mode_is_active".into(), true.into());
    }
    document.insert("dcs_last_seen".into(), shown.status.store_last_seen.into());
}

/// What is particular to this node.
fn node(status: &Status, document: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    if !status.tags.is_empty() {
        put("tags", Value::Object((*status.tags).clone()));
    }
    if let Some(id) = status.system_id {
        put("database_system_identifier", id.to_string().into());
    }
    if !status.look.pending_restart.is_empty() {
        put("pending_restart", true.into());
        let reason =
            status.look.pending_restart.iter().map(|(name, old, new)| {
                (name.clone(), json!({"old_value": old, "new_value": new}))
            });
        put("pending_restart_reason", Value::Object(reason.collect()));
    }
    if status.watchdog.mode == WatchdogMode::Required && status.watchdog.trouble.is_some() {
        put("watchdog_failed", true.into());
    }
    let patroni =
        json!({"version": COMPATIBLE_VERSION, "scope": status.scope, "name": status.name});
    put("patroni", patroni);
}

/// What Patroni has no word for.
fn own(shown: &Shown) -> Value {
    let Shown { status, now } = *shown;
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("version", OWN_VERSION.into());
    put("decision", status.decision.reason.to_string().into());
    put("decision_since", timestamp_text(status.decision.since_micros).into());
    put("writable", status.is_writable(now).into());
    if let Some((term, until)) = status.lease {
        put("term", term.0.into());
        put("lease_left_ms", millis(until.left(now)));
    }
    put("seen_term", status.seen.0.into());
    put("incarnation", status.incarnation.to_string().into());
    put("fence", status.fence.strength.as_str().into());
    if !status.fence.remarks.is_empty() {
        put("fence_remarks", status.fence.remarks.as_str().into());
    }
    if status.watchdog.mode != WatchdogMode::Off {
        put("watchdog", watchdog(&status.watchdog));
    }
    if let Some((kind, since)) = status.job {
        put("job", json!({"kind": job_text(kind), "running_ms": millis(now.since(since))}));
    }
    if let Some(copy) = status.copy {
        let (done, total) = (copy.done_kilobytes, copy.total_kilobytes);
        put("copy", json!({"done_kilobytes": done, "total_kilobytes": total}));
    }
    if !status.losses.is_empty() {
        put("lost", status.losses.iter().map(loss).collect());
    }
    put("probes", super::health::document(&status.health, now));
    if let Some(why) = &status.unfit {
        put("unfit", why.as_str().into());
    }
    if status.stalled {
        put("stalled", true.into());
    }
    if status.stopping {
        put("stopping", true.into());
    }
    Value::Object(document)
}

fn watchdog(seen: &WatchdogSeen) -> Value {
    let mut document = json!({"mode": seen.mode.as_str(), "armed": seen.is_armed});
    if let Some(why) = &seen.trouble {
        document["trouble"] = why.as_str().into();
    }
    document
}

/// What was given up at one time.
pub fn loss(one: &Loss) -> Value {
    json!({
        "at": timestamp_text(one.at_micros),
        "timeline": one.timeline.0,
        "from": one.from.map(|from| from.to_string()),
        "to": one.to.to_string(),
        "bytes": one.bytes(),
        "exact": one.is_exact,
        "step": one.step.as_str(),
    })
}

pub(super) fn millis(duration: std::time::Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// The word for what a node is busy with.
pub fn job_text(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Bootstrap => "bootstrap",
        JobKind::Copy => "copy",
        JobKind::Rewind => "rewind",
        JobKind::Start => "start",
        JobKind::Stop => "stop",
        JobKind::Promote => "promote",
        JobKind::HandOver => "hand_over",
        JobKind::Vote => "vote",
        JobKind::Other => "other",
    }
}
