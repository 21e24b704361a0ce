//! The real probes: a connection that is kept for a small write, new connections, the disk probe's
//! process, and what `/proc` says of the postmaster and of the backend behind the kept connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use super::connection::{Access, Refusal, Session};
use super::disk_probe::DiskProbe;
use super::place::Place;
use super::port::ServerError;
use super::probing::{Glimpse, Probed, Probes, Told};
use super::server::LocalServer;
use super::server_log::Complaints;
use crate::fence::{self, Process, Target};
use crate::values::Lsn;

/// A message in the log: an id and a commit, which no standby is waited for, and nothing that a vacuum
/// would have to clean. Works from PostgreSQL 13 to 18 at every `wal_level`.
const COMMIT: &str = "BEGIN; SET LOCAL synchronous_commit = local; \
    SELECT pg_logical_emit_message(true, 'pgbaton', ''); COMMIT; \
    SELECT pg_current_wal_flush_lsn()";
/// Reads no table: a lock on a catalogue does not hold it up.
const ASK: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END, \
    (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE wait_event = 'SyncRep')";
/// How long the kept connection may take to be made: that nobody is let in is another probe's finding.
const CONNECT: Duration = Duration::from_secs(1);

/// The probes of one server.
#[derive(Debug)]
pub struct LocalProbes {
    place: Arc<Place>,
    database: String,
    target: Arc<Target>,
    complaints: Arc<Complaints>,
    disk: DiskProbe,
    kept: Mutex<Option<Arc<Kept>>>,
}

/// The kept connection, and the process behind it.
#[derive(Debug)]
struct Kept {
    session: Session,
    backend: Option<Process>,
}

impl LocalServer {
    /// The probes of this server. Starts the thread of the disk probe, and asks nothing yet.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn probes(&self) -> Result<LocalProbes, ServerError> {
        let disk = DiskProbe::new(self.place.data_dir.join("pg_wal"), self.place.owner);
        let disk = disk.map_err(|error| ServerError::NotPossible(format!("no thread: {error}")))?;
        Ok(LocalProbes {
            place: self.place.clone(),
            database: self.settings().database.clone(),
            target: self.target.clone(),
            complaints: self.complaints.clone(),
            disk,
            kept: Mutex::default(),
        })
    }
}

impl LocalProbes {
    fn access(&self) -> Option<Access> {
        Access::of(&self.place, &self.database).ok()
    }

    fn kept(&self) -> Option<Arc<Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|kept| kept.session.is_closed());
        kept.clone()
    }

    fn keep(&self, kept: Option<Arc<Kept>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// The backend of this id. Under a guardian's PID namespace that is not the id it has here.
    fn backend(&self, own_pid: i32) -> Option<Process> {
        let postmaster = self.target.postmaster()?;
        let mut children = fence::list().into_iter().filter(|one| one.parent == postmaster.pid);
        children.find(|one| one.own_pid() == Some(own_pid))
    }

    async fn connect_for_good(&self) -> Option<Arc<Kept>> {
        let session = self.access()?.connect().await.ok()?;
        let said = session.client.simple_query("SELECT pg_backend_pid()").await.ok()?;
        let backend = last_column(&said).and_then(|pid| self.backend(pid.parse().ok()?));
        let kept = Arc::new(Kept { session, backend });
        self.keep(Some(kept.clone()));
        Some(kept)
    }
}

impl Probes for LocalProbes {
    async fn commit(&self) -> Probed<Lsn> {
        let kept = match self.kept() {
            Some(kept) => kept,
            None => match tokio::time::timeout(CONNECT, self.connect_for_good()).await {
                Ok(Some(kept)) => kept,
                Ok(None) | Err(_) => return Probed::Absent,
            },
        };
        match kept.session.client.simple_query(COMMIT).await {
            Ok(said) => match last_column(&said).and_then(|text| text.parse().ok()) {
                Some(flushed) => Probed::Good(flushed),
                None => Probed::Absent,
            },
            Err(error) => {
                // It may be in a transaction that failed; and a standby does not commit.
                tracing::debug!(%error, "the probe's write was refused");
                self.keep(None);
                Probed::Absent
            }
        }
    }

    async fn connect(&self) -> Probed<Told> {
        let Some(access) = self.access() else { return Probed::Absent };
        let asked = async {
            let session = access.connect().await?;
            session.client.simple_query(ASK).await
        };
        match asked.await {
            Ok(said) => Probed::Good(told(&said)),
            Err(error) => match Refusal::of(&error) {
                Refusal::NobodyListens | Refusal::Broken => Probed::Absent,
                Refusal::Starting | Refusal::Stopping | Refusal::Answered => {
                    Probed::Good(Told::default())
                }
            },
        }
    }

    async fn sync_disk(&self) -> Probed<u64> {
        self.disk.ask().await
    }

    fn glimpse(&self) -> Glimpse {
        let postmaster = self.target.postmaster();
        let state = postmaster.map(|one| one.state);
        let kept = self.kept();
        let backend = kept.as_ref().and_then(|kept| kept.backend);
        let backend = backend.and_then(|known| {
            let now = Process::read(known.pid)?;
            (now.started_ticks == known.started_ticks).then_some(now)
        });
        Glimpse {
            postmaster_switches: postmaster.and_then(|one| one.switches()),
            postmaster_is_halted: state.is_some_and(|state| matches!(state, b'T' | b't' | b'D')),
            has_session: kept.is_some(),
            sessions_are_stopped: backend.is_some_and(|one| {
                let others = || postmaster.is_some_and(|postmaster| stopped_below(postmaster) > 1);
                is_stopped(&one) && others()
            }),
            space_complaints: self.complaints.count(),
        }
    }
}

fn is_stopped(process: &Process) -> bool {
    matches!(process.state, b'T' | b't')
}

/// How many of the postmaster's children are stopped.
fn stopped_below(postmaster: Process) -> usize {
    let children = fence::list().into_iter().filter(|one| one.parent == postmaster.pid);
    children.filter(is_stopped).count()
}

fn last_column(said: &[SimpleQueryMessage]) -> Option<String> {
    said.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

fn told(said: &[SimpleQueryMessage]) -> Told {
    let row = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let Some(row) = row else { return Told::default() };
    let number = |column| row.try_get(column).ok().flatten();
    Told {
        flushed: number(0).and_then(|text: &str| text.parse().ok()),
        sync_waiting: number(1).and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}
