//! The tree: every node knows where it was written.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Place {
    /// A file, or `environment variable X`.
    pub file: Arc<str>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Node {
    pub content: Content,
    pub place: Place,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Content {
    Null,
    Bool(bool),
    /// The number, and how it was written.
    Int(i64, String),
    /// The number, and how it was written.
    Float(f64, String),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

impl Node {
    pub fn is_null(&self) -> bool {
        self.content == Content::Null
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The entry under `key`, null or not.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value under a dotted path; null counts as absent.
    pub fn at(&self, path: &str) -> Option<&Node> {
        let found = path.split('.').try_fold(self, |node, key| Some(&node.entry(key)?.value))?;
        (!found.is_null()).then_some(found)
    }

    /// Where the deepest part of a dotted path that exists was written.
    pub fn place_of(&self, path: &str) -> &Place {
        let mut place = &self.place;
        let mut node = self;
        for key in path.split('.') {
            let Some(entry) = node.entry(key) else { break };
            place = &entry.place;
            node = &entry.value;
        }
        place
    }

    /// The text of a scalar that can be meant as one: a number counts when it says what was written.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Int(number, written) if number.to_string() == *written => Some(written),
            _ => None,
        }
    }

    /// The value as JSON has it.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(on) => Value::Bool(*on),
            Content::Int(number, _) => Value::from(*number),
            Content::Float(number, written) => Number::from_f64(*number)
                .map_or_else(|| Value::String(written.clone()), Value::Number),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Node::to_json).collect(),
            Content::Mapping(_) => Value::Object(self.to_map()),
        }
    }

    /// The entries of a mapping as JSON has them.
    pub fn to_map(&self) -> Map<String, Value> {
        let pair = |entry: &Entry| (entry.key.clone(), entry.value.to_json());
        self.entries().iter().map(pair).collect()
    }

    /// What stands here, for a message.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::Bool(on) => on.to_string(),
            Content::Int(number, written) if number.to_string() != *written => {
                format!("{number} (written {written})")
            }
            Content::Int(_, written) | Content::Float(_, written) => written.clone(),
            Content::Text(text) => format!("{text:?}"),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

impl Node {
    /// Lays `upper` over this mapping: mappings merge, null deletes, everything else replaces.
    pub fn merge(&mut self, upper: Node) {
        let (Content::Mapping(entries), Content::Mapping(above)) =
            (&mut self.content, upper.content)
        else {
            return;
        };
        for entry in above {
            let position = entries.iter().position(|lower| lower.key == entry.key);
            match position {
                Some(at) if entry.value.is_null() => {
                    entries.remove(at);
                }
                Some(at) => entries[at].merge(entry),
                None => entries.push(entry),
            }
        }
    }
}

impl Entry {
    fn merge(&mut self, upper: Entry) {
        let both_are_mappings = matches!(
            (&self.value.content, &upper.value.content),
            (Content::Mapping(_), Content::Mapping(_))
        );
        if both_are_mappings {
            self.value.merge(upper.value);
        } else {
            *self = upper;
        }
    }
}
