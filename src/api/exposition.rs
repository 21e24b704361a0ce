//! `/metrics`: Patroni's metrics in Patroni's order, then ours. Also the document that lists them.

mod probes;
mod server;

use std::fmt::Write as _;

use crate::cluster::{COMPATIBLE_VERSION, SlotLog};
use crate::config::SynchronousMode;
use crate::publish::{
    Events, Family, Kind, Metrics, OURS, SERVERS, ServerStatistics, Status, catalogue,
};
use crate::values::{Lsn, Monotonic, Term};

use super::patroni_metrics::{METRICS, STATES};
use super::shown::Shown;
use super::wire::{OWN_VERSION, job_text};

/// What is shown besides the status.
#[derive(Clone, Debug)]
pub struct Counted {
    /// What was counted.
    pub metrics: Metrics,
    /// What happened.
    pub events: Events,
    /// What the server tells of itself.
    pub server: ServerStatistics,
}

/// The whole text.
pub fn render(status: &Status, now: Monotonic, counted: &Counted) -> String {
    let mut text = Exposition {
        text: String::with_capacity(16 * 1024),
        owner: format!(
            "scope=\"{}\",name=\"{}\"",
            escaped(&status.scope),
            escaped(status.name.as_str())
        ),
    };
    let shown = Shown { status, now };
    for metric in METRICS {
        if let Some(value) = metric.value(&shown) {
            text.head(&metric.family, metric.note().as_deref());
            text.sample(metric.family.name, &[], &value);
        }
    }
    ours(&mut text, &shown);
    text.single(&catalogue::EVENTS_UNWRITTEN, &[], counted.events.unwritten());
    server::render(&mut text, &counted.server, now);
    let owner = [("scope", status.scope.as_str()), ("name", status.name.as_str())];
    text.text.push_str(&counted.metrics.render(&owner));
    text.text
}

/// What of ours is read from the status.
fn ours(text: &mut Exposition, shown: &Shown) {
    let Shown { status, now } = *shown;
    let lease_left = status.lease.map_or(0.0, |(_, until)| until.left(now).as_secs_f64());
    let seen_term = || {
        let baton = shown.cluster().and_then(|cluster| cluster.baton.as_ref());
        baton.map_or(Term::ZERO, |baton| baton.value.term)
    };
    let term = status.lease.map_or_else(seen_term, |(term, _)| term);
    let copied = status.copy.map_or(0, |copy| copy.done_kilobytes.saturating_mul(1024));
    text.single(&catalogue::BUILD, &[("version", OWN_VERSION)], 1);
    text.single(&catalogue::FENCE, &[("strength", status.fence.strength.as_str())], 1);
    let mode = match status.dynamic.synchronous_mode {
        SynchronousMode::Off => "off",
        SynchronousMode::On => "on",
        SynchronousMode::Quorum => "quorum",
    };
    text.single(&catalogue::SYNCHRONOUS, &[("mode", mode)], 1);
    text.single(&catalogue::WATCHDOG, &[], u8::from(status.watchdog.is_armed));
    text.single(&catalogue::WRITABLE, &[], u8::from(status.is_writable(now)));
    text.single(&catalogue::TERM, &[], term);
    text.single(&catalogue::LEASE_LEFT, &[], lease_left);
    let decision_age = now.since(status.decision.since).as_secs_f64();
    text.single(&catalogue::DECISION_AGE, &[], decision_age);
    text.single(&catalogue::TURN_AGE, &[], now.since(status.turned_at).as_secs_f64());
    text.head(&catalogue::JOB, None);
    if let Some((kind, _)) = status.job {
        text.sample(catalogue::JOB.name, &[("job", job_text(kind))], &1);
    }
    text.single(&catalogue::COPIED, &[], copied);
    text.head(&catalogue::GIVEN_UP, None);
    if let Some(last) = status.losses.last() {
        let step = [("step", last.step.as_str())];
        text.sample(catalogue::GIVEN_UP.name, &step, &last.bytes().unwrap_or_default());
    }
    slots(shown, text);
}

/// What the server's slots keep, and which of them are of no use.
fn slots(shown: &Shown, text: &mut Exposition) {
    let primary = shown.primary().map(|facts| (&facts.slots, facts.position.lsn));
    let standby = shown.standby().map(|facts| (&facts.slots, facts.position().lsn));
    let none = Vec::new();
    let (slots, end) = primary.or(standby).unwrap_or((&none, Lsn::ZERO));
    text.head(&catalogue::SLOT_KEEPS, None);
    for slot in slots {
        text.sample(catalogue::SLOT_KEEPS.name, &[("slot", slot.name.as_str())], &slot.keeps(end));
    }
    text.head(&catalogue::SLOT_ACTIVE, None);
    for slot in slots {
        let active = u8::from(slot.is_active);
        text.sample(catalogue::SLOT_ACTIVE.name, &[("slot", slot.name.as_str())], &active);
    }
    text.head(&catalogue::SLOT_AT_RISK, None);
    for slot in slots {
        let status = match slot.log {
            SlotLog::Kept => continue,
            SlotLog::Unreserved => "unreserved",
            SlotLog::Lost => "lost",
        };
        let labels = [("slot", slot.name.as_str()), ("status", status)];
        text.sample(catalogue::SLOT_AT_RISK.name, &labels, &1);
    }
    probes::render(text, shown);
}

struct Exposition {
    text: String,
    owner: String,
}

impl Exposition {
    fn head(&mut self, family: &Family, note: Option<&str>) {
        let Family { name, help, kind, .. } = family;
        self.line(format_args!("# HELP {name} {help}"));
        if let Some(note) = note {
            self.line(format_args!("# {note}"));
        }
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn std::fmt::Display) {
        let mut all = self.owner.clone();
        for (label, text) in labels {
            write!(all, ",{label}=\"{}\"", escaped(text)).expect("memory can be written to");
        }
        self.line(format_args!("{name}{{{all}}} {value}"));
    }

    fn single(&mut self, family: &Family, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.head(family, None);
        self.sample(family.name, labels, &value);
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.text, "{line}").expect("memory can be written to");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `docs/METRICS.md`.
pub fn metrics_document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` answers in Prometheus' text format, without authentication. This page is made\n\
         from the code's own lists; a test keeps it current. Each sample carries the labels `scope` and\n\
         `name` (of the member) besides those named here.\n\n",
    );
    text.push_str("## As in Patroni ");
    text.push_str(COMPATIBLE_VERSION);
    text.push_str("\n\n| name | type | meaning |\n|---|---|---|\n");
    for metric in METRICS {
        row(&mut text, &metric.family, false);
    }
    text.push_str("\nValues of `patroni_postgres_state`: ");
    let values = STATES.iter().enumerate();
    let values = values.map(|(index, (name, _))| format!("{index} `{name}`"));
    text.push_str(&values.collect::<Vec<_>>().join(", "));
    text.push_str("; -1 when the server should run and does not answer.\n\n");
    text.push_str("## Ours\n\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    for family in OURS {
        row(&mut text, family, true);
    }
    text.push_str(
        "\n## The server's\n\n\
         Asked for each `pgbaton.statistics_interval` (10 s by default; 0 turns it off) on a connection of\n\
         its own, and left out when the last answer is older than two intervals and a second. The counters\n\
         are the server's own: they begin anew when its statistics are reset.\n\n\
         | name | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in SERVERS {
        row(&mut text, family, true);
    }
    text
}

fn row(text: &mut String, family: &Family, with_labels: bool) {
    let Family { name, kind, labels, help } = family;
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = if with_labels { format!(" {} |", labels.join(", ")) } else { String::new() };
    let kind: &Kind = kind;
    writeln!(text, "| `{name}` | {} |{labels} {help} |", kind.as_str())
        .expect("memory can be written to");
}
