//! What is asked of the database: the table, each mode's statements, and what is read at the end. One shape
//! of table serves all modes, and each run has rows of its own by its number.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::Client;

use super::ledger::{Found, Versions, version_of};
use super::session::{Session, words};
use super::settings::{Mode, Settings};

/// By this comment a table is known as made here.
const MARK: &str = "made by pgbaton traffic";

/// The statements and parameters of one run.
#[derive(Clone, Debug)]
pub struct Workload {
    mode: Mode,
    keys: u64,
    table: String,
    run: i64,
    payload: String,
}

/// Why a name of a table is not taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no name of a table; expected letters, digits and _, as in traffic or test.traffic"
)]
pub struct TableNameError(String);

/// A read, and what it has to find at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which row.
    pub id: i64,
    /// Its value, as far as it was acknowledged before.
    pub at_least: Option<i64>,
}

impl Workload {
    /// A run with a number of its own.
    ///
    /// # Errors
    /// When the table's name is none.
    pub fn new(settings: &Settings, run: i64) -> Result<Self, TableNameError> {
        Ok(Self {
            mode: settings.mode,
            keys: settings.keys.max(1),
            table: quoted(&settings.table)?,
            run,
            payload: "x".repeat(settings.payload_bytes),
        })
    }

    /// Makes the table unless it is there, and the counter's row. Says whether it made the table.
    ///
    /// # Errors
    /// In words: what the server said, or that the table is somebody else's.
    pub async fn prepare(&self, client: &Client) -> Result<bool, String> {
        let table = &self.table;
        let asked = "SELECT to_regclass($1)::text, obj_description(to_regclass($1), 'pg_class')";
        let row = client.query_one(asked, &[table]).await.map_err(|error| words(&error))?;
        let (found, comment): (Option<String>, Option<String>) = (row.get(0), row.get(1));
        if found.is_some() && comment.as_deref() != Some(MARK) {
            return Err(format!(
                "the table {table} is there and was not made by `pgbaton traffic`; choose another \
                 with --table"
            ));
        }
        if found.is_none() {
            let made = format!(
                "CREATE TABLE {table} (run bigint, id bigint, value bigint NOT NULL, \
                 written_at timestamptz NOT NULL DEFAULT clock_timestamp(), payload text, \
                 PRIMARY KEY (run, id)); COMMENT ON TABLE {table} IS '{MARK}'"
            );
            client.batch_execute(&made).await.map_err(|error| words(&error))?;
        }
        if self.mode == Mode::Counter {
            let row = format!("INSERT INTO {table} (run, id, value) VALUES ($1, 0, 0)");
            client.execute(&row, &[&self.run]).await.map_err(|error| words(&error))?;
        }
        Ok(found.is_none())
    }

    /// Removes the table.
    pub async fn drop_table(&self, client: &Client) -> Result<(), String> {
        let dropped = client.batch_execute(&format!("DROP TABLE IF EXISTS {}", self.table)).await;
        dropped.map_err(|error| words(&error))
    }

    /// The statement of writes.
    pub fn write_statement(&self) -> String {
        let table = &self.table;
        match self.mode {
            Mode::Insert => {
                format!("INSERT INTO {table} (run, id, value, payload) VALUES ($1, $2, 1, $3)")
            }
            Mode::Counter => format!(
                "UPDATE {table} SET value = value + 1, written_at = clock_timestamp() \
                 WHERE run = $1 AND id = 0 RETURNING value"
            ),
            // Two writes of one key may overtake each other: the higher version stands.
            Mode::Kv => format!(
                "INSERT INTO {table} AS t (run, id, value, payload) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (run, id) DO UPDATE SET value = greatest(t.value, excluded.value), \
                 written_at = excluded.written_at, payload = excluded.payload"
            ),
        }
    }

    /// The statement of reads.
    pub fn read_statement(&self) -> String {
        format!("SELECT value FROM {} WHERE run = $1 AND id = $2", self.table)
    }

    /// Carries out a write. `counter` has a value to return.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub async fn write(
        &self,
        session: &Session,
        number: u64,
    ) -> Result<Option<i64>, tokio_postgres::Error> {
        let (client, statement, run) = (session.client(), session.statement(), &self.run);
        match self.mode {
            Mode::Insert => {
                let id = i64::try_from(number).unwrap_or(i64::MAX);
                client.execute(statement, &[run, &id, &self.payload]).await?;
                Ok(None)
            }
            Mode::Counter => Ok(Some(client.query_one(statement, &[run]).await?.get(0))),
            Mode::Kv => {
                let (key, version) = (self.key_of(number), version_of(number));
                client.execute(statement, &[run, &key, &version, &self.payload]).await?;
                Ok(None)
            }
        }
    }

    /// Carries out a read: the value, unless there is no such row.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub async fn read(
        &self,
        session: &Session,
        read: Read,
    ) -> Result<Option<i64>, tokio_postgres::Error> {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&self.run, &read.id];
        let row = session.client().query_opt(session.statement(), &parameters).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Which key a write of `kv` is for.
    pub fn key_of(&self, number: u64) -> i64 {
        i64::try_from(number % self.keys).unwrap_or(i64::MAX)
    }

    /// Reads all that this run has left.
    ///
    /// # Errors
    /// What the server said.
    pub async fn found(&self, client: &Client) -> Result<Found, String> {
        let sql = format!("SELECT id, value FROM {} WHERE run = $1", self.table);
        let rows = client.query_raw(&sql, [self.run]).await.map_err(|error| words(&error))?;
        pin_mut!(rows);
        let mut found: BTreeMap<i64, i64> = BTreeMap::new();
        while let Some(row) = rows.try_next().await.map_err(|error| words(&error))? {
            found.insert(row.get(0), row.get(1));
        }
        Ok(match self.mode {
            Mode::Insert => Found::Rows(found.into_keys().collect::<BTreeSet<_>>()),
            Mode::Counter => Found::Counter(found.get(&0).copied()),
            Mode::Kv => Found::Versions(Versions { keys: self.keys, found }),
        })
    }
}

/// A name, or one with its schema, as it can stand in a statement.
fn quoted(name: &str) -> Result<String, TableNameError> {
    let is_word = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with(|letter: char| letter.is_ascii_digit())
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_word(part)) {
        return Err(TableNameError(name.to_owned()));
    }
    Ok(parts.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_table_cannot_be_anything_else() {
        assert_eq!(quoted("traffic").unwrap(), "\"traffic\"");
        assert_eq!(quoted("test.Traffic_2").unwrap(), "\"test\".\"Traffic_2\"");
        for wrong in ["", "a.b.c", "2fast", "a b", "x; DROP TABLE y", "a\"b", "."] {
            assert!(quoted(wrong).is_err(), "{wrong}");
        }
    }
}
