//! `GET /pgbaton/events`: what happened here, chosen by the query.

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use jiff::Timestamp;
use serde_json::json;

use super::ApiState;
use super::query::Query;
use super::reply::{self, Refused, Reply};
use crate::publish::{Event, EventKind, Status};

/// Answers with the events that the query asks for.
pub fn show(api: &ApiState, status: &Status, uri: &Uri) -> Result<Reply, Refused> {
    let now_micros = api.0.clock.wall_micros();
    let choice = Choice::of(&Query::of(uri), now_micros)
        .map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?;
    let document = json!({
        "scope": status.scope,
        "name": status.name.as_str(),
        "now_micros": now_micros,
        "unwritten": api.0.counted.events.unwritten(),
        "events": choice.among(api.0.counted.events.list()),
    });
    Ok(reply::document(StatusCode::OK, &document))
}

/// Which events are wanted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    since_micros: Option<i64>,
    after: Option<u64>,
    kinds: Vec<EventKind>,
    limit: Option<usize>,
}

impl Choice {
    fn of(query: &Query, now_micros: i64) -> Result<Self, String> {
        let number = |key: &str| {
            let read = |text: &str| {
                text.parse::<u64>().map_err(|_| format!("{key}: \"{text}\" is no whole number"))
            };
            query.first(key).map(read).transpose()
        };
        let since = query.first("since").map(|text| moment_micros(text, now_micros)).transpose();
        let kinds =
            query.first("kind").unwrap_or_default().split(',').filter(|one| !one.is_empty());
        Ok(Self {
            since_micros: since.map_err(|why| format!("since: {why}"))?,
            after: number("after")?,
            kinds: kinds.map(kind).collect::<Result<_, _>>()?,
            limit: number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        })
    }

    fn among(&self, mut events: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
        events.retain(|event| {
            self.since_micros.is_none_or(|since| event.at_micros >= since)
                && self.after.is_none_or(|after| event.seq > after)
                && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
        });
        let surplus = self.limit.map_or(0, |limit| events.len().saturating_sub(limit));
        events.drain(..surplus);
        events
    }
}

fn kind(word: &str) -> Result<EventKind, String> {
    let known = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let found = EventKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| format!("kind: \"{word}\" is none of {}", known()))
}

/// A moment as people write it: RFC 3339, Unix seconds, or a length of time back from `now_micros`.
///
/// # Errors
/// What was expected.
pub fn moment_micros(text: &str, now_micros: i64) -> Result<i64, String> {
    let text = text.trim();
    let scaled = |number: f64, factor: f64| (number * factor * 1e6).round() as i64;
    let finite = |text: &str| text.parse::<f64>().ok().filter(|one| one.is_finite() && *one >= 0.0);
    if let Some(seconds) = finite(text) {
        return Ok(scaled(seconds, 1.0));
    }
    // A plus sign in a query means a space.
    if let Ok(moment) = text.replace(' ', "+").parse::<Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    let back = [("s", 1.0), ("min", 60.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)]
        .into_iter()
        .find_map(|(unit, seconds)| Some(scaled(finite(text.strip_suffix(unit)?)?, seconds)));
    back.map(|back| now_micros.saturating_sub(back)).ok_or_else(|| {
        format!(
            "\"{text}\" is no moment: write 2026-03-02T08:15:44Z, Unix seconds such as 1772439344.5, \
             or how long ago, such as 90s, 15m, 2h or 1d"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_439_400_000_000;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        for (text, expected) in [
            ("1772439344.5", Ok(1_772_439_344_500_000)),
            ("2026-03-02T08:15:44.5Z", Ok(1_772_439_344_500_000)),
            ("2026-03-02T09:15:44.5+01:00", Ok(1_772_439_344_500_000)),
            ("2026-03-02T09:15:44.5 01:00", Ok(1_772_439_344_500_000)),
            ("90s", Ok(NOW - 90_000_000)),
            ("1.5m", Ok(NOW - 90_000_000)),
            ("5min", Ok(NOW - 300_000_000)),
            ("2h", Ok(NOW - 7_200_000_000)),
            ("1d", Ok(NOW - 86_400_000_000)),
            ("", Err(())),
            ("yesterday", Err(())),
            ("-5", Err(())),
            ("2026-03-02", Err(())),
            ("infs", Err(())),
        ] {
            assert_eq!(moment_micros(text, NOW).map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let choice = |text: &str| {
            let uri = format!("/pgbaton/events?{text}").parse().unwrap();
            Choice::of(&Query::of(&uri), NOW)
        };
        assert_eq!(choice(""), Ok(Choice::default()));
        let kinds = vec![EventKind::Lease, EventKind::Promotion];
        assert_eq!(choice("kind=lease,promotion").unwrap().kinds, kinds);
        assert!(choice("kind=leases").unwrap_err().contains("agent, decision"));
        assert!(choice("limit=-1").unwrap_err().contains("limit: \"-1\""));
        assert!(choice("after=x").unwrap_err().contains("after"));
        assert!(choice("since=then").unwrap_err().starts_with("since: "));
    }
}
