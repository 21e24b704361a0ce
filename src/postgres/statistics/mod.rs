//! What the server counts of itself, for its metrics: a few statements on a connection of its own, one
//! after another, and the processor time of its processes. Nothing of the agent's waits for it.

mod processes;
mod statements;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_postgres::{Client, Statement};

use super::connection::{Access, Session};
use super::place::Place;
use super::server::LocalServer;
use crate::fence::Target;

pub use processes::ProcessTimes;

/// How often the databases' sizes are asked for at most: that reads their directories.
const SIZES_EVERY: Duration = Duration::from_secs(60);
/// How long the server may take over one statement before it gives it up by itself.
const STATEMENT_WITHIN_MILLIS: u64 = 5000;

/// What the server told at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// What is counted for the whole server.
    pub server: ServerCounts,
    /// What is counted for each database.
    pub databases: Vec<DatabaseCounts>,
    /// Checkpoints.
    pub checkpoints: Checkpoints,
    /// The size of each database, in bytes.
    pub sizes: BTreeMap<String, u64>,
    /// Its processes.
    pub processes: ProcessTimes,
}

/// What is counted for the whole server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ServerCounts {
    /// The position in its log, in bytes.
    pub wal_bytes: u64,
    /// Clients' connections by state.
    pub connections: BTreeMap<String, u64>,
    /// `max_connections`.
    pub connections_max: u64,
    /// For how long the oldest open transaction of a client has been open, in seconds.
    pub longest_transaction: Option<f64>,
    /// Locks by mode.
    pub locks: BTreeMap<String, u64>,
    /// Locks that are waited for.
    pub locks_waiting: u64,
    /// Segments in `pg_wal`.
    pub wal_files: u64,
    /// Their size.
    pub wal_files_bytes: u64,
    /// Who streams from it.
    pub standbys: Vec<StandbyLag>,
    /// On a standby: how old the last replayed transaction is, in seconds.
    pub replay_delay: Option<f64>,
}

/// How far a standby is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct StandbyLag {
    /// Its `application_name`.
    pub name: String,
    /// `streaming`, `catchup`, ...
    pub state: String,
    /// `async`, `sync`, `quorum`, `potential`.
    pub sync_state: String,
    /// Bytes behind: not sent, not written, not flushed, not replayed.
    pub bytes: [Option<u64>; 4],
    /// Seconds lately: to the write, the flush, the replay.
    pub seconds: [f64; 3],
}

/// What is counted for a database.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of pg_stat_database")]
pub struct DatabaseCounts {
    pub name: String,
    pub commits: u64,
    pub rollbacks: u64,
    pub returned: u64,
    pub fetched: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    pub hit: u64,
    pub read: u64,
    pub deadlocks: u64,
    pub conflicts: u64,
    pub temporary_bytes: u64,
}

/// Checkpoints since the server's statistics were reset.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Checkpoints {
    /// Because it was time.
    pub timed: u64,
    /// Because somebody asked, or the log had grown.
    pub requested: u64,
    /// Time spent writing, in milliseconds.
    pub write_millis: f64,
    /// Time spent syncing, in milliseconds.
    pub sync_millis: f64,
    /// Buffers written.
    pub buffers: u64,
}

/// Why there are no statistics.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The connection or a statement failed.
    #[error("the server did not tell")]
    Query(#[source] tokio_postgres::Error),
    /// The answer was not understood.
    #[error("the server's answer was not understood")]
    Odd(#[source] serde_json::Error),
    /// Somebody else needs the connection more.
    #[error("so few connections are left that none is taken for statistics")]
    Crowded,
    /// There is no way to connect.
    #[error("{0}")]
    NoWay(String),
}

/// Asks one server. One question at a time: who drops an unanswered question would leave the server a
/// session that hangs, and the next question another.
pub struct StatisticsReader {
    place: Arc<Place>,
    database: String,
    target: Arc<Target>,
    line: Option<Line>,
    sizes: Option<(Instant, BTreeMap<String, u64>)>,
}

struct Line {
    session: Session,
    server: Statement,
    databases: Statement,
    checkpoints: Statement,
    sizes: Statement,
}

impl LocalServer {
    /// Asks this server; connects when it is first asked.
    pub fn statistics(&self) -> StatisticsReader {
        StatisticsReader {
            place: self.place.clone(),
            database: self.settings().database.clone(),
            target: self.target.clone(),
            line: None,
            sizes: None,
        }
    }
}

impl StatisticsReader {
    /// Whether there is a server that could be asked.
    pub fn is_running(&self) -> bool {
        self.target.postmaster().is_some()
    }

    /// Asks, however long the answer takes.
    ///
    /// # Errors
    /// Why there is none; the next question goes over a new connection.
    pub async fn ask(&mut self) -> Result<Statistics, StatisticsError> {
        let line = match self.line.take().filter(|line| !line.session.is_closed()) {
            Some(line) => line,
            None => self.connect().await?,
        };
        let client = &line.session.client;
        let server = json(client, &line.server).await?;
        let databases = json(client, &line.databases).await?;
        let checkpoints = json(client, &line.checkpoints).await?;
        let fresh = self.sizes.take().filter(|(asked, _)| asked.elapsed() < SIZES_EVERY);
        let sizes = match fresh {
            Some(fresh) => fresh,
            None => (Instant::now(), json(client, &line.sizes).await?),
        };
        self.sizes = Some(sizes.clone());
        self.line = Some(line);
        let postmaster = self.target.postmaster().map(|postmaster| postmaster.pid);
        let processes = postmaster.map(ProcessTimes::below).unwrap_or_default();
        Ok(Statistics { server, databases, checkpoints, sizes: sizes.1, processes })
    }

    /// Ends the connection.
    pub fn hang_up(&mut self) {
        self.line = None;
    }

    async fn connect(&self) -> Result<Line, StatisticsError> {
        let access = Access::of(&self.place, &self.database);
        let access = access.map_err(|error| StatisticsError::NoWay(error.to_string()))?;
        let session = access.connect().await.map_err(StatisticsError::Query)?;
        let client = &session.client;
        let set = format!(
            "SET application_name = 'pgbaton statistics'; \
             SET statement_timeout = {STATEMENT_WITHIN_MILLIS}; \
             SET lock_timeout = {STATEMENT_WITHIN_MILLIS}"
        );
        client.batch_execute(&set).await.map_err(StatisticsError::Query)?;
        let room = client.query_one(statements::ROOM, &[]).await;
        let room = room.and_then(|row| row.try_get(0)).map_err(StatisticsError::Query)?;
        let (has_room, version): (bool, i32) = (room, self.version(client).await?);
        if !has_room {
            return Err(StatisticsError::Crowded);
        }
        let prepare = async |text| client.prepare(text).await.map_err(StatisticsError::Query);
        let server = prepare(statements::SERVER).await?;
        let databases = prepare(statements::DATABASES).await?;
        let checkpoints = prepare(statements::checkpoints(version)).await?;
        let sizes = prepare(statements::SIZES).await?;
        Ok(Line { session, server, databases, checkpoints, sizes })
    }

    async fn version(&self, client: &Client) -> Result<i32, StatisticsError> {
        let asked = client.query_one(statements::VERSION, &[]).await;
        asked.and_then(|row| row.try_get(0)).map_err(StatisticsError::Query)
    }
}

async fn json<T: serde::de::DeserializeOwned>(
    client: &Client,
    statement: &Statement,
) -> Result<T, StatisticsError> {
    let row = client.query_one(statement, &[]).await.map_err(StatisticsError::Query)?;
    let text: &str = row.try_get(0).map_err(StatisticsError::Query)?;
    serde_json::from_str(text).map_err(StatisticsError::Odd)
}
