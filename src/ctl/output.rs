//! The output formats, and how rows of named values look in each.

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::table::{Align, Heading, Table};
use super::yaml_text;

/// How a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Pretty,
    /// One row a line, tabs between cells.
    Tsv,
    /// An array of objects on one line.
    Json,
    /// A list of mappings.
    #[value(alias = "yml")]
    Yaml,
}

/// Rows with the names of their columns. An empty text stands for "nothing to say".
pub(super) struct Records<'a> {
    pub(super) headings: Vec<Heading<'a>>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Whether json and yaml leave out keys that have nothing to say.
    pub(super) omits_empty: bool,
}

impl Records<'_> {
    /// Writes them in one format, a line break at the end.
    pub(super) fn write(self, format: Format, title: Option<String>) -> String {
        match format {
            Format::Pretty => {
                let texts = |row: &Vec<Value>| row.iter().map(people_text).collect();
                let rows = self.rows.iter().map(texts).collect();
                Table { title, headings: self.headings, rows }.draw()
            }
            Format::Tsv => self.tsv(),
            Format::Json => json_text(&self.objects()) + "\n",
            Format::Yaml => yaml_text::block(&self.objects()) + "\n",
        }
    }

    fn tsv(&self) -> String {
        let headings = self.headings.iter().map(|heading| heading.text.to_owned()).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(machine_text).collect());
        let lines = std::iter::once(headings).chain(rows);
        lines.map(|cells: Vec<String>| cells.join("\t") + "\n").collect()
    }

    fn objects(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let names = self.headings.iter().map(|heading| heading.text.to_owned());
            let fields = names.zip(row.iter().cloned());
            let fields = fields.filter(|(_, value)| !self.omits_empty || value != "");
            Value::Object(fields.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }
}

pub(super) fn left(text: &str) -> Heading<'_> {
    Heading { text, align: Align::Left }
}

pub(super) fn right(text: &str) -> Heading<'_> {
    Heading { text, align: Align::Right }
}

fn people_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => yaml_text::block(value).trim_end().to_owned(),
        other => yaml_text::flow(other),
    }
}

fn machine_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        other => yaml_text::flow(other),
    }
}

/// JSON on one line with a space after each separator, ASCII only.
pub(super) fn json_text(value: &Value) -> String {
    String::from_utf8_lossy(&crate::api::json::to_bytes(value)).into_owned()
}
