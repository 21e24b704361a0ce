//! Whether a value fits the type of its key, and what to say when it does not.

use super::HostPort;
use super::LogLevel;
use super::check::Findings;
use super::known::Kind;
use super::listen::Listen;
use super::scalar_rules::{Unit, guc_text, parse_bool, parse_command, parse_int, parse_seconds};
use super::yaml::{Content, Entry, Node, Place};

/// Options that the agent gives to `initdb` itself, or that make no sense here.
const FORBIDDEN_INITDB_OPTIONS: [&str; 5] = ["pgdata", "nosync", "pwfile", "sync-only", "version"];

/// What log lines can come from: the agent, the server, and the libraries for etcd and HTTP.
const LOGGERS: [&str; 8] =
    ["pgbaton", "postgres", "etcd_client", "tonic", "h2", "hyper", "hyper_util", "tokio_postgres"];

/// Checks one value; what does not fit becomes a finding.
pub(super) fn check(kind: Kind, key: &str, entry: &Entry, findings: &mut Findings) {
    let value = &entry.value;
    match kind {
        Kind::Scalars | Kind::Gucs => return scalars(key, entry, findings),
        Kind::Lines => return lines(key, entry, findings),
        Kind::InitdbOptions => return initdb_options(key, entry, findings),
        Kind::TagSwitch => return tag_switch(key, entry, findings),
        Kind::Loggers => return loggers(key, entry, findings),
        _ => {}
    }
    if let Some(expected) = expected(kind, value) {
        let mut message = format!("expected {expected}, found {}", shown(key, value));
        if wants_quotes(kind, value) {
            message.push_str("; write it in quotes");
        }
        findings.error(&value_place(entry), key, message);
    }
}

/// The line to point at: the value's own for a scalar, the key's for what goes over many lines.
fn value_place(entry: &Entry) -> Place {
    match entry.value.content {
        Content::List(_) | Content::Mapping(_) => entry.place.clone(),
        _ => entry.value.place.clone(),
    }
}

/// What stands there, unless it may be a secret.
fn shown(key: &str, value: &Node) -> String {
    let is_scalar = !matches!(value.content, Content::List(_) | Content::Mapping(_));
    if key.ends_with("password") && is_scalar {
        return "something else (not shown)".to_owned();
    }
    value.describe()
}

/// Whether YAML made something else of a value that was probably meant as a text.
fn wants_quotes(kind: Kind, value: &Node) -> bool {
    let wants_text = matches!(kind, Kind::Text | Kind::Path | Kind::Address | Kind::Listen);
    let is_rewritten = match &value.content {
        Content::Int(number, written) => number.to_string() != *written,
        Content::Float(..) | Content::Bool(_) => matches!(kind, Kind::Text | Kind::Path),
        _ => false,
    };
    wants_text && is_rewritten
}

/// What was expected, when the value is something else.
fn expected(kind: Kind, value: &Node) -> Option<String> {
    let fixed = |fits: bool, expected: &str| (!fits).then(|| expected.to_owned());
    let json = value.to_json();
    match kind {
        Kind::Any => None,
        Kind::Section | Kind::OpenSection | Kind::Mapping => {
            fixed(matches!(value.content, Content::Mapping(_)), "a mapping")
        }
        Kind::Text => fixed(value.text().is_some(), "a text"),
        Kind::Path => fixed(value.text().is_some_and(|path| !path.is_empty()), "a path"),
        Kind::Switch => fixed(parse_bool(&json).is_some(), "true or false"),
        Kind::Int(least, most) => {
            let fits = parse_int(&json, Unit::None).is_some_and(|n| (least..=most).contains(&n));
            (!fits).then(|| whole_number_between(least, most))
        }
        Kind::Number(least) => {
            let fits = parse_int(&json, Unit::None).is_some_and(|n| n >= least);
            (!fits).then(|| format!("a whole number of at least {least}, without a unit"))
        }
        Kind::Seconds => fixed(parse_seconds(&json).is_some(), "a number of seconds"),
        Kind::Time => fixed(is_time(value), "a whole number of seconds, without a unit"),
        Kind::Duration => fixed(
            parse_int(&json, Unit::Seconds).is_some_and(|seconds| seconds >= 0),
            "a duration such as 300 or 5min",
        ),
        Kind::Address => {
            fixed(value.text().is_some_and(|text| text.parse::<HostPort>().is_ok()), "host:port")
        }
        Kind::Listen => {
            fixed(value.text().is_some_and(|text| Listen::parse(text).is_some()), "host:port")
        }
        Kind::OneOf(words) => {
            let fits =
                value.text().is_some_and(|text| words.contains(&text.to_lowercase().as_str()));
            (!fits).then(|| format!("one of {}", words.join(", ")))
        }
        Kind::Level => fixed(
            value.text().is_some_and(|text| LogLevel::from_name(text).is_some()),
            "DEBUG, INFO, WARNING or ERROR",
        ),
        Kind::HostList => fixed(host_list(value).is_some(), "a list, or a text with commas"),
        Kind::Command => {
            fixed(parse_command(&json).is_some(), "a command, whose quotes are closed")
        }
        Kind::SynchronousMode => fixed(
            json.as_str().is_some_and(|text| text.eq_ignore_ascii_case("quorum"))
                || parse_bool(&json).is_some(),
            "on, off or quorum",
        ),
        Kind::WatchdogMode => {
            fixed(super::watchdog::mode(&json).is_some(), "off, automatic or required")
        }
        Kind::Scalars
        | Kind::Gucs
        | Kind::Lines
        | Kind::InitdbOptions
        | Kind::TagSwitch
        | Kind::Loggers => None,
    }
}

fn whole_number_between(least: i64, most: i64) -> String {
    match (least, most) {
        (i64::MIN, i64::MAX) => "a whole number".to_owned(),
        (_, i64::MAX) => format!("a whole number of at least {least}"),
        _ => format!("a whole number from {least} to {most}"),
    }
}

fn is_time(value: &Node) -> bool {
    match &value.content {
        Content::Int(..) => true,
        Content::Float(number, _) => number.is_finite(),
        Content::Text(text) => text.trim().parse::<i64>().is_ok(),
        _ => false,
    }
}

/// The hosts of a list, or of a text with commas.
pub(super) fn host_list(value: &Node) -> Option<Vec<String>> {
    let hosts: Vec<String> = match &value.content {
        Content::List(items) => {
            items.iter().map(|item| item.text().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => value.text()?.split(',').map(|host| host.trim().to_owned()).collect(),
    };
    Some(hosts.into_iter().filter(|host| !host.is_empty()).collect())
}

fn scalars(key: &str, entry: &Entry, findings: &mut Findings) {
    let Content::Mapping(entries) = &entry.value.content else {
        let message = format!("expected a mapping, found {}", entry.value.describe());
        return findings.error(&entry.place, key, message);
    };
    for one in entries {
        if !one.value.is_null() && guc_text(&one.value.to_json()).is_none() {
            let message =
                format!("expected a text, a number or a boolean, found {}", one.value.describe());
            findings.error(&one.place, &format!("{key}.{}", one.key), message);
        }
    }
}

fn lines(key: &str, entry: &Entry, findings: &mut Findings) {
    let Content::List(items) = &entry.value.content else {
        let message = format!("expected a list of lines, found {}", entry.value.describe());
        return findings.error(&entry.place, key, message);
    };
    for item in items {
        if item.text().is_none() {
            let message = format!("expected a line of text, found {}", item.describe());
            findings.error(&item.place, key, message);
        }
    }
}

fn initdb_options(key: &str, entry: &Entry, findings: &mut Findings) {
    let pairs: Vec<(&str, Option<&Node>, &Place)> = match &entry.value.content {
        Content::Mapping(options) => {
            options.iter().map(|one| (one.key.as_str(), Some(&one.value), &one.place)).collect()
        }
        Content::List(items) => {
            let mut pairs = Vec::new();
            for item in items {
                match (item.text(), item.entries()) {
                    (Some(flag), _) => pairs.push((flag, None, &item.place)),
                    (None, [one]) => {
                        pairs.push((one.key.as_str(), Some(&one.value), &one.place));
                    }
                    _ => {
                        let message = "expected an option such as data-checksums or encoding: UTF8";
                        findings.error(&item.place, key, message);
                    }
                }
            }
            pairs
        }
        _ => {
            let message = format!("expected a list of options, found {}", entry.value.describe());
            return findings.error(&entry.place, key, message);
        }
    };
    for (option, value, place) in pairs {
        if FORBIDDEN_INITDB_OPTIONS.contains(&option) {
            findings.error(place, key, format!("the option {option} is not allowed here"));
        } else if let Some(value) = value
            && guc_text(&value.to_json()).is_none()
        {
            let message = format!("expected a text for {option}, found {}", value.describe());
            findings.error(place, key, message);
        }
    }
}

/// The options of `bootstrap.initdb`, ready to pass. Call it on what was checked.
pub(super) fn initdb_arguments(value: &Node) -> Vec<String> {
    let pair = |entry: &Entry| match &entry.value.content {
        // In the mapping form a flag is an option that is true.
        Content::Bool(true) => Some(format!("--{}", entry.key)),
        Content::Bool(false) | Content::Null => None,
        Content::Int(_, text) | Content::Float(_, text) | Content::Text(text) => {
            Some(format!("--{}={text}", entry.key))
        }
        Content::List(_) | Content::Mapping(_) => None,
    };
    match &value.content {
        Content::List(items) => items
            .iter()
            .filter_map(|item| match item.text() {
                Some(flag) => Some(format!("--{flag}")),
                None => item.entries().first().and_then(pair),
            })
            .collect(),
        _ => value.entries().iter().filter_map(pair).collect(),
    }
}

/// Patroni's loggers are Python's modules; a name that means none of ours would do nothing.
fn loggers(key: &str, entry: &Entry, findings: &mut Findings) {
    let Content::Mapping(entries) = &entry.value.content else {
        let message = format!("expected a mapping, found {}", entry.value.describe());
        return findings.error(&entry.place, key, message);
    };
    for one in entries {
        let key = format!("{key}.{}", one.key);
        if one.value.text().and_then(LogLevel::from_name).is_none() {
            let found = one.value.describe();
            let message = format!("expected DEBUG, INFO, WARNING or ERROR, found {found}");
            findings.error(&value_place(one), &key, message);
        }
        let first = one.key.split(['.', ':']).next().unwrap_or_default();
        if !LOGGERS.contains(&first) {
            let message = "no such logger: expected pgbaton, one of its modules such as pgbaton.act, \
                           or postgres for what the server says";
            findings.warning(&one.place, &key, message.to_owned());
        }
    }
}

fn tag_switch(key: &str, entry: &Entry, findings: &mut Findings) {
    if let Content::Text(text) = &entry.value.content
        && parse_bool(&entry.value.to_json()) == Some(false)
    {
        let message = format!("the text {text:?} counts as true; write it without quotes");
        findings.warning(&entry.place, key, message);
    }
}
