//! From a parser's events to the tree: anchors, aliases, merge keys, tags, bounds on depth and size.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::scalar;
use super::tree::{Content, Entry, Node, Place};

/// Deeper nesting is an error: no configuration needs it, and a stack has an end.
const DEPTH_MAX: usize = 64;
/// More values than this, aliases counted each time, are an error.
const NODES_MAX: usize = 100_000;

/// Why a text is not one YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(in crate::config) struct YamlError {
    /// Line in the text, from 1.
    pub line: usize,
    pub message: String,
}

/// Reads one document. An empty text is null.
pub(in crate::config) fn parse(text: &str, file: &Arc<str>) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut composer = Composer {
        events: Parser::new_from_str(text),
        file,
        anchors: HashMap::new(),
        nodes_left: NODES_MAX,
    };
    composer.document()
}

struct Composer<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: &'a Arc<str>,
    anchors: HashMap<usize, Node>,
    nodes_left: usize,
}

type Found<T> = Result<T, YamlError>;

impl<'a> Composer<'a> {
    fn document(&mut self) -> Found<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(at(&span, "a second document starts here, expected only one"));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, &span, 0)?);
                }
                _ => return Err(at(&span, "expected the start of a document")),
            }
        }
        let place = Place { file: Arc::clone(self.file), line: Some(1) };
        Ok(root.unwrap_or(Node { content: Content::Null, place }))
    }

    fn next(&mut self) -> Found<(Event<'a>, Span)> {
        match self.events.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(scan_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Found<Node> {
        if depth > DEPTH_MAX {
            return Err(at(span, &format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.count(1, span)?;
        let (content, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                (scalar_content(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                expect_tag(tag.as_deref(), "seq", span)?;
                (Content::List(self.list(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                expect_tag(tag.as_deref(), "map", span)?;
                (Content::Mapping(self.mapping(depth)?), anchor)
            }
            _ => return Err(at(span, "expected a value")),
        };
        let node = Node { content, place: self.place(span) };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: &Span) -> Found<()> {
        let left = self.nodes_left.checked_sub(nodes);
        self.nodes_left = left.ok_or_else(|| at(span, &format!("more than {NODES_MAX} values")))?;
        Ok(())
    }

    fn place(&self, span: &Span) -> Place {
        Place { file: Arc::clone(self.file), line: Some(span.start.line()) }
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Found<Node> {
        let size = self.anchors.get(&anchor).map(node_count);
        self.count(size.unwrap_or(0), span)?;
        let node = self.anchors.get(&anchor).cloned();
        node.ok_or_else(|| at(span, "this alias refers to nothing that is complete before it"))
    }

    fn list(&mut self, depth: usize) -> Found<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Found<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => {
                    let is_merge = style == ScalarStyle::Plain && text == "<<";
                    (text.into_owned(), is_merge)
                }
                Event::Alias(anchor) => {
                    let node = self.alias(anchor, &span)?;
                    let text = node.text().map(str::to_owned);
                    (text.ok_or_else(|| at(&span, "expected a key"))?, false)
                }
                _ => return Err(at(&span, "expected a key, found a list or a mapping")),
            };
            let (event, value_span) = self.next()?;
            let value = self.node(event, &value_span, depth + 1)?;
            if is_merge {
                merged.extend(merge_sources(value, &value_span)?);
            } else {
                // The last one wins, as Patroni's reader has it.
                entries.retain(|entry| entry.key != key);
                entries.push(Entry { key, place: self.place(&span), value });
            }
        }
        for entry in merged {
            if entries.iter().all(|own| own.key != entry.key) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// The entries that a merge key brings in, those that win first.
fn merge_sources(value: Node, span: &Span) -> Found<Vec<Entry>> {
    let refused = || at(span, "expected a mapping, or a list of them, after <<");
    match value.content {
        Content::Mapping(entries) => Ok(entries),
        Content::List(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.content {
                    Content::Mapping(entries) => all.extend(entries),
                    _ => return Err(refused()),
                }
            }
            Ok(all)
        }
        _ => Err(refused()),
    }
}

fn scalar_content(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &Span,
) -> Found<Content> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => Content::Text(text.to_owned()),
        });
    };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("" | "!", "") | ("tag:yaml.org,2002:", "str") => Ok(Content::Text(text.to_owned())),
        ("tag:yaml.org,2002:", "int" | "float" | "bool" | "null") => Ok(scalar::resolve(text)),
        _ => Err(unknown_tag(tag, span)),
    }
}

fn expect_tag(tag: Option<&Tag>, usual: &str, span: &Span) -> Found<()> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == usual) => {
            Err(unknown_tag(tag, span))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, span: &Span) -> YamlError {
    at(span, &format!("the tag {}{} means nothing here", tag.handle, tag.suffix))
}

fn node_count(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => 1 + items.iter().map(node_count).sum::<usize>(),
        Content::Mapping(entries) => {
            1 + entries.iter().map(|entry| node_count(&entry.value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn at(span: &Span, message: &str) -> YamlError {
    YamlError { line: span.start.line().max(1), message: message.to_owned() }
}

fn scan_error(error: &ScanError) -> YamlError {
    YamlError { line: error.marker().line().max(1), message: error.info().to_owned() }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
