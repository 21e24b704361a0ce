//! The clients that a cluster is there for: one for each node, each trying to write to it all the time. What
//! was acknowledged goes to the ledger; afterwards it is compared with what the leader has. An answer
//! that did not come is neither: such a write may be there or not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::{Client, Config, Statement};

use super::report::{Acknowledged, Report};
use super::sql;
use super::wait::wait_until;

/// How often each client writes.
const PERIOD: Duration = Duration::from_millis(10);
/// How long a connection may take to stand.
pub const CONNECT_BOUND: Duration = Duration::from_millis(300);
/// How long a write may take before its client gives it up.
const WRITE_BOUND: Duration = Duration::from_secs(2);

/// A ledger begins empty.
const TABLE: &str = "DROP TABLE IF EXISTS ledger; \
     CREATE TABLE ledger (node int, seq bigint, PRIMARY KEY (node, seq))";
/// Each acknowledgement carries the timeline that it was written on.
const WRITE: &str = "INSERT INTO ledger (node, seq) VALUES ($1, $2) RETURNING \
     ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int";

/// Running clients. Dropping the value stops them.
pub struct Ledger {
    clients: Vec<JoinHandle<Written>>,
    shared: Arc<Shared>,
    started: Instant,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// How many writes each node has acknowledged.
    acknowledged: Vec<AtomicU64>,
}

/// What one client has to tell.
#[derive(Default)]
struct Written {
    acknowledged: Vec<Acknowledged>,
    /// Writes whose answer did not come.
    indeterminate: Vec<(i32, i64)>,
}

impl Ledger {
    /// Makes the table on the primary and starts a client for each of `servers`.
    #[track_caller]
    pub fn open(primary: SocketAddr, servers: &[SocketAddr]) -> Ledger {
        let ways = servers.iter().map(|server| sql::superuser(*server, CONNECT_BOUND)).collect();
        Ledger::open_by(primary, ways)
    }

    /// The same with a client for each of `ways`, which may name several servers.
    #[track_caller]
    pub fn open_by(primary: SocketAddr, ways: Vec<Config>) -> Ledger {
        sql::run(primary, TABLE);
        let acknowledged = ways.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), acknowledged });
        let client = |(index, way): (usize, Config)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || write_until_told(index, &way, &shared))
        };
        let clients = ways.into_iter().enumerate().map(client).collect();
        Ledger { clients, shared, started: Instant::now() }
    }

    /// How many writes a node has acknowledged so far.
    pub fn acknowledged_by(&self, node: usize) -> u64 {
        self.shared.acknowledged[node].load(Ordering::Relaxed)
    }

    /// Until a node has acknowledged so many more writes.
    #[track_caller]
    pub fn wait_for_writes(&self, node: usize, count: u64, bound: Duration) {
        let wanted = self.acknowledged_by(node) + count;
        let what = format!("node {node} acknowledges {count} more writes");
        wait_until(&what, bound, || self.acknowledged_by(node) >= wanted);
    }

    /// Until some node has acknowledged so many more writes; says which.
    #[track_caller]
    pub fn wait_for_writes_anywhere(&self, count: u64, bound: Duration) -> usize {
        let nodes = 0..self.shared.acknowledged.len();
        let before: Vec<u64> = nodes.clone().map(|node| self.acknowledged_by(node)).collect();
        let grown = |node: &usize| self.acknowledged_by(*node) >= before[*node] + count;
        let what = format!("any node acknowledges {count} more writes");
        super::wait::wait_for(&what, bound, || nodes.clone().find(grown))
    }

    /// Stops the clients and compares what was acknowledged with what `leader` has.
    #[track_caller]
    pub fn close(mut self, leader: SocketAddr) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = Instant::now();
        let mut report = Report::between(self.started, ended);
        for client in self.clients.drain(..) {
            let written = client.join().expect("a client does not panic");
            report.acknowledged.extend(written.acknowledged);
            report.indeterminate.extend(written.indeterminate);
        }
        report.acknowledged.sort_by_key(|one| one.at);
        let rows = sql::query(leader, "SELECT node, seq FROM ledger");
        let rows = rows.expect("the leader can be read");
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let key = |row: &Vec<String>| (number(&row[0]) as i32, number(&row[1]));
        let found: BTreeSet<(i32, i64)> = rows.iter().map(key).collect();
        report.compare_with(&found);
        report
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn write_until_told(index: usize, way: &Config, shared: &Shared) -> Written {
    let node = i32::try_from(index).expect("few nodes");
    sql::runtime().block_on(async {
        let mut written = Written::default();
        let mut session: Option<(Client, Statement)> = None;
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seq = 0;
        while !shared.stop.load(Ordering::Relaxed) {
            tick.tick().await;
            let Some((client, statement)) = &session else {
                session = open_session(way).await;
                continue;
            };
            seq += 1;
            let sent = Instant::now();
            match timeout(WRITE_BOUND, client.query_one(statement, &[&node, &seq])).await {
                Ok(Ok(row)) => {
                    let timeline = row.get(0);
                    let at = Instant::now();
                    written.acknowledged.push(Acknowledged { node, seq, timeline, sent, at });
                    shared.acknowledged[index].fetch_add(1, Ordering::Relaxed);
                }
                Ok(Err(error)) if is_refusal(&error) => {}
                Ok(Err(_)) | Err(_) => {
                    written.indeterminate.push((node, seq));
                    session = None;
                }
            }
        }
        written
    })
}

/// The server said no and goes on: the write did not happen. Whatever ends the session leaves it open.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.severity() == "ERROR")
}

async fn open_session(way: &Config) -> Option<(Client, Statement)> {
    let open = async {
        let client = sql::connect(way).await.ok()?;
        let statement = client.prepare(WRITE).await.ok()?;
        Some((client, statement))
    };
    timeout(CONNECT_BOUND * 2, open).await.ok().flatten()
}
