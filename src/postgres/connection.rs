//! The agent's own connections to its server: as the superuser, over TCP to the local address.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

use super::lifecycle::POLL;
use super::place::Place;
use super::port::ServerError;
use super::replication_startup::ReplicationStartup;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// Settings that somebody may have given the account or the database, and that would break ours.
const OPTIONS: &str = "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 \
                       -c default_transaction_read_only=off -c synchronous_commit=local \
                       -c log_statement=none -c log_min_duration_statement=-1 \
                       -c client_min_messages=warning";

/// How to reach the local server.
#[derive(Clone, Debug)]
pub(super) struct Access {
    config: Config,
    host: String,
    port: u16,
}

/// One connection; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Session {
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Whether the server has ended it.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// [`ServerError::Query`], with `what` it was for.
    pub async fn execute(&self, what: &'static str, statement: &str) -> Result<(), ServerError> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|source| ServerError::Query { what, source })
    }

    /// Asks until the answer is yes; the caller bounds it.
    ///
    /// # Errors
    /// [`ServerError::Query`], with `what` it was for.
    pub async fn until(
        &self,
        what: &'static str,
        condition: &str,
        of: &[&(dyn ToSql + Sync)],
    ) -> Result<(), ServerError> {
        let statement = self.client.prepare(condition).await;
        let statement = statement.map_err(|source| ServerError::Query { what, source })?;
        loop {
            let row = self.client.query_one(&statement, of).await;
            if row.map_err(|source| ServerError::Query { what, source })?.get(0) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The local address by which a server that listens on `listen_addresses` is reached.
pub(super) fn local_host(listen_addresses: &str) -> String {
    let addresses: Vec<&str> = listen_addresses.split(',').map(str::trim).collect();
    let is_any = |address: &&str| matches!(*address, "*" | "0.0.0.0" | "127.0.0.1");
    if addresses.iter().any(is_any) {
        return "127.0.0.1".to_owned();
    }
    match addresses.first() {
        Some(&"::") => "::1".to_owned(),
        Some(&"") | None => "localhost".to_owned(),
        Some(first) => (*first).to_owned(),
    }
}

impl Access {
    /// # Errors
    /// When the superuser's account asks for what these connections cannot do.
    pub fn of(place: &Place, database: &str) -> Result<Self, ServerError> {
        let account = &place.accounts.superuser;
        if let Some(mode @ ("require" | "verify-ca" | "verify-full")) = account.sslmode.as_deref() {
            return Err(ServerError::NotPossible(format!(
                "postgresql.authentication.superuser.sslmode: {mode} cannot be kept: the agent's \
                 own connections to its local server are not encrypted; use prefer, and let \
                 pg_hba.conf admit the superuser from the local address without TLS"
            )));
        }
        let host = local_host(&place.listen_addresses);
        let mut config = Config::new();
        config
            .user(&account.username)
            .dbname(database)
            .application_name("pgbaton")
            .connect_timeout(CONNECT)
            .options(OPTIONS);
        if let Some(password) = &account.password {
            config.password(password);
        }
        Ok(Self { config, host, port: place.port })
    }

    /// Where the server is reached: host and port.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// A new connection.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        let mut config = self.config.clone();
        let (client, connection) = config.host(&self.host).port(self.port).connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            // What ends a connection is told to whoever uses it next.
            let _ = connection.await;
        });
        Ok(Session { client, driver })
    }

    /// A new connection for doing something.
    ///
    /// # Errors
    /// [`ServerError::Query`], with `what` it was for.
    pub async fn session(&self, what: &'static str) -> Result<Session, ServerError> {
        self.connect().await.map_err(|source| ServerError::Query { what, source })
    }

    /// The timeline that the server replays or writes. No function tells a standby's: only the
    /// replication protocol does.
    ///
    /// # Errors
    /// [`ServerError::Query`] or [`ServerError::NotPossible`] when there is no answer.
    pub async fn identify_timeline(&self) -> Result<u32, ServerError> {
        let what = "the timeline";
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| {
                ServerError::NotPossible(format!("the server cannot be reached: {error}"))
            })?;
        let mut config = self.config.clone();
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let connected = config.connect_raw(ReplicationStartup::new(stream), NoTls).await;
        let (client, connection) =
            connected.map_err(|source| ServerError::Query { what, source })?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let session = Session { client, driver };
        let answers = session.client.simple_query("IDENTIFY_SYSTEM").await;
        let answers = answers.map_err(|source| ServerError::Query { what, source })?;
        let timeline = answers.iter().find_map(|answer| match answer {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get("timeline")?.parse().ok(),
            _ => None,
        });
        timeline.ok_or_else(|| ServerError::NotPossible("the server told no timeline".to_owned()))
    }
}

/// What a failed connection or query says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It says that it starts up, or recovers from a crash.
    Starting,
    /// It says that it shuts down.
    Stopping,
    /// Nobody listens.
    NobodyListens,
    /// The connection broke.
    Broken,
    /// It answered with another error.
    Answered,
}

impl Refusal {
    pub fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            let is_stopping = answer.message().contains("shutting down");
            return match *answer.code() {
                SqlState::CANNOT_CONNECT_NOW if is_stopping => Refusal::Stopping,
                SqlState::CANNOT_CONNECT_NOW => Refusal::Starting,
                SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => Refusal::Broken,
                _ => Refusal::Answered,
            };
        }
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => Refusal::NobodyListens,
                    _ => Refusal::Broken,
                };
            }
            cause = error.source();
        }
        if error.is_closed() { Refusal::Broken } else { Refusal::Answered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_locally_where_that_is_possible() {
        for (listen, host) in [
            ("*", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("10.0.0.1,127.0.0.1", "127.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::", "::1"),
            ("localhost", "localhost"),
            ("db1, db2", "db1"),
        ] {
            assert_eq!(local_host(listen), host, "{listen}");
        }
    }
}
