//! The three times of the cluster and how they are made to fit: `loop_wait + 2 x retry_timeout <= ttl`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::dynamic::{Adjustment, DocumentError, Floors};

/// The three times in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub ttl: Duration,
    pub loop_wait: Duration,
    pub retry_timeout: Duration,
}

impl Timing {
    /// What is in force where nothing was said.
    pub const DEFAULT: Timing = Timing {
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(10),
    };

    const fn of_seconds(seconds: Seconds) -> Self {
        Self {
            ttl: Duration::from_secs(seconds.ttl),
            loop_wait: Duration::from_secs(seconds.loop_wait),
            retry_timeout: Duration::from_secs(seconds.retry_timeout),
        }
    }
}

/// Longer times are cut to this (about 31 years), so that no sum overflows.
const SECONDS_MAX: u64 = 1_000_000_000;
/// Below this `ttl` (seconds) no two whole numbers of at least one fit the rule.
const SMALLEST_TTL_OF_WHOLE_SECONDS: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seconds {
    ttl: u64,
    loop_wait: u64,
    retry_timeout: u64,
}

impl Floors {
    const fn seconds(self) -> Seconds {
        match self {
            Floors::Own => Seconds { ttl: 1, loop_wait: 1, retry_timeout: 1 },
            Floors::Patroni => Seconds { ttl: 20, loop_wait: 1, retry_timeout: 3 },
        }
    }
}

/// The times of a document, adjusted where they must be.
pub(super) fn read(
    document: &Map<String, Value>,
    floors: Floors,
) -> Result<(Timing, Vec<Adjustment>), DocumentError> {
    let mut adjustments = Vec::new();
    let floor = floors.seconds();
    let mut at_least = |key: &'static str, default: u64, floor: u64| {
        let Some(value) = document.get(key) else { return Ok(default) };
        let given = whole_seconds(key, value)?;
        let used = given.clamp(i128::from(floor), i128::from(SECONDS_MAX));
        if used != given {
            let message = format!("{given} is out of bounds: {used} s is in force");
            adjustments.push(Adjustment::new(key, message));
        }
        Ok(u64::try_from(used).unwrap_or(floor))
    };
    let given = Seconds {
        ttl: at_least("ttl", 30, floor.ttl)?,
        loop_wait: at_least("loop_wait", 10, floor.loop_wait)?,
        retry_timeout: at_least("retry_timeout", 10, floor.retry_timeout)?,
    };
    let timing = fit(given);
    say_what_changed(Timing::of_seconds(given), timing, &mut adjustments);
    Ok((timing, adjustments))
}

/// Makes the three fit each other; `ttl` stays.
fn fit(given: Seconds) -> Timing {
    let Seconds { ttl, loop_wait, retry_timeout } = given;
    if ttl < SMALLEST_TTL_OF_WHOLE_SECONDS {
        // Renewals have times of their own, so thirds of so short a ttl harm nothing.
        let third = Duration::from_millis(ttl * 1000 / 3);
        return Timing { ttl: Duration::from_secs(ttl), loop_wait: third, retry_timeout: third };
    }
    let fitted = if 1 + 2 * retry_timeout > ttl {
        Seconds { ttl, loop_wait: 1, retry_timeout: (ttl - 1) / 2 }
    } else if loop_wait + 2 * retry_timeout > ttl {
        Seconds { loop_wait: ttl - 2 * retry_timeout, ..given }
    } else {
        given
    };
    Timing::of_seconds(fitted)
}

fn say_what_changed(given: Timing, used: Timing, adjustments: &mut Vec<Adjustment>) {
    let changes = [
        ("loop_wait", given.loop_wait, used.loop_wait),
        ("retry_timeout", given.retry_timeout, used.retry_timeout),
    ];
    for (key, given, used_here) in changes {
        if given != used_here {
            let message = format!(
                "{given:?} does not fit into a ttl of {:?} (loop_wait + 2 x retry_timeout <= ttl): \
                 {used_here:?} is in force",
                used.ttl
            );
            adjustments.push(Adjustment::new(key, message));
        }
    }
}

/// A plain cast as Patroni makes it: numbers are cut, digits in quotes count.
fn whole_seconds(key: &'static str, value: &Value) -> Result<i128, DocumentError> {
    let number = match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_f64().filter(|n| n.is_finite()).map(|n| n.trunc() as i128)),
        Value::Bool(on) => Some(i128::from(*on)),
        Value::String(text) => text.trim().parse::<i64>().ok().map(i128::from),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or_else(|| DocumentError::Time { key, found: value.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Times in milliseconds: ttl, loop_wait, retry_timeout.
    #[track_caller]
    fn check(document: Value, floors: Floors, expected: (u128, u128, u128)) {
        let (timing, _) = read(document.as_object().unwrap(), floors).unwrap();
        let found = (
            timing.ttl.as_millis(),
            timing.loop_wait.as_millis(),
            timing.retry_timeout.as_millis(),
        );
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn patronis_table_of_adjusted_times() {
        let table = [
            (json!({"ttl": 30, "loop_wait": 15, "retry_timeout": 10}), (30_000, 10_000, 10_000)),
            (json!({"ttl": 30, "loop_wait": 15, "retry_timeout": 15}), (30_000, 1_000, 14_000)),
            (json!({"ttl": 20}), (20_000, 1_000, 9_000)),
            (json!({"ttl": 5, "loop_wait": 0, "retry_timeout": 1}), (20_000, 1_000, 3_000)),
            (json!({"ttl": 31, "retry_timeout": 15}), (31_000, 1_000, 15_000)),
        ];
        for (document, expected) in table {
            check(document, Floors::Patroni, expected);
        }
    }

    #[test]
    fn our_own_table_of_adjusted_times() {
        let table = [
            (json!({}), (30_000, 10_000, 10_000)),
            (json!({"ttl": 5}), (5_000, 1_000, 2_000)),
            (json!({"ttl": 5, "loop_wait": 2, "retry_timeout": 1}), (5_000, 2_000, 1_000)),
            (json!({"ttl": 3}), (3_000, 1_000, 1_000)),
            (json!({"ttl": 2}), (2_000, 666, 666)),
            (json!({"ttl": 1}), (1_000, 333, 333)),
            (json!({"ttl": -4}), (1_000, 333, 333)),
            (json!({"ttl": "6", "loop_wait": 1.9, "retry_timeout": true}), (6_000, 1_000, 1_000)),
        ];
        for (document, expected) in table {
            check(document, Floors::Own, expected);
        }
    }

    #[test]
    fn what_is_adjusted_is_said() {
        let said = |document: Value| {
            let (_, said) = read(document.as_object().unwrap(), Floors::Own).unwrap();
            said.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(json!({})), "");
        assert!(said(json!({"ttl": 0})).starts_with("ttl: 0 is out of bounds: 1 s is in force"));
        let both = said(json!({"ttl": 5}));
        assert!(both.contains("loop_wait: 10s does not fit into a ttl of 5s"), "{both}");
        assert!(both.contains("2s is in force"), "{both}");
    }

    #[test]
    fn a_time_with_a_unit_rejects_the_document() {
        for value in [json!("30s"), json!(null), json!([]), json!("")] {
            let document = json!({ "ttl": value });
            assert!(read(document.as_object().unwrap(), Floors::Own).is_err(), "{document}");
        }
    }
}
