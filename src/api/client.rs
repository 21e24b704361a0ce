//! Calls to another agent's REST API. Each has a connection of its own: on a network of one cluster it
//! costs a round trip, and none is ever found dead in a pool at the moment it is needed.

use std::pin::pin;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Method, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::auth::encoded;
use crate::config::Credentials;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One call.
#[derive(Clone, Debug)]
pub struct RestCall<'a> {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: &'a str,
    /// What to authenticate with.
    pub credentials: Option<&'a Credentials>,
    /// What to send.
    pub body: Option<&'a Value>,
    /// The bound of all of it, the connection included.
    pub within: Duration,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestAnswer {
    /// The HTTP code.
    pub code: u16,
    /// The body.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// Not a URL that can be called.
    #[error("{url:?} cannot be called: {why}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No connection.
    #[error("no connection to {address}")]
    NoConnection {
        /// Where to.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing within the bound. What was asked for may be done all the same.
    #[error("no answer from {address} within {within:?}")]
    Silent {
        /// Whom.
        address: String,
        /// The bound.
        within: Duration,
    },
    /// The connection broke. What was asked for may be done all the same.
    #[error("the connection to {address} broke")]
    Broken {
        /// Whom.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Calls, and reads the whole answer. Any code is an answer.
///
/// # Errors
/// When there is none.
pub async fn call(call: RestCall<'_>) -> Result<RestAnswer, RestError> {
    let target = Target::of(call.url)?;
    let (address, within) = (target.address(), call.within);
    match tokio::time::timeout(within, exchange(target, call)).await {
        Ok(result) => result,
        Err(_) => Err(RestError::Silent { address, within }),
    }
}

/// The URL of another endpoint of the agent that published `api_url`; `None` when that is no URL.
pub fn endpoint(api_url: &str, path: &str) -> Option<String> {
    let uri: Uri = api_url.parse().ok()?;
    Some(format!("{}://{}{path}", uri.scheme_str()?, uri.authority()?))
}

struct Target {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    fn of(url: &str) -> Result<Self, RestError> {
        let wrong = |why| RestError::Url { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(wrong("calls over TLS are not built yet")),
            _ => return Err(wrong("expected http://host:port/path")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: format!("{shown}:{port}"),
            path: path.to_owned(),
        })
    }

    fn address(&self) -> String {
        self.authority.clone()
    }
}

async fn exchange(target: Target, call: RestCall<'_>) -> Result<RestAnswer, RestError> {
    let address = target.address();
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| RestError::Broken {
        address: address.clone(),
        source,
    };
    let request = request(&target, &call)?;
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|source| RestError::NoConnection { address: address.clone(), source })?;
    // Refused by the system it is only slower.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(broken)?.to_bytes();
        Ok(RestAnswer { code, text: String::from_utf8_lossy(&body).into_owned() })
    };
    let (mut answered, connection) = (pin!(answered), pin!(connection));
    tokio::select! {
        answer = &mut answered => answer,
        // The connection's end, good or bad, shows in what was to be read from it.
        _ = connection => answered.await,
    }
}

fn request(target: &Target, call: &RestCall<'_>) -> Result<Request<Full<Bytes>>, RestError> {
    let body = call.body.map(ToString::to_string).unwrap_or_default();
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(&target.path)
        .header(HOST, &target.authority);
    if let Some(credentials) = call.credentials {
        request = request.header(AUTHORIZATION, format!("Basic {}", encoded(credentials)));
    }
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let wrong = |_| RestError::Url { url: call.url.to_owned(), why: "it is no request's target" };
    request.body(Full::new(body.into())).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_beside_the_published_url() {
        for (api_url, expected) in [
            ("http://10.1.0.7:8008/patroni", Some("http://10.1.0.7:8008/promise")),
            ("http://[::1]:8008/patroni", Some("http://[::1]:8008/promise")),
            ("/patroni", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(endpoint(api_url, "/promise").as_deref(), expected, "{api_url}");
        }
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_a_reason() {
        for (url, why) in [
            ("https://a:1/", "TLS"),
            ("ftp://a/", "expected http"),
            ("a b", "no URL"),
            ("/x", "expected http"),
        ] {
            let error = Target::of(url).err().unwrap().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
        let target = Target::of("http://[::1]:8008/promise?x=1").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 8008));
        assert_eq!(
            (target.path.as_str(), target.address().as_str()),
            ("/promise?x=1", "[::1]:8008")
        );
    }
}
