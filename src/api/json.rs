//! JSON as Patroni's REST API writes it: `", "` and `": "` between parts, ASCII only.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W>(&mut self, writer: &mut W, first: bool) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W>(&mut self, writer: &mut W, first: bool) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W>(&mut self, writer: &mut W) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain_from = 0;
        for (at, letter) in fragment.char_indices() {
            if matches!(letter, ' '..='~') {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain_from = at + letter.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }
}

/// Writes a value.
pub fn to_bytes(value: &Value) -> Bytes {
    let mut buffer = Vec::with_capacity(1024);
    value
        .serialize(&mut Serializer::with_formatter(&mut buffer, Spaced))
        .expect("a JSON value has text keys, and memory can be written to");
    buffer.into()
}

/// The name of a value's type, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn separators_have_a_space() {
        let value = json!({"a": [1, 2, {}], "b": {"c": null, "d": "é\n\u{7f}"}, "e": []});
        let expected = r#"{"a": [1, 2, {}], "b": {"c": null, "d": "\u00e9\n\u007f"}, "e": []}"#;
        assert_eq!(to_bytes(&value), expected);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in ".*") {
            let read: Value = serde_json::from_slice(&to_bytes(&json!([text]))).unwrap();
            prop_assert_eq!(read, json!([text]));
        }
    }
}
