//! The statements. They work on PostgreSQL 13 to 18, on primaries and standbys, and answer one row of
//! JSON each. None of them reads a table of the user's.

/// Whether enough connections are left for others, those that are kept for the superuser aside.
pub(super) const ROOM: &str = "SELECT count(*) \
    < current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
    FROM pg_stat_activity WHERE backend_type = 'client backend'";

pub(super) const VERSION: &str = "SELECT current_setting('server_version_num')::int4";

pub(super) const SERVER: &str = "\
WITH here AS MATERIALIZED (
  SELECT pg_is_in_recovery() AS recovering,
    CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
      ELSE pg_current_wal_lsn() END AS lsn),
clients AS MATERIALIZED (
  SELECT pid, coalesce(state, 'unknown') AS state, xact_start FROM pg_stat_activity
  WHERE backend_type = 'client backend'),
segments AS MATERIALIZED (
  SELECT size FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'),
senders AS MATERIALIZED (
  SELECT application_name AS name, min(state) AS state, min(sync_state) AS sync_state,
    max(pg_wal_lsn_diff(greatest(lsn, sent_lsn), sent_lsn)) AS sent,
    max(pg_wal_lsn_diff(greatest(lsn, write_lsn), write_lsn)) AS written,
    max(pg_wal_lsn_diff(greatest(lsn, flush_lsn), flush_lsn)) AS flushed,
    max(pg_wal_lsn_diff(greatest(lsn, replay_lsn), replay_lsn)) AS replayed,
    max(write_lag) AS write_lag, max(flush_lag) AS flush_lag, max(replay_lag) AS replay_lag
  FROM pg_stat_replication, here WHERE state <> 'backup' GROUP BY application_name)
SELECT json_build_object(
  'wal_bytes', coalesce(lsn - '0/0'::pg_lsn, 0),
  'connections', coalesce((SELECT json_object_agg(state, n)
    FROM (SELECT state, count(*) AS n FROM clients GROUP BY state) AS s), '{}'),
  'connections_max', current_setting('max_connections')::int8,
  'longest_transaction', (SELECT max(extract(epoch FROM clock_timestamp() - xact_start))
    FROM clients WHERE pid <> pg_backend_pid()),
  'locks', coalesce((SELECT json_object_agg(mode, n)
    FROM (SELECT mode, count(*) AS n FROM pg_locks WHERE pid IS DISTINCT FROM pg_backend_pid()
      GROUP BY mode) AS l), '{}'),
  'locks_waiting', (SELECT count(*) FROM pg_locks WHERE NOT granted),
  'wal_files', (SELECT count(*) FROM segments),
  'wal_files_bytes', (SELECT coalesce(sum(size), 0) FROM segments),
  'standbys', coalesce((SELECT json_agg(json_build_object('name', name, 'state', state,
      'sync_state', sync_state,
      'bytes', json_build_array(sent, written, flushed, replayed),
      'seconds', json_build_array(coalesce(extract(epoch FROM write_lag), 0),
        coalesce(extract(epoch FROM flush_lag), 0), coalesce(extract(epoch FROM replay_lag), 0)))
    ORDER BY name) FROM senders), '[]'),
  'replay_delay', CASE WHEN recovering THEN
    CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
      ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END END
)::text FROM here";

/// A cluster of very many databases shows the busiest.
pub(super) const DATABASES: &str = "\
SELECT coalesce(json_agg(json_build_object('name', datname, 'commits', xact_commit,
  'rollbacks', xact_rollback, 'returned', tup_returned, 'fetched', tup_fetched,
  'inserted', tup_inserted, 'updated', tup_updated, 'deleted', tup_deleted, 'hit', blks_hit,
  'read', blks_read, 'deadlocks', deadlocks, 'conflicts', conflicts, 'temporary_bytes', temp_bytes)
  ORDER BY datname), '[]')::text
FROM (SELECT * FROM pg_stat_database WHERE datname IS NOT NULL
  ORDER BY xact_commit DESC, datname LIMIT 100) AS busiest";

/// The counters have a view of their own from PostgreSQL 17 on.
pub(super) fn checkpoints(version: i32) -> &'static str {
    if version >= 170_000 {
        "SELECT json_build_object('timed', num_timed, 'requested', num_requested,
          'write_millis', write_time, 'sync_millis', sync_time, 'buffers', buffers_written)::text
         FROM pg_stat_checkpointer"
    } else {
        "SELECT json_build_object('timed', checkpoints_timed, 'requested', checkpoints_req,
          'write_millis', checkpoint_write_time, 'sync_millis', checkpoint_sync_time,
          'buffers', buffers_checkpoint)::text
         FROM pg_stat_bgwriter"
    }
}

pub(super) const SIZES: &str = "\
SELECT coalesce(json_object_agg(datname, pg_database_size(oid)), '{}')::text
FROM (SELECT oid, datname FROM pg_database WHERE datallowconn ORDER BY oid LIMIT 100) AS databases";
