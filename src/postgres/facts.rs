//! What a running server says of itself: one statement, one row, a few milliseconds.

use std::path::Path;

use serde::Deserialize;
use tokio_postgres::{Client, Row, Statement};

use super::conninfo;
use super::port::{Downstream, PrimaryFacts, Receiver, StandbyFacts};
use super::slots::SlotRow;
use crate::cluster::Slot;
use crate::config::HostPort;
use crate::values::{Lsn, SystemId, Timeline, WalPosition};

/// Works on PostgreSQL 13 to 18. A function that one role lacks is behind a `CASE`.
const STATEMENT: &str = "\
WITH here AS MATERIALIZED (SELECT pg_is_in_recovery() AS recovering)
SELECT recovering,
  current_setting('server_version_num')::int4 AS version,
  (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started_at_micros,
  (SELECT system_identifier::text FROM pg_control_system()) AS system_id,
  (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
  (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS recovery_timeline,
  CASE WHEN NOT recovering THEN pg_current_wal_flush_lsn()::text END AS flushed,
  CASE WHEN NOT recovering THEN pg_walfile_name(pg_current_wal_flush_lsn()) END AS segment,
  CASE WHEN recovering THEN pg_last_wal_receive_lsn()::text END AS received,
  CASE WHEN recovering THEN pg_last_wal_replay_lsn()::text END AS replayed,
  CASE WHEN recovering THEN
    (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8 END AS replayed_at_micros,
  CASE WHEN recovering THEN pg_is_wal_replay_paused() ELSE false END AS replay_paused,
  CASE WHEN recovering THEN current_setting('primary_conninfo') END AS conninfo,
  CASE WHEN recovering THEN current_setting('primary_slot_name') END AS slot_name,
  current_setting('synchronous_standby_names') AS sync_names,
  (SELECT json_build_object('status', status, 'timeline', received_tli,
      'latest_end', latest_end_lsn::text, 'written', written_lsn::text)::text
    FROM pg_stat_wal_receiver) AS receiver,
  (SELECT json_agg(json_build_object('name', application_name, 'user', usename,
      'client_address', host(client_addr), 'state', state, 'flushed', flush_lsn::text,
      'replayed', replay_lsn::text, 'sync_state', sync_state, 'sync_priority', sync_priority,
      'slot', (SELECT slot_name FROM pg_replication_slots
        WHERE active_pid = pid AND slot_type = 'physical' AND NOT temporary LIMIT 1))
      ORDER BY application_name, pid)::text
    FROM pg_stat_replication) AS downstreams,
  (SELECT json_agg(json_build_object('name', slot_name, 'kind', slot_type, 'database', database,
      'plugin', plugin, 'active', active, 'restart', restart_lsn::text,
      'confirmed', confirmed_flush_lsn::text, 'status', wal_status,
      'catalog_xmin', catalog_xmin::text, 'keeps_rows', xmin IS NOT NULL OR catalog_xmin IS NOT NULL,
      'synced', to_jsonb(s) ->> 'synced',
      'failover', to_jsonb(s) ->> 'failover') ORDER BY slot_name)::text
    FROM pg_replication_slots s WHERE NOT temporary) AS slots,
  (SELECT json_agg(json_build_array(name, current_setting(name),
      coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name
        ORDER BY f.seqno DESC LIMIT 1), boot_val)) ORDER BY name)::text
    FROM pg_settings s WHERE pending_restart) AS pending_restart
FROM here";

/// What the statement answered, before the history files are read.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub version: u32,
    pub started_at_micros: i64,
    pub pending_restart: Vec<(String, String, String)>,
    pub facts: Facts,
}

/// The facts of one role.
#[derive(Clone, Debug)]
pub(super) enum Facts {
    Primary(PrimaryFacts),
    Standby(StandbyFacts),
}

/// Makes the statement ready on a new connection.
pub(super) async fn prepare(client: &Client) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(STATEMENT).await
}

/// Asks.
pub(super) async fn ask(client: &Client, statement: &Statement) -> Result<Answer, AskError> {
    let row = client.query_one(statement, &[]).await.map_err(AskError::Query)?;
    Answer::read(&row).map_err(AskError::Odd)
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// The query failed.
    Query(tokio_postgres::Error),
    /// It answered what cannot be: a text that says so.
    Odd(String),
}

#[derive(Deserialize)]
struct DownstreamRow {
    name: Option<String>,
    user: Option<String>,
    client_address: Option<String>,
    state: Option<String>,
    flushed: Option<String>,
    replayed: Option<String>,
    sync_state: Option<String>,
    sync_priority: Option<i32>,
    slot: Option<String>,
}

#[derive(Deserialize)]
struct ReceiverRow {
    status: Option<String>,
    timeline: Option<u32>,
    latest_end: Option<String>,
    written: Option<String>,
}

fn field<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, String> {
    row.try_get(name).map_err(|error| format!("{name}: {error}"))
}

fn json<T: serde::de::DeserializeOwned + Default>(row: &Row, name: &str) -> Result<T, String> {
    match field::<Option<&str>>(row, name)? {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("{name}: {error}")),
        None => Ok(T::default()),
    }
}

fn lsn(text: Option<&str>) -> Result<Option<Lsn>, String> {
    let parsed = text.map(str::parse::<Lsn>).transpose().map_err(|error| error.to_string())?;
    Ok(parsed.and_then(Lsn::known))
}

fn timeline_of(row: &Row, name: &str) -> Result<Timeline, String> {
    Ok(Timeline(field::<Option<i32>>(row, name)?.unwrap_or_default().max(0) as u32))
}

impl Answer {
    fn read(row: &Row) -> Result<Self, String> {
        let system_id = field::<&str>(row, "system_id")?;
        // The server prints its identifier as a signed number.
        let system_id = system_id.parse::<i64>().map(|id| SystemId(id as u64));
        let system_id = system_id.map_err(|error| format!("system_id: {error}"))?;
        let version = field::<i32>(row, "version")?.max(0) as u32;
        let facts = if field(row, "recovering")? {
            Facts::Standby(standby(row, system_id, version / 10_000)?)
        } else {
            Facts::Primary(primary(row, system_id)?)
        };
        Ok(Self {
            version,
            started_at_micros: field(row, "started_at_micros")?,
            pending_restart: json(row, "pending_restart")?,
            facts,
        })
    }
}

fn primary(row: &Row, system_id: SystemId) -> Result<PrimaryFacts, String> {
    let segment = field::<&str>(row, "segment")?;
    let timeline = segment.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let timeline = Timeline(timeline.ok_or_else(|| format!("a segment named {segment:?}"))?);
    let flushed = lsn(field(row, "flushed")?)?.unwrap_or_default();
    Ok(PrimaryFacts {
        system_id,
        position: WalPosition { timeline, lsn: flushed },
        checkpoint_timeline: timeline_of(row, "checkpoint_timeline")?,
        ancestors: Vec::new(),
        downstreams: downstreams(row)?,
        slots: slots(row)?,
        sync_names: super::synchronous::read(field(row, "sync_names")?),
    })
}

fn standby(row: &Row, system_id: SystemId, major: u32) -> Result<StandbyFacts, String> {
    let receiver: Option<ReceiverRow> = json(row, "receiver")?;
    let received_timeline = receiver.as_ref().and_then(|row| row.timeline).map(Timeline);
    let timeline = timeline_of(row, "checkpoint_timeline")?
        .max(timeline_of(row, "recovery_timeline")?)
        .max(received_timeline.unwrap_or_default());
    let receiver = receiver
        .map(|row| {
            Ok::<_, String>(Receiver {
                streaming: row.status.as_deref() == Some("streaming"),
                latest_end: lsn(row.latest_end.as_deref())?,
                written: lsn(row.written.as_deref())?,
            })
        })
        .transpose()?;
    Ok(StandbyFacts {
        system_id,
        major,
        timeline,
        received: lsn(field(row, "received")?)?,
        replayed: lsn(field(row, "replayed")?)?.unwrap_or_default(),
        replayed_at_micros: field(row, "replayed_at_micros")?,
        replay_paused: field(row, "replay_paused")?,
        too_small: None,
        receiver,
        ancestors: Vec::new(),
        later: Vec::new(),
        upstream: field::<Option<&str>>(row, "conninfo")?.and_then(upstream_in),
        slot: field::<Option<String>>(row, "slot_name")?.filter(|name| !name.is_empty()),
        downstreams: downstreams(row)?,
        slots: slots(row)?,
    })
}

fn slots(row: &Row) -> Result<Vec<Slot>, String> {
    let rows: Vec<SlotRow> = json(row, "slots")?;
    rows.into_iter().map(SlotRow::into_slot).collect()
}

fn downstreams(row: &Row) -> Result<Vec<Downstream>, String> {
    let rows: Vec<DownstreamRow> = json(row, "downstreams")?;
    rows.into_iter()
        .map(|row| {
            Ok(Downstream {
                name: row.name.unwrap_or_default(),
                user: row.user.unwrap_or_default(),
                client_address: row.client_address,
                state: row.state.unwrap_or_default(),
                flushed: lsn(row.flushed.as_deref())?.unwrap_or_default(),
                replayed: lsn(row.replayed.as_deref())?.unwrap_or_default(),
                sync_state: row.sync_state.unwrap_or_default(),
                sync_priority: row.sync_priority.unwrap_or_default(),
                slot: row.slot,
            })
        })
        .collect()
}

/// `host:port` out of a `primary_conninfo`; `None` when it names no host.
fn upstream_in(text: &str) -> Option<String> {
    let options = conninfo::parse(text);
    let value = |name: &str| {
        options.iter().rev().find(|(keyword, _)| keyword == name).map(|(_, value)| value.clone())
    };
    let host = value("host").or_else(|| value("hostaddr")).filter(|host| !host.is_empty())?;
    let port = value("port").and_then(|port| port.parse().ok()).unwrap_or(5432);
    Some(HostPort { host, port }.to_string())
}

/// The server's history files as far as they were read: each is read once, as none ever changes.
#[derive(Debug, Default)]
pub(super) struct Ancestors(Option<(Timeline, Vec<crate::cluster::Ancestor>)>);

impl Ancestors {
    pub fn known(&self, timeline: Timeline) -> Option<Vec<crate::cluster::Ancestor>> {
        let (known, ancestors) = self.0.as_ref()?;
        (*known == timeline).then(|| ancestors.clone())
    }

    pub fn learn(&mut self, timeline: Timeline, ancestors: Vec<crate::cluster::Ancestor>) {
        // An empty history of a later timeline is a file that was not there yet.
        if timeline == Timeline::FIRST || !ancestors.is_empty() {
            self.0 = Some((timeline, ancestors));
        }
    }
}

/// Reads a history; what cannot be read is no history, and said.
pub(super) fn ancestors_from_file(
    data_dir: &Path,
    timeline: Timeline,
) -> Vec<crate::cluster::Ancestor> {
    super::history::ancestors(data_dir, timeline).unwrap_or_else(|error| {
        tracing::warn!(%timeline, %error, "the timeline's history file cannot be read");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_is_where_the_conninfo_points() {
        assert_eq!(upstream_in("user=r host=10.0.0.1 port=5433").unwrap(), "10.0.0.1:5433");
        assert_eq!(upstream_in("host=::1").unwrap(), "[::1]:5432");
        assert_eq!(upstream_in(""), None);
    }
}
