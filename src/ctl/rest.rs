//! Calls to a member's REST address, over http.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::config::Credentials;

/// How long a member may take to accept a connection.
const CONNECT_BOUND: Duration = Duration::from_secs(5);

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The member's published address, such as `http://10.1.0.7:8008/patroni`.
    pub(super) api_url: &'a str,
    /// The path to call there.
    pub(super) path: &'a str,
    pub(super) body: Option<Value>,
    pub(super) credentials: Option<&'a Credentials>,
    /// For how long to wait for the answer.
    pub(super) within: Duration,
}

/// What a member answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The member never got the request.
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    /// The member may have got the request.
    #[error("{url} did not answer: {why}")]
    NoAnswer { url: String, why: String },
}

impl Call<'_> {
    pub(super) async fn send(self) -> Result<Answer, CallError> {
        let (url, uri) = self.target()?;
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if let Some(Credentials { username, password }) = self.credentials {
            let pair =
                base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            request = request.header("authorization", format!("Basic {pair}"));
        }
        let body = self.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let unreachable = |why: String| CallError::Unreachable { url: url.clone(), why };
        let request =
            request.body(Full::new(body)).map_err(|error| unreachable(error.to_string()))?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_BOUND));
        let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let exchange = async {
            let reply =
                client.request(request).await.map_err(|error| match error.is_connect() {
                    true => unreachable(chain(&error)),
                    false => CallError::NoAnswer { url: url.clone(), why: chain(&error) },
                })?;
            let status = reply.status().as_u16();
            let broken =
                |error: hyper::Error| CallError::NoAnswer { url: url.clone(), why: chain(&error) };
            let text = reply.into_body().collect().await.map_err(broken)?.to_bytes();
            Ok(Answer { status, text: String::from_utf8_lossy(&text).trim().to_owned() })
        };
        let too_late = |_| CallError::NoAnswer {
            url: url.clone(),
            why: format!("nothing within {} s", self.within.as_secs()),
        };
        tokio::time::timeout(self.within, exchange).await.map_err(too_late)?
    }

    /// Scheme and host of the published address with the path of this call.
    fn target(&self) -> Result<(String, Uri), CallError> {
        let unreachable = |why: &str| CallError::Unreachable {
            url: self.api_url.to_owned(),
            why: why.to_owned(),
        };
        let published: Uri = self.api_url.parse().map_err(|_| unreachable("this is no URL"))?;
        let authority = published.authority().ok_or_else(|| unreachable("it names no host"))?;
        match published.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(unreachable("https is not available yet in pgbaton ctl")),
            _ => return Err(unreachable("expected http://")),
        }
        let url = format!("http://{authority}{}", self.path);
        let uri = url.parse().map_err(|_| unreachable("this is no URL"))?;
        Ok((url, uri))
    }
}

/// An error with its causes, which hold what matters in this library.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
