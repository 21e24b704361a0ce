//! The time line of one scenario: what was done, what the agents noted of it, and when clients wrote again.

use serde::Serialize;
use serde_json::{Value, json};

use crate::traffic::Gap;

/// Decisions that belong to the story, by how their reasons begin.
const TOLD: [&str; 5] = ["hold still", "stand by", "lead: the members carry", "soft stop", "fence"];

/// Something that an agent noted: `GET /pgbaton/events`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which member's agent.
    pub member: String,
    /// When, Unix time in microseconds.
    pub at_micros: i64,
    /// Its kind, as in `docs/EVENTS.md`.
    pub kind: String,
    /// The word for what happened.
    pub what: String,
    /// What is particular to this time.
    pub detail: String,
    /// What mattered.
    pub facts: Value,
    /// How long it took.
    pub seconds: Option<f64>,
}

impl Event {
    /// The events of one answer. What has no time or kind is left out: an older agent's answer.
    pub fn list(member: &str, document: &Value) -> Vec<Self> {
        let events = document["events"].as_array().into_iter().flatten();
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        events
            .filter_map(|event| {
                Some(Self {
                    member: member.to_owned(),
                    at_micros: event["at_micros"].as_i64()?,
                    kind: event["kind"].as_str()?.to_owned(),
                    what: text(event, "what"),
                    detail: text(event, "detail"),
                    facts: event["facts"].clone(),
                    seconds: event["seconds"].as_f64(),
                })
            })
            .collect()
    }

    fn fact(&self, name: &str) -> Option<String> {
        match &self.facts[name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// In words, if it belongs to the story of a failover; most decisions and steps are the log's.
    fn told(&self) -> Option<String> {
        let term = self.fact("term").map(|term| format!(" (term {term})")).unwrap_or_default();
        let told = match (self.kind.as_str(), self.what.as_str()) {
            ("lease", "released") => format!("key released{term}"),
            ("lease", "offered") => match self.fact("to") {
                Some(to) => format!("key offered to {to}{term}"),
                None => format!("key offered{term}"),
            },
            ("lease", "taken") => format!("key taken{term}"),
            ("lease", "lost") => format!("key lost{term}"),
            ("promotion", "promoted") => match self.fact("timeline") {
                Some(timeline) => format!("promoted, timeline {timeline}"),
                None => "promoted".to_owned(),
            },
            ("server", what @ ("down" | "silent" | "standby" | "primary")) => {
                format!("server is {what}")
            }
            ("guardian", "killed") => "server killed by its guardian".to_owned(),
            ("agent", what @ ("started" | "stopped")) => format!("agent {what}"),
            ("loss", what) => format!("{what}: {}", self.facts),
            ("step", "rewind") => "rewound".to_owned(),
            // What a node thinks of a silent store, and a primary of its own end.
            ("decision", why) if TOLD.iter().any(|start| why.starts_with(start)) => why.to_owned(),
            _ => return None,
        };
        Some(told)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Seconds since the fault.
    pub at_seconds: f64,
    /// Who: a member, `clients` or `drill`.
    pub who: String,
    /// What.
    pub what: String,
}

/// What the drill itself did, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// Unix time in microseconds.
    pub at_micros: i64,
    /// What.
    pub what: String,
}

/// Puts deeds, events and the clients' outage in order; everything counts from the first deed.
pub fn lines(deeds: &[Deed], events: &[Event], outage: Option<Outage>) -> Vec<Line> {
    let Some(origin) = deeds.first().map(|deed| deed.at_micros) else { return Vec::new() };
    let at = |micros: i64| since(origin, micros);
    let mut found: Vec<Line> = Vec::new();
    let mut add = |at_seconds: f64, who: &str, what: String| {
        found.push(Line { at_seconds, who: who.to_owned(), what });
    };
    for deed in deeds {
        add(at(deed.at_micros), "drill", deed.what.clone());
    }
    for event in events.iter().filter(|event| event.at_micros >= origin) {
        if let Some(told) = event.told() {
            add(at(event.at_micros), &event.member, told);
        }
    }
    if let Some(outage) = outage {
        add(outage.from, "clients", "last write before the gap".to_owned());
        let gap = outage.to - outage.from;
        add(outage.to, "clients", format!("writes again, after {gap:.3} s"));
    }
    found.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    found
}

#[expect(clippy::cast_precision_loss, reason = "a drill is over within hours")]
fn since(origin: i64, micros: i64) -> f64 {
    ((micros - origin) as f64 / 1000.0).round() / 1000.0
}

/// A time without an acknowledged write, counted from the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// Its beginning: the last write before it.
    pub from: f64,
    /// Its end: the first write after it.
    pub to: f64,
}

/// The longest outage that was not over before the fault; `fault` counts from the traffic's start.
pub fn outage_after(fault: f64, gaps: &[Gap]) -> Option<Outage> {
    let after = gaps.iter().filter(|gap| gap.to_seconds() > fault);
    let longest = after.max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
    Some(Outage {
        from: round(longest.from_seconds - fault),
        to: round(longest.to_seconds() - fault),
    })
}

/// Everything that the agents noted, for machines.
pub fn document(events: &[Event]) -> Value {
    let one = |event: &Event| {
        json!({
            "member": event.member, "at_micros": event.at_micros, "kind": event.kind,
            "what": event.what, "detail": event.detail, "facts": event.facts,
            "seconds": event.seconds,
        })
    };
    events.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(member: &str, at_micros: i64, kind: &str, what: &str, facts: Value) -> Event {
        let document = json!({"events": [
            {"at_micros": at_micros, "kind": kind, "what": what, "facts": facts}, {"what": "no time"},
        ]});
        Event::list(member, &document).remove(0)
    }

    #[test]
    fn a_failover_is_one_story_from_the_fault_on() {
        let events = [
            event("pg-a", 900_000, "lease", "taken", json!({})),
            event("pg-a", 1_020_000, "server", "down", json!({})),
            event("pg-a", 1_030_000, "lease", "released", json!({"term": 8})),
            event("pg-b", 1_035_000, "decision", "follow", json!({})),
            event("pg-b", 1_060_000, "lease", "taken", json!({"term": 9})),
            event("pg-b", 1_120_000, "promotion", "promoted", json!({"timeline": 5, "term": 9})),
        ];
        let deeds = [Deed { at_micros: 1_000_000, what: "pg-a is told to stop".to_owned() }];
        let outage = Some(Outage { from: -0.005, to: 0.25 });
        let told: Vec<String> = lines(&deeds, &events, outage)
            .iter()
            .map(|line| format!("{:.3} {} {}", line.at_seconds, line.who, line.what))
            .collect();
        let expected = [
            "-0.005 clients last write before the gap",
            "0.000 drill pg-a is told to stop",
            "0.020 pg-a server is down",
            "0.030 pg-a key released (term 8)",
            "0.060 pg-b key taken (term 9)",
            "0.120 pg-b promoted, timeline 5",
            "0.250 clients writes again, after 0.255 s",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_outage_before_the_fault_is_not_its_work() {
        let gap = |from_seconds, seconds| Gap { from_seconds, seconds };
        let gaps = [gap(1.0, 9.0), gap(11.9, 1.5), gap(20.0, 0.5)];
        assert_eq!(outage_after(12.0, &gaps), Some(Outage { from: -0.1, to: 1.4 }));
        assert_eq!(outage_after(30.0, &gaps), None);
    }
}
