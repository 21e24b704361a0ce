//! The least of an HTTP client: one request, one answer, within a bound. HTTP/1.0, so that the answer is
//! whatever comes before the connection's end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body, which has to be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

/// A request to be made.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a str,
    pub within: Duration,
}

impl<'a> Request<'a> {
    /// A `GET` that is answered at once or not at all.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: "", within: Duration::from_secs(2) }
    }

    /// A request that changes something, which may take its time.
    pub fn new(method: &'a str, path: &'a str, body: &'a str) -> Self {
        Self { method, path, body, within: Duration::from_secs(60) }
    }

    /// Makes it.
    pub fn send(&self, to: SocketAddr) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&to, CONNECT_BOUND.min(self.within))?;
        stream.set_read_timeout(Some(self.within))?;
        let Self { method, path, body, .. } = self;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, text.clone());
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Ok(Answer { status: status.ok_or_else(malformed)?, body: body.to_owned() })
    }
}
