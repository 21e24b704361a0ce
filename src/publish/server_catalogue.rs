//! The metrics of the PostgreSQL server itself, which the agent asks for at an interval
//! (`pgbaton.statistics_interval`). Without a sample while there is no recent answer.

use super::catalogue::{Family, Kind, family};

/// Whether there is a recent answer.
pub const UP: Family = family(
    "pgbaton_pg_up",
    Kind::Gauge,
    &[],
    "1 while the server has answered lately what the other pgbaton_pg_ metrics say, else 0; those are \
     left out then.",
);
/// How old it is.
pub const AGE: Family = family(
    "pgbaton_pg_answer_age_seconds",
    Kind::Gauge,
    &[],
    "How long ago the server was asked for what these metrics say.",
);
/// How long it took.
pub const TOOK: Family =
    family("pgbaton_pg_answer_seconds", Kind::Gauge, &[], "How long the server took to answer.");
/// Commits and rollbacks.
pub const TRANSACTIONS: Family = family(
    "pgbaton_pg_transactions_total",
    Kind::Counter,
    &["database", "outcome"],
    "Transactions that ended, by outcome: commit, rollback.",
);
/// Rows.
pub const ROWS: Family = family(
    "pgbaton_pg_rows_total",
    Kind::Counter,
    &["database", "operation"],
    "Rows by what was done with them: returned, fetched, inserted, updated, deleted.",
);
/// Blocks.
pub const BLOCKS: Family = family(
    "pgbaton_pg_blocks_total",
    Kind::Counter,
    &["database", "source"],
    "Blocks that were needed, by where they were found: hit (shared buffers), read.",
);
/// Deadlocks.
pub const DEADLOCKS: Family =
    family("pgbaton_pg_deadlocks_total", Kind::Counter, &["database"], "Deadlocks.");
/// Recovery conflicts.
pub const CONFLICTS: Family = family(
    "pgbaton_pg_conflicts_total",
    Kind::Counter,
    &["database"],
    "Queries on a standby that were cancelled because replay needed what they used.",
);
/// Temporary files.
pub const TEMPORARY: Family = family(
    "pgbaton_pg_temporary_bytes_total",
    Kind::Counter,
    &["database"],
    "What queries have written to temporary files.",
);
/// Sizes.
pub const DATABASE_SIZE: Family = family(
    "pgbaton_pg_database_size_bytes",
    Kind::Gauge,
    &["database"],
    "The size of each database on disk; asked once a minute at most.",
);
/// Connections.
pub const CONNECTIONS: Family = family(
    "pgbaton_pg_connections",
    Kind::Gauge,
    &["state"],
    "Clients' connections by state: active, idle, idle in transaction, ...",
);
/// The limit.
pub const CONNECTIONS_MAX: Family =
    family("pgbaton_pg_connections_max", Kind::Gauge, &[], "The server's max_connections.");
/// The oldest transaction.
pub const LONGEST_TRANSACTION: Family = family(
    "pgbaton_pg_longest_transaction_seconds",
    Kind::Gauge,
    &[],
    "For how long the oldest open transaction of a client has been open; 0 without one.",
);
/// Locks.
pub const LOCKS: Family =
    family("pgbaton_pg_locks", Kind::Gauge, &["mode"], "Locks held or waited for, by mode.");
/// Waiting.
pub const LOCKS_WAITING: Family =
    family("pgbaton_pg_locks_waiting", Kind::Gauge, &[], "Locks that are waited for.");
/// Log written.
pub const WAL: Family = family(
    "pgbaton_pg_wal_bytes_total",
    Kind::Counter,
    &[],
    "The position in the log in bytes: written on a primary, received or replayed on a standby; its \
     rate is that of the log.",
);
/// Log files.
pub const WAL_FILES: Family =
    family("pgbaton_pg_wal_files", Kind::Gauge, &[], "How many segments are in pg_wal.");
/// Their size.
pub const WAL_FILES_SIZE: Family =
    family("pgbaton_pg_wal_files_bytes", Kind::Gauge, &[], "The size of the segments in pg_wal.");
/// Checkpoints.
pub const CHECKPOINTS: Family = family(
    "pgbaton_pg_checkpoints_total",
    Kind::Counter,
    &["cause"],
    "Checkpoints by cause: timed, requested.",
);
/// Their time.
pub const CHECKPOINT_TIME: Family = family(
    "pgbaton_pg_checkpoint_seconds_total",
    Kind::Counter,
    &["stage"],
    "How long checkpoints took, by stage: write, sync.",
);
/// What they wrote.
pub const CHECKPOINT_BUFFERS: Family = family(
    "pgbaton_pg_checkpoint_buffers_total",
    Kind::Counter,
    &[],
    "Buffers that checkpoints wrote.",
);
/// Standbys.
pub const STANDBYS: Family = family(
    "pgbaton_pg_replication_info",
    Kind::Gauge,
    &["standby", "state", "sync_state"],
    "Always 1; one sample for each standby that is connected to this server.",
);
/// Their lag in bytes.
pub const LAG_BYTES: Family = family(
    "pgbaton_pg_replication_lag_bytes",
    Kind::Gauge,
    &["standby", "stage"],
    "How far each standby lies behind this server's log, by stage: sent, write, flush, replay.",
);
/// Their lag in seconds.
pub const LAG_SECONDS: Family = family(
    "pgbaton_pg_replication_lag_seconds",
    Kind::Gauge,
    &["standby", "stage"],
    "How long this server's log lately took to each standby, by stage: write, flush, replay; 0 when \
     it has all.",
);
/// A standby's own delay.
pub const REPLAY_DELAY: Family = family(
    "pgbaton_pg_replay_delay_seconds",
    Kind::Gauge,
    &[],
    "On a standby: how old the last replayed transaction is; 0 when all that was received is replayed.",
);
/// Processor time.
pub const CPU: Family = family(
    "pgbaton_pg_cpu_seconds_total",
    Kind::Counter,
    &["mode"],
    "Processor time of the server's processes since its start, by mode: user, system.",
);
/// Processes.
pub const PROCESSES: Family =
    family("pgbaton_pg_processes", Kind::Gauge, &[], "How many processes the server has.");

/// All of them.
pub const SERVERS: &[Family] = &[
    UP,
    AGE,
    TOOK,
    TRANSACTIONS,
    ROWS,
    BLOCKS,
    DEADLOCKS,
    CONFLICTS,
    TEMPORARY,
    DATABASE_SIZE,
    CONNECTIONS,
    CONNECTIONS_MAX,
    LONGEST_TRANSACTION,
    LOCKS,
    LOCKS_WAITING,
    WAL,
    WAL_FILES,
    WAL_FILES_SIZE,
    CHECKPOINTS,
    CHECKPOINT_TIME,
    CHECKPOINT_BUFFERS,
    STANDBYS,
    LAG_BYTES,
    LAG_SECONDS,
    REPLAY_DELAY,
    CPU,
    PROCESSES,
];
