//! One connection: made, asked which server it reached, driven, and judged when something is answered. A
//! write is done only when the server says so without a warning about its replication.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, Connection, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::Target;

/// The function of PostgreSQL that waits for synchronous standbys; what it says is not translated.
const SYNC_WAIT: &str = "SyncRepWaitForLSN";
/// How long a cancel request may take; what is cancelled has been given up anyway.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// Asked of each new connection. Warnings have to be sent whatever the account's settings say.
const WHO: &str = "SELECT set_config('client_min_messages', 'warning', false), \
     coalesce(host(inet_server_addr()), 'local socket'), \
     coalesce(inet_server_port(), current_setting('port')::int), pg_is_in_recovery()";

/// Which server a connection reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address and port.
    pub address: String,
    /// Whether it is a standby.
    pub is_standby: bool,
}

/// A connection with its statement.
#[derive(Debug)]
pub struct Session {
    client: Client,
    statement: Statement,
    /// Which server it is.
    pub place: Place,
    /// Which node that is, an index into the recorder's names.
    pub node: u16,
    fate: Arc<Fate>,
    tls: Connector,
}

/// The driver's type says nothing of itself.
struct Connector(MakeRustlsConnect);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeRustlsConnect")
    }
}

/// What its driver knows of a connection.
#[derive(Debug, Default)]
struct Fate {
    /// The latest commit was not waited for to its end.
    is_doubtful: AtomicBool,
    /// It is closed on purpose: its end is no news.
    is_closing: AtomicBool,
    ended: Mutex<Option<String>>,
}

/// What a connection's end is told to.
pub type OnEnd = Box<dyn FnOnce(String) + Send>;

/// What a server's answer to a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not happen, and may be tried again elsewhere.
    Elsewhere(String),
    /// It did not happen.
    Refused(String),
    /// The connection is gone; whether it happened is not known.
    Lost(String),
}

impl Session {
    /// Connects and prepares `statement`.
    ///
    /// # Errors
    /// Why not, in the server's words where it said something.
    pub async fn open(
        target: &Target,
        tls: &MakeRustlsConnect,
        statement: &str,
    ) -> Result<(Self, Ending), String> {
        let connected = target.config().connect(tls.clone()).await;
        let (client, connection) = connected.map_err(|error| words(&error))?;
        let fate = Arc::new(Fate::default());
        let driver = tokio::spawn(drive(connection, Arc::clone(&fate)));
        let row = client.query_one(WHO, &[]).await.map_err(|error| words(&error))?;
        let (address, port, is_standby): (String, i32, bool) = (row.get(1), row.get(2), row.get(3));
        let statement = client.prepare(statement).await.map_err(|error| words(&error))?;
        let place = Place { address: format!("{address}:{port}"), is_standby };
        let ending = Ending { driver, fate: Arc::clone(&fate) };
        let tls = Connector(tls.clone());
        Ok((Self { client, statement, place, node: 0, fate, tls }, ending))
    }

    /// The prepared statement's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The prepared statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Whether the other side has ended it.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Forgets what the commits before left in doubt.
    pub fn begin(&self) {
        self.fate.is_doubtful.store(false, Ordering::Release);
    }

    /// Whether the server warned that the latest commit may not have been replicated.
    pub fn is_doubtful(&self) -> bool {
        self.fate.is_doubtful.load(Ordering::Acquire)
    }

    /// Ends it; nobody is told.
    pub fn close(self) {
        self.fate.is_closing.store(true, Ordering::Release);
    }

    /// Gives it up with a request under way, and asks the server to give that up as well: one that waits
    /// for a standby would keep its place for good.
    pub fn abandon(self, why: &str) {
        *self.fate.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        let (token, tls) = (self.client.cancel_token(), self.tls.0.clone());
        tokio::spawn(async move {
            // It is given up already; who does not hear is not waited for.
            let _ = tokio::time::timeout(CANCEL_WITHIN, token.cancel_query(tls)).await;
            drop(self);
        });
    }
}

/// The end of a connection, which may come while nobody asks anything.
pub struct Ending {
    driver: tokio::task::JoinHandle<String>,
    fate: Arc<Fate>,
}

impl Ending {
    /// Tells why it ended, unless that was on purpose.
    pub fn tell(self, on_end: OnEnd) {
        tokio::spawn(async move {
            let reason = self.driver.await.unwrap_or_else(|error| error.to_string());
            if self.fate.is_closing.load(Ordering::Acquire) {
                return;
            }
            let given_up = self.fate.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            on_end(given_up.unwrap_or(reason));
        });
    }
}

async fn drive<S, T>(mut connection: Connection<S, T>, fate: Arc<Fate>) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        match message {
            // It stands before the acknowledgement in the stream, so whoever waits for that sees it.
            Ok(AsyncMessage::Notice(notice)) if casts_doubt(&notice) => {
                fate.is_doubtful.store(true, Ordering::Release);
            }
            Ok(_) => {}
            Err(error) => return words(&error),
        }
    }
    "the server closed the connection".to_owned()
}

fn casts_doubt(notice: &DbError) -> bool {
    notice.routine() == Some(SYNC_WAIT)
        || notice.message().contains("wait for synchronous replication")
}

/// What an error means for the request that met it.
pub fn judge(error: &tokio_postgres::Error) -> Refusal {
    let text = words(error);
    let Some(db) = error.as_db_error() else { return Refusal::Lost(text) };
    let is_final = match db.parsed_severity() {
        Some(severity) => severity != Severity::Error,
        None => db.severity() != "ERROR",
    };
    if is_final {
        return Refusal::Lost(text);
    }
    let elsewhere = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        // Also how a standby cancels a query that is in replay's way.
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    if elsewhere.contains(db.code()) { Refusal::Elsewhere(text) } else { Refusal::Refused(text) }
}

/// An error in one line: the server's own words, or the innermost cause.
pub fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return db.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let is_end = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
    };
    if error.is_closed() || innermost.downcast_ref::<std::io::Error>().is_some_and(is_end) {
        return "the server closed the connection".to_owned();
    }
    innermost.to_string()
}
