//! How Patroni reads a boolean, a whole number, a duration and a command out of a YAML or JSON value.

use std::time::Duration;

use serde_json::Value;

/// `on true yes 1` and `off false no 0` in any case; `None` for anything else.
pub(super) fn parse_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => match number.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a number without a unit counts in, for the keys that allow units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// No unit may be written.
    None,
    /// Seconds; `us ms s min h d` may be written.
    Seconds,
    /// Mebibytes; `B kB MB GB TB` may be written.
    Mebibytes,
    /// Bytes; `B kB MB GB TB` may be written.
    Bytes,
}

impl Unit {
    /// How many of the base unit one of `suffix` is.
    fn factor(self, suffix: &str) -> Option<f64> {
        let factor = match (self, suffix) {
            (_, "") => 1.0,
            (Unit::Seconds, "us") => 1e-6,
            (Unit::Seconds, "ms") => 1e-3,
            (Unit::Seconds, "s") => 1.0,
            (Unit::Seconds, "min") => 60.0,
            (Unit::Seconds, "h") => 3600.0,
            (Unit::Seconds, "d") => 86400.0,
            (Unit::Mebibytes, "B") => 1.0 / 1_048_576.0,
            (Unit::Mebibytes, "kB") => 1.0 / 1024.0,
            (Unit::Mebibytes, "MB") => 1.0,
            (Unit::Mebibytes, "GB") => 1024.0,
            (Unit::Mebibytes, "TB") => 1_048_576.0,
            (Unit::Bytes, "B") => 1.0,
            (Unit::Bytes, "kB") => 1024.0,
            (Unit::Bytes, "MB") => 1_048_576.0,
            (Unit::Bytes, "GB") => 1_073_741_824.0,
            (Unit::Bytes, "TB") => 1_099_511_627_776.0,
            _ => return None,
        };
        Some(factor)
    }
}

/// A span of time as the configuration writes it: seconds, or a text with a unit such as `1min`.
pub fn parse_duration(value: &Value) -> Option<std::time::Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let (number, suffix) = leading_number(text.trim())?;
            number * Unit::Seconds.factor(suffix.trim())?
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

/// A whole number as PostgreSQL writes it: decimal, `0x` hexadecimal, octal after a leading zero, a
/// fraction (rounded), and a unit where the key has one.
pub(super) fn parse_int(value: &Value, unit: Unit) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| rounded(number.as_f64()?)),
        Value::String(text) => parse_int_text(text.trim(), unit),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn parse_int_text(text: &str, unit: Unit) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, suffix) = leading_number(digits)?;
    let factor = unit.factor(suffix.trim())?;
    rounded(number * factor)?.checked_mul(sign)
}

/// The number that a text starts with, and what follows it.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let number = u64::from_str_radix(&hex[..end], 16).ok()?;
        return Some((number as f64, &hex[end..]));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let digits = &text[..end];
    let is_octal = digits.len() > 1 && digits.starts_with('0') && !digits.contains('.');
    if is_octal && let Ok(number) = u64::from_str_radix(digits, 8) {
        return Some((number as f64, &text[end..]));
    }
    let (exponent, rest) = exponent(&text[end..]);
    let number: f64 = digits.parse().ok()?;
    Some((number * 10f64.powi(exponent), rest))
}

/// The exponent at the start of `text`, if there is one, and what follows.
fn exponent(text: &str) -> (i32, &str) {
    let none = (0, text);
    let Some(after) = text.strip_prefix(['e', 'E']) else { return none };
    let signed = after.strip_prefix(['+', '-']).unwrap_or(after);
    let digits = signed.find(|c: char| !c.is_ascii_digit()).unwrap_or(signed.len());
    let end = after.len() - signed.len() + digits;
    after[..end].parse().map_or(none, |exponent| (exponent, &after[end..]))
}

fn rounded(number: f64) -> Option<i64> {
    let whole = number.round();
    (whole.is_finite() && whole.abs() < 9.0e18).then_some(whole as i64)
}

/// A size as the queries of health checks write it, in bytes; `None` when it is negative or no size.
pub fn parse_size_bytes(text: &str) -> Option<u64> {
    u64::try_from(parse_int_text(text.trim(), Unit::Bytes)?).ok()
}

/// A number of seconds, fractions included; `None` when it is negative or no number.
pub(super) fn parse_seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// A value as PostgreSQL's configuration writes it; `None` for null, lists and mappings.
pub(super) fn guc_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(on) => Some(if *on { "on" } else { "off" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A command split as a shell would, but run without one; `None` for what is none.
pub(super) fn parse_command(value: &Value) -> Option<Vec<String>> {
    shell_words::split(value.as_str()?).ok().filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn booleans_are_words_in_any_case() {
        for (value, expected) in [
            (json!("ON"), Some(true)),
            (json!("no"), Some(false)),
            (json!(1), Some(true)),
            (json!(2), None),
            (json!("quorum"), None),
            (json!(null), None),
        ] {
            assert_eq!(parse_bool(&value), expected, "{value}");
        }
    }

    #[test]
    fn whole_numbers_are_read_as_postgresql_reads_them() {
        for (value, unit, expected) in [
            (json!("0x10"), Unit::None, Some(16)),
            (json!("010"), Unit::None, Some(8)),
            (json!("08"), Unit::None, Some(8)),
            (json!("1.5e3"), Unit::None, Some(1500)),
            (json!(2.6), Unit::None, Some(3)),
            (json!("1MB"), Unit::None, None),
            (json!("2GB"), Unit::Mebibytes, Some(2048)),
            (json!("30min"), Unit::Seconds, Some(1800)),
            (json!("-1"), Unit::None, Some(-1)),
            (json!("0x"), Unit::None, None),
            (json!("1e999999999999"), Unit::None, None),
            (json!(""), Unit::None, None),
            (json!(true), Unit::None, None),
        ] {
            assert_eq!(parse_int(&value, unit), expected, "{value}");
        }
    }

    #[test]
    fn seconds_are_not_negative() {
        assert_eq!(parse_seconds(&json!(1.5)), Some(Duration::from_millis(1500)));
        assert_eq!(parse_seconds(&json!(-1)), None);
        assert_eq!(parse_seconds(&json!("nan")), None);
    }

    #[test]
    fn sizes_have_case_sensitive_units() {
        for (text, bytes) in [
            ("1.5MB", Some(1_572_864)),
            ("010", Some(8)),
            ("0x10", Some(16)),
            ("16 kB", Some(16_384)),
            ("1e3", Some(1_000)),
            ("1KB", None),
            ("1MiB", None),
            ("-1", None),
            ("", None),
            ("MB", None),
        ] {
            assert_eq!(parse_size_bytes(text), bytes, "{text}");
        }
    }
}
