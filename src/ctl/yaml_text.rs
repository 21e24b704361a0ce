//! Values as YAML text in the spelling that Patroni's tools have: keys sorted, a text quoted only
//! where YAML 1.1 would read it as something else (which is why no YAML 1.2 library does it).

use std::fmt::Write;

use serde_json::Value;

/// The block style, with a line break at the end.
pub(crate) fn block(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => block_mapping(&mut text, fields, 0),
        Value::Array(items) if !items.is_empty() => block_list(&mut text, items, 0),
        other => {
            text.push_str(&plain(other));
            text.push('\n');
        }
    }
    text
}

/// The flow style, on one line: `{rack: r7, zones: [a, b]}`.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let field =
                |(key, value): (&String, &Value)| format!("{}: {}", scalar(key, true), flow(value));
            format!("{{{}}}", sorted(fields).into_iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text, true),
        other => plain(other),
    }
}

type Fields = serde_json::Map<String, Value>;

fn sorted(fields: &Fields) -> Vec<(&String, &Value)> {
    let mut fields = fields.iter().collect::<Vec<_>>();
    fields.sort_by_key(|(key, _)| *key);
    fields
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text, false),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => flow(value),
    }
}

fn block_mapping(text: &mut String, fields: &Fields, depth: usize) {
    for (index, (key, value)) in sorted(fields).into_iter().enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(depth));
        }
        text.push_str(&scalar(key, false));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                text.push_str(&" ".repeat(depth + 2));
                block_mapping(text, inner, depth + 2);
            }
            // A list in a mapping is not indented further.
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                text.push_str(&" ".repeat(depth));
                block_list(text, items, depth);
            }
            other => {
                let _ = writeln!(text, " {}", plain(other));
            }
        }
    }
}

fn block_list(text: &mut String, items: &[Value], depth: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(depth));
        }
        text.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => block_mapping(text, inner, depth + 2),
            Value::Array(inner) if !inner.is_empty() => block_list(text, inner, depth + 2),
            other => {
                let _ = writeln!(text, "{}", plain(other));
            }
        }
    }
}

/// A text as a scalar: plain where it can be, else quoted.
fn scalar(text: &str, is_in_flow: bool) -> String {
    if text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
        // JSON's escapes are YAML's.
        return super::output::json_text(&text.into());
    }
    if can_be_plain(text, is_in_flow) && !reads_as_another_type(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn can_be_plain(text: &str, is_in_flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let second_is_space = text[first.len_utf8()..].chars().next().is_none_or(char::is_whitespace);
    let starts_well = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => false,
        '?' | ':' => !is_in_flow && !second_is_space,
        '-' => !second_is_space,
        _ => !text.starts_with("---") && !text.starts_with("..."),
    };
    let breaks_flow = is_in_flow && text.contains([',', '?', '[', ']', '{', '}', ':']);
    let ends_early = text.contains(": ") || text.ends_with(':') || text.contains(" #");
    starts_well && text.trim() == text && !ends_early && !breaks_flow
}

/// Whether YAML 1.1 reads the plain text as something that is no text.
fn reads_as_another_type(text: &str) -> bool {
    const WORDS: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "~", "<<", "="];
    WORDS.contains(&text.to_ascii_lowercase().as_str()) || is_number(text) || is_timestamp(text)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return !hex.is_empty() && hex.chars().all(|one| one.is_ascii_hexdigit() || one == '_');
    }
    let lower = lower.strip_prefix("0b").or(lower.strip_prefix("0o")).unwrap_or(&lower);
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((lower, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_exponent = !exponent.is_empty() && exponent.bytes().all(|one| one.is_ascii_digit());
    let starts_well = mantissa.starts_with(|one: char| one.is_ascii_digit())
        || (mantissa.starts_with('.') && mantissa.len() > 1);
    starts_well
        && is_exponent
        && mantissa.matches('.').count() <= 1
        && mantissa.bytes().all(|one| one.is_ascii_digit() || matches!(one, b'_' | b'.' | b':'))
}

fn is_timestamp(text: &str) -> bool {
    let is_date = |part: &str| {
        let parts = part.split('-').collect::<Vec<_>>();
        let digits = |one: &&str| one.bytes().all(|byte| byte.is_ascii_digit());
        parts.len() == 3 && parts[0].len() == 4 && parts.iter().all(digits)
    };
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    is_date(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_quoted_only_where_it_would_be_read_as_something_else() {
        for plain in ["192.0.2.11", "2/5E0001A8", "16MB", "r7", "a b", "-x", "a:b", "host=a", "1-2"]
        {
            assert_eq!(block(&json!(plain)), format!("{plain}\n"));
        }
        for quoted in [
            "",
            "on",
            "Yes",
            "null",
            "10",
            "1.5",
            "1e5",
            "0x1F",
            "1_000",
            "1:30",
            "17.2",
            "-",
            "#a",
            "a: b",
            "a #b",
            "x:",
            " a",
            "*",
            "2031-03-02",
            "2031-03-02T03:00:00+00:00",
        ] {
            assert_eq!(block(&json!(quoted)), format!("'{quoted}'\n"));
        }
        assert_eq!(block(&json!("'a")), "'''a'\n");
        assert_eq!(block(&json!("a\nb")), "\"a\\nb\"\n");
        assert_eq!(flow(&json!({"b": "x:y", "a": [1, null]})), "{a: [1, null], b: 'x:y'}");
    }

    #[test]
    fn blocks_nest() {
        let value = json!({
            "b": {"d": [1, {"y": 2, "x": {}}], "c": null},
            "a": [[1, 2], []],
        });
        let expected = "\
a:
- - 1
  - 2
- []
b:
  c: null
  d:
  - 1
  - x: {}
    y: 2
";
        assert_eq!(block(&value), expected);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "ttl": 30, "x": {"on": "on", "n": "012", "t": "a\tb", "e": "", "l": ["- a", "b: c"]},
            "list": [{"a": 1, "b": [true, "true"]}], "float": 1.5, "colon": "a:b:", "uni": "é",
        });
        assert_eq!(crate::config::parse_yaml(&block(&value)), Ok(value.clone()));
        assert_eq!(crate::config::parse_yaml(&flow(&value)), Ok(value));
    }
}
