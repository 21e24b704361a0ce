//! A stream that asks for the replication protocol: it adds `replication=database` to the first
//! message, which the client library has no option for. Everything else passes through unchanged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PARAMETER: &[u8] = b"replication\0database\0";

/// The stream. For connections without TLS only: there the start-up message comes first.
pub(super) struct ReplicationStartup<S> {
    stream: S,
    /// What is left to be written of the changed first message; `None` before it.
    first: Option<Vec<u8>>,
}

impl<S> ReplicationStartup<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, first: None }
    }
}

/// The start-up message with one more parameter: a length that counts itself, the protocol, and
/// pairs of texts that end with a zero each, with one more zero after the last.
fn with_parameter(message: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = message.split_first_chunk::<4>()?;
    let pairs = rest.strip_suffix(b"\0")?;
    if u32::from_be_bytes(*length) as usize != message.len() {
        return None;
    }
    let mut changed = Vec::with_capacity(message.len() + PARAMETER.len());
    changed.extend(((message.len() + PARAMETER.len()) as u32).to_be_bytes());
    changed.extend(pairs);
    changed.extend(PARAMETER);
    changed.push(0);
    Some(changed)
}

impl<S: AsyncWrite + Unpin> ReplicationStartup<S> {
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.first.as_mut().filter(|left| !left.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReplicationStartup<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.first.is_none() {
            let changed = with_parameter(bytes).ok_or_else(|| {
                io::Error::other("the client library did not begin with a start-up message")
            })?;
            self.first = Some(changed);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_first(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_first(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_first(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReplicationStartup<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_first_message_asks_for_replication_and_the_rest_passes() {
        let (near, mut far) = tokio::io::duplex(256);
        let mut stream = ReplicationStartup::new(near);
        stream.write_all(b"\0\0\0\x0f\0\x03\0\0user\0a\0\0").await.unwrap_err();
        let mut stream = ReplicationStartup { stream: stream.stream, first: None };
        stream.write_all(b"\0\0\0\x10\0\x03\0\0user\0a\0\0").await.unwrap();
        stream.write_all(b"next").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"\0\0\0\x25\0\x03\0\0user\0a\0replication\0database\0\0next");
    }
}
