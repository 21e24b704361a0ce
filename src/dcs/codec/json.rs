//! JSON as Patroni writes it: compact, and ASCII only.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
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

/// Reads an object, one field after the other.
pub(super) fn fields(bytes: &[u8], put: impl FnMut(&str, Value)) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_map(Fields(put)).and_then(|()| reader.end());
    if read.is_ok() {
        return Ok(());
    }
    // Why not, in the words of all others.
    let other = any(bytes)?;
    Err(format!("{}, not an object", type_name(&other)))
}

/// Passes each field on as it comes.
struct Fields<F>(F);

impl<'de, F: FnMut(&str, Value)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value = map.next_value()?;
            (self.0)(&name, value);
        }
        Ok(())
    }
}

/// A field's name, borrowed where nothing in it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
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
