//! Bodies of requests: a JSON object of bounded size, or a refusal that says what was expected.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::json::type_name;
use super::reply::Refused;

/// The largest body that is read. A dynamic configuration with thousands of parameters is far smaller.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Reads the body, which must be a JSON object that is not empty.
///
/// # Errors
/// 411 without a length, 413 when it is too large, 408 when it does not arrive, else 400.
pub async fn object(request: Request) -> Result<Map<String, Value>, Refused> {
    parse(&bytes(request).await?)
}

async fn bytes(request: Request) -> Result<Bytes, Refused> {
    let headers = request.headers();
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        let why = "there is no body: expected a JSON object, with a Content-Length header";
        return Err(Refused::new(StatusCode::LENGTH_REQUIRED, why));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_WITHIN, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("the body is larger than {BODY_BYTES_MAX} bytes");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Ok(Err(error)) => Err(bad(format!("the body could not be read: {error}"))),
        Err(_) => {
            let why = format!("the body did not arrive within {BODY_WITHIN:?}");
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, why))
        }
    }
}

/// The same, where nothing at all may be said, by an empty body or object.
///
/// # Errors
/// As [`object`].
pub async fn object_or_nothing(request: Request) -> Result<Map<String, Value>, Refused> {
    let bytes = bytes(request).await?;
    if bytes.is_empty() || bytes.as_ref() == b"{}" {
        return Ok(Map::new());
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    if bytes.is_empty() {
        return Err(bad("the body is empty: expected a JSON object"));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) if fields.is_empty() => {
            Err(bad("the body is an empty object: nothing is asked for"))
        }
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(bad(format!("the body is {}: expected a JSON object", type_name(&other)))),
        Err(error) => Err(bad(format!("the body is not JSON: {error}: expected an object"))),
    }
}

/// A text field; one that is null or empty counts as absent.
///
/// # Errors
/// With 400, when it is anything else.
pub fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Refused> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(bad(format!("{name} is {}: expected a text", type_name(other)))),
    }
}

/// Whether a field is true; one that is null counts as absent, which is false.
///
/// # Errors
/// With 400, when it is anything but a boolean.
pub fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, Refused> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(bad(format!("{name} is {}: expected true or false", type_name(other)))),
    }
}

/// Refuses fields that nobody looks at: a misspelled one would change what is asked for.
///
/// # Errors
/// With 400, naming the first of them.
pub fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad(format!("unknown key {name:?}: expected {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// A refusal of what was sent.
pub fn bad(why: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_object_is_refused_with_what_it_is() {
        for (body, why) in [
            ("", "the body is empty"),
            ("{}", "the body is an empty object"),
            ("[1]", "the body is a list"),
            ("nonsense", "the body is not JSON: expected ident at line 1 column 2"),
            ("{\"a\": 1", "the body is not JSON: EOF"),
        ] {
            let refused = parse(body.as_bytes()).unwrap_err();
            assert_eq!(refused.code, StatusCode::BAD_REQUEST);
            assert!(refused.why.starts_with(why), "{body}: {}", refused.why);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_object_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Err(refused) = parse(&bytes) {
                prop_assert!(refused.why.starts_with("the body is"));
            }
        }
    }
}
