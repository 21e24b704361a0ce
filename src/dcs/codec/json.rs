//! JSON as Patroni writes it: compact, and ASCII only.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Compact, with everything outside printable ASCII escaped.
struct AsciiOnly;

impl Formatter for AsciiOnly {
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
pub(super) fn to_bytes(value: &impl Serialize) -> Bytes {
    let mut buffer = Vec::with_capacity(128);
    value
        .serialize(&mut Serializer::with_formatter(&mut buffer, AsciiOnly))
        .expect("values of the store have text keys, and memory can be written to");
    buffer.into()
}

/// Reads a value whose shape is fixed.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Reads any JSON.
pub(super) fn any(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("not JSON ({error})"))
}

/// The name of a value's type, for messages.
pub(super) fn type_name(value: &Value) -> &'static str {
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

    #[test]
    fn what_is_not_printable_ascii_is_escaped() {
        let written = to_bytes(&"a\u{e9}\u{1f418}\u{7f}\n\"b");
        assert_eq!(written, r#""a\u00e9\ud83d\udc18\u007f\n\"b""#);
        assert_eq!(from_bytes::<String>(&written).unwrap(), "a\u{e9}\u{1f418}\u{7f}\n\"b");
    }
}
