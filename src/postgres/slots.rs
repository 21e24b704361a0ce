//! Replication slots: reading, making, dropping and moving them.

use serde::Deserialize;

use super::connection::Access;
use super::port::ServerError;
use super::server::LocalServer;
use crate::cluster::{MAJOR_THAT_SYNCS, Slot, SlotKind, SlotLog};
use crate::values::Lsn;

/// What is asked for, in errors.
pub(super) const WHAT: &str = "the replication slots";

/// As the statement of `facts` tells a slot.
#[derive(Deserialize)]
pub(super) struct SlotRow {
    name: String,
    kind: String,
    database: Option<String>,
    plugin: Option<String>,
    active: bool,
    restart: Option<String>,
    confirmed: Option<String>,
    status: Option<String>,
    /// As text: a number of 32 bits without a sign.
    catalog_xmin: Option<String>,
    keeps_rows: bool,
    /// A boolean as text: only PostgreSQL 17 and later know it.
    synced: Option<String>,
    /// The same.
    failover: Option<String>,
}

impl SlotRow {
    /// # Errors
    /// What in it is not what it should be.
    pub fn into_slot(self) -> Result<Slot, String> {
        let lsn = |text: Option<String>| {
            let parsed = text.map(|text| text.parse::<Lsn>()).transpose();
            parsed.map(|lsn| lsn.and_then(Lsn::known)).map_err(|error| error.to_string())
        };
        let kind = match self.kind.as_str() {
            "physical" => SlotKind::Physical,
            _ => SlotKind::Logical {
                database: self.database.unwrap_or_default(),
                plugin: self.plugin.unwrap_or_default(),
            },
        };
        let log = match self.status.as_deref() {
            Some("lost") => SlotLog::Lost,
            Some("unreserved") => SlotLog::Unreserved,
            _ => SlotLog::Kept,
        };
        Ok(Slot {
            name: self.name,
            kind,
            is_active: self.active,
            restart: lsn(self.restart)?,
            confirmed: lsn(self.confirmed)?,
            log,
            catalog_xmin: self.catalog_xmin.and_then(|xmin| xmin.parse().ok()),
            keeps_rows: self.keeps_rows,
            is_synced: self.synced.as_deref() == Some("true"),
            has_failover: self.failover.map(|told| told == "true"),
        })
    }
}

const MAKE: &str = "SELECT pg_create_physical_replication_slot(name, true) \
     FROM unnest($1::text[]) AS name \
     WHERE name NOT IN (SELECT slot_name FROM pg_replication_slots)";
const DROP: &str = "SELECT slot_name::text, pg_drop_replication_slot(slot_name)::text \
     FROM pg_replication_slots WHERE slot_name = ANY ($1::text[]) AND NOT active";
const ADVANCE: &str = "SELECT pg_replication_slot_advance(slot_name, $2::text::pg_lsn) \
     FROM pg_replication_slots WHERE slot_name = $1::text AND NOT active \
       AND slot_type = 'physical' AND restart_lsn < $2::text::pg_lsn";
/// The last argument is of PostgreSQL 17 and later.
const MAKE_LOGICAL: &str = "SELECT pg_create_logical_replication_slot($1::text, $2::text)";
const MAKE_LOGICAL_FAILOVER: &str =
    "SELECT pg_create_logical_replication_slot($1::text, $2::text, failover => true)";

impl LocalServer {
    pub(super) async fn make_and_drop_slots(
        &self,
        wanted: &[String],
        unwanted: &[String],
    ) -> Result<(), ServerError> {
        let failed = |source| ServerError::Query { what: WHAT, source };
        if wanted.is_empty() && unwanted.is_empty() {
            return Ok(());
        }
        let session = self.session(WHAT).await?;
        // Dropping first may make the room that is needed.
        let mut dropped = Ok(());
        if !unwanted.is_empty() {
            dropped = session.client.query(DROP, &[&unwanted]).await.map(|rows| {
                for row in rows {
                    tracing::info!(slot = row.get::<_, &str>(0), "dropped a replication slot");
                }
            });
        }
        if !wanted.is_empty() {
            session.client.execute(MAKE, &[&wanted]).await.map_err(failed)?;
        }
        dropped.map_err(failed)
    }

    pub(super) async fn move_slots_on(&self, to: &[(String, Lsn)]) -> Result<(), ServerError> {
        let session = self.session(WHAT).await?;
        for (name, lsn) in to {
            let done = session.client.execute(ADVANCE, &[name, &lsn.to_string()]).await;
            done.map_err(|source| ServerError::Query { what: WHAT, source })?;
        }
        Ok(())
    }

    pub(super) async fn make_logical(
        &self,
        name: &str,
        database: &str,
        plugin: &str,
    ) -> Result<(), ServerError> {
        let has_failover = self.major().await? >= MAJOR_THAT_SYNCS;
        let statement = if has_failover { MAKE_LOGICAL_FAILOVER } else { MAKE_LOGICAL };
        let session = Access::of(&self.place, database)?.session(WHAT).await?;
        let done = session.client.execute(statement, &[&name, &plugin]).await;
        done.map(drop).map_err(|source| ServerError::Query { what: WHAT, source })
    }
}
