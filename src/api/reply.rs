//! Answers: a code with a JSON document, a text, or nothing. The headers that the configuration asks
//! for are added where the answer leaves.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde_json::Value;

use super::json;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Patroni says `text/html` here. A text may quote what somebody sent, so no browser is to read it so.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain");
const REALM: HeaderValue = HeaderValue::from_static("Basic realm=\"Patroni\"");

/// An answer.
pub type Reply = Response<Body>;

/// Why a request was not carried out: the code, and a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: StatusCode,
    /// The text.
    pub why: String,
}

impl Refused {
    /// A refusal.
    pub fn new(code: StatusCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    /// The answer.
    pub fn reply(self) -> Reply {
        let mut reply = text(self.code, self.why);
        if self.code == StatusCode::UNAUTHORIZED {
            reply.headers_mut().insert(WWW_AUTHENTICATE, REALM);
        }
        reply
    }
}

/// Only a code, as for `HEAD` and `OPTIONS`.
pub fn bare(code: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = code;
    reply
}

/// A document that is spelled already.
pub fn spelled(code: StatusCode, document: Bytes) -> Reply {
    with_body(code, JSON, Body::from(document))
}

/// A document.
pub fn document(code: StatusCode, document: &Value) -> Reply {
    spelled(code, json::to_bytes(document))
}

/// A text.
pub fn text(code: StatusCode, text: impl Into<String>) -> Reply {
    with_body(code, TEXT, Body::from(text.into()))
}

/// The metrics.
pub fn metrics(text: String) -> Reply {
    with_body(StatusCode::OK, METRICS, Body::from(text))
}

fn with_body(code: StatusCode, kind: HeaderValue, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
