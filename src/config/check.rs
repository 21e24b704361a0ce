//! Goes through a configuration key by key and says everything that is wrong with it at once: unknown
//! keys, values that do not fit, keys that are known and not acted on. What keys mean together is
//! `rules`' business.

use super::finding::{Finding, Severity};
use super::known::{self, Action, Kind};
use super::scalar_rules::parse_bool;
use super::value_kinds;
use super::yaml::{Content, Entry, Node, Place};

/// All findings so far.
#[derive(Default)]
pub(super) struct Findings {
    pub list: Vec<Finding>,
}

impl Findings {
    pub fn error(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.push(Severity::Error, place, key, message.into());
    }

    pub fn warning(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.push(Severity::Warning, place, key, message.into());
    }

    fn push(&mut self, severity: Severity, place: &Place, key: &str, message: String) {
        self.list.push(Finding {
            severity,
            file: place.file.to_string(),
            line: place.line,
            key: key.to_owned(),
            message,
        });
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Finding::is_error)
    }
}

/// Checks every key of the merged configuration.
pub(super) fn check_keys(root: &Node, findings: &mut Findings) {
    Walk { root, findings }.section("", root, false);
}

struct Walk<'a> {
    root: &'a Node,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    /// Checks the keys of one mapping; in an open one unknown keys are the user's own.
    fn section(&mut self, path: &str, section: &Node, is_open: bool) {
        for entry in section.entries() {
            let key = match path {
                "" => entry.key.clone(),
                _ => format!("{path}.{}", entry.key),
            };
            match known::find(&key) {
                Some(known) if !entry.value.is_null() => {
                    self.known_key(&key, entry, known.kind, known.action);
                }
                Some(_) => {}
                None => self.unknown_key(path, &key, entry, is_open),
            }
        }
    }

    fn known_key(&mut self, key: &str, entry: &Entry, kind: Kind, action: Action) {
        let is_section = matches!(kind, Kind::Section | Kind::OpenSection);
        if is_section && matches!(entry.value.content, Content::Mapping(_)) {
            self.section(key, &entry.value, kind == Kind::OpenSection);
            return;
        }
        let count = self.findings.list.len();
        value_kinds::check(kind, key, entry, self.findings);
        if self.findings.list.len() == count {
            self.action(key, entry, action);
        }
    }

    /// Says what becomes of a key whose value is fine.
    fn action(&mut self, key: &str, entry: &Entry, action: Action) {
        let place = &entry.place;
        match action {
            Action::Acted => {}
            _ if is_off(&entry.value) || is_the_default(key, &entry.value) => {}
            Action::Later("") => {
                self.findings.warning(place, key, "is known but not acted on yet");
            }
            Action::Later(meanwhile) => {
                let message = format!("is known but not acted on yet: {meanwhile}");
                self.findings.warning(place, key, message);
            }
            Action::Never(reason) => {
                self.findings.warning(place, key, format!("is not acted on: {reason}"));
            }
            Action::ClusterOnly => {
                let message = "does not count in a node's file: set it for the whole cluster \
                               (bootstrap.dcs for a new one, edit-config for a running one)";
                self.findings.warning(place, key, message);
            }
            Action::NodeOnly => {
                let message = "does not count in the cluster's document: set it in each node's \
                               file, under postgresql";
                self.findings.warning(place, key, message);
            }
            Action::Refused(reason) => self.findings.error(place, key, reason),
        }
    }

    fn unknown_key(&mut self, parent: &str, key: &str, entry: &Entry, is_open: bool) {
        let nearest = known::nearest(parent, &entry.key);
        if parent == "tags" {
            // Tags of the user's own are fine, a slip of the pen is not worth more than a hint.
            if let Some(nearest) = nearest {
                let message = format!("counts as a tag of your own; did you mean {nearest}?");
                self.findings.warning(&entry.place, key, message);
            }
            return;
        }
        if is_open && self.names_a_method(parent, &entry.key) {
            self.findings.warning(&entry.place, key, "is known but not acted on yet");
            return;
        }
        let message = match nearest {
            Some(nearest) => format!("unknown key; did you mean {nearest}?"),
            None => "unknown key: it has no effect".to_owned(),
        };
        self.findings.warning(&entry.place, key, message);
    }

    /// Whether the key describes a way to make replicas, or to bootstrap, that is named elsewhere.
    fn names_a_method(&self, parent: &str, key: &str) -> bool {
        if parent == "bootstrap" {
            return self.root.at("bootstrap.method").and_then(Node::text) == Some(key);
        }
        ["create_replica_methods", "create_replica_method"].iter().any(|list| {
            let methods = self.root.at(&format!("{parent}.{list}"));
            matches!(methods.map(|node| &node.content), Some(Content::List(names))
                if names.iter().any(|name| name.text() == Some(key)))
        })
    }
}

/// Whether a value asks for nothing, so that not acting on it changes nothing.
fn is_off(value: &Node) -> bool {
    match &value.content {
        Content::Null => true,
        Content::List(items) => items.is_empty(),
        Content::Mapping(entries) => entries.is_empty(),
        Content::Text(text) if text.is_empty() => true,
        Content::Text(_) | Content::Bool(_) => parse_bool(&value.to_json()) == Some(false),
        Content::Int(..) | Content::Float(..) => false,
    }
}

/// Whether a value says what pgbaton does anyway.
fn is_the_default(key: &str, value: &Node) -> bool {
    let key = key.strip_prefix("bootstrap.dcs.").unwrap_or(key);
    match key {
        "postgresql.create_replica_methods" | "postgresql.create_replica_method" => {
            matches!(&value.content, Content::List(names)
                if names.len() == 1 && names[0].text() == Some("basebackup"))
        }
        "postgresql.config_base_name" => value.text() == Some("postgresql"),
        "restapi.verify_client" => value.text() == Some("none"),
        "max_timelines_history" | "primary_stop_timeout" | "master_stop_timeout" => {
            value.to_json() == 0
        }
        _ => false,
    }
}
