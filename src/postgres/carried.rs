//! Logical slots that a standby carries along: the files of the leader's, put in place before the server starts, and
//! moved on afterwards. PostgreSQL reads a slot's file only when it starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::connection::Access;
use super::files::{self, Manner, at, blocking};
use super::place::Place;
use super::port::{ServerError, Upstream};
use super::segments::{is_segment, names_in, segment_of};
use super::server::LocalServer;
use super::slots::WHAT;

use crate::config::PermanentSlot;
use crate::values::{Lsn, is_earlier_transaction};

/// Where slots are, each in a folder of its own.
const SLOTS_FOLDER: &str = "pg_replslot";
/// What was got longer ago is of another time, and not worth a look.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// A slot's file is a few hundred bytes.
const STATE_BYTES_MAX: u64 = 64 * 1024;
/// All snapshots of one slot together: later ones can be made again from the log, the first one cannot. As
/// hexadecimal digits they have to pass through a program's output.
const SNAPSHOT_BYTES_MAX: u64 = 400 * 1024;

/// A file with what is in it.
#[derive(Debug)]
struct Content {
    name: String,
    bytes: Vec<u8>,
}

/// Logical slots of a leader, for the next start.
#[derive(Debug)]
pub(super) struct Fetched {
    at: Instant,
    /// By the slot's name, its file.
    slots: Vec<Content>,
    /// What running transactions looked like at places in the log: where reading begins, nothing else tells.
    snapshots: Vec<Content>,
}

/// The slots at the leader, by `psql`: where one begins to read, what is confirmed, its file as hexadecimal digits.
const SLOTS: &str = "\
SELECT slot_name, database, plugin, restart_lsn, confirmed_flush_lsn,
  (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size'),
  encode(pg_read_binary_file('pg_replslot/' || slot_name || '/state', 0, {bytes}, true), 'hex')
FROM pg_replication_slots
WHERE slot_type = 'logical' AND wal_status IN ('reserved', 'extended') AND NOT temporary
  AND slot_name IN ({names})";

/// The first one in any case, without its content where that is too much.
const SNAPSHOTS: &str = "\
SELECT file, CASE WHEN up_to_here <= {most}
    THEN encode(pg_read_binary_file('pg_logical/snapshots/' || file, 0, {most}, true), 'hex') END
FROM (SELECT file, lsn,
    sum((pg_stat_file('pg_logical/snapshots/' || file, true)).size) OVER (ORDER BY lsn) AS up_to_here
  FROM (SELECT file, replace(left(file, -5), '-', '/')::pg_lsn AS lsn
    FROM pg_ls_dir('pg_logical/snapshots', true, false) AS file
    WHERE file ~ '^[0-9A-F]+-[0-9A-F]+[.]snap$') AS there
  WHERE lsn BETWEEN '{from}' AND '{upto}') AS counted
WHERE up_to_here <= {most} OR lsn = '{from}' ORDER BY lsn";

/// What the leader's own slot needs is there now. What this node's slot keeps, which the standby has told it and
/// which never goes back, is kept from now on. So the later of the two is there, and stays.
const KEPT: &str = "\
SELECT theirs.slot_name, theirs.catalog_xmin, mine.catalog_xmin
FROM pg_replication_slots AS theirs, pg_replication_slots AS mine
WHERE theirs.slot_type = 'logical' AND theirs.catalog_xmin IS NOT NULL AND theirs.slot_name IN ({names})
  AND mine.slot_name = {own} AND mine.active AND mine.catalog_xmin IS NOT NULL";

const ADVANCE: &str = "SELECT pg_replication_slot_advance(slot_name, $2::text::pg_lsn) \
     FROM pg_replication_slots WHERE slot_name = $1::text AND NOT active \
       AND slot_type = 'logical' AND confirmed_flush_lsn < $2::text::pg_lsn";
const DROP_A_COPY: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
     WHERE slot_name = $1::text AND NOT active AND pg_is_in_recovery()";
const DROP: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
     WHERE slot_name = ANY ($1::text[]) AND slot_type = 'logical'";
/// Has whoever uses them end, and tells whether nobody does any more.
const NOBODY_USES: &str = "SELECT count(pg_terminate_backend(active_pid)) = 0 FROM pg_replication_slots \
     WHERE slot_name = ANY ($1::text[]) AND slot_type = 'logical' AND active";

impl LocalServer {
    pub(super) async fn fetch_slots(
        &self,
        leader: &Upstream,
        slots: &[PermanentSlot],
    ) -> Result<Vec<String>, ServerError> {
        let room = self.room_for_slots().await?;
        let names: Vec<String> = slots.iter().map(|slot| slot.name.clone()).collect();
        let statement = SLOTS
            .replace("{bytes}", &STATE_BYTES_MAX.to_string())
            .replace("{names}", &literals(&names));
        let told = self.asked(leader, &statement).await?;
        let rows = told.lines().map(|line| Row::read(line).ok_or_else(|| odd(line)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let mut fetched = Fetched { at: Instant::now(), slots: Vec::new(), snapshots: Vec::new() };
        let mut last = None;
        for slot in slots {
            let got = if fetched.slots.len() < room {
                self.fetch_slot(leader, slot, &rows, &mut fetched).await
            } else {
                Err(ServerError::NotPossible("max_replication_slots leaves no room for it".into()))
            };
            if let Err(why) = got {
                tracing::warn!(slot = slot.name, %why, "a logical slot cannot be copied from the leader");
                last = Some(why);
            }
        }
        let names = fetched.slots.iter().map(|slot| slot.name.clone()).collect();
        match last {
            Some(why) if fetched.slots.is_empty() => Err(why),
            _ => {
                self.set_fetched(Some(fetched));
                Ok(names)
            }
        }
    }

    /// How many more slots a server starts with.
    async fn room_for_slots(&self) -> Result<usize, ServerError> {
        let has = self.settings().parameters.get("max_replication_slots").cloned();
        let most = has.and_then(|text| text.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let folder = self.place.data_dir.join(SLOTS_FOLDER);
        let there = blocking(move || Ok(names_in(&folder)?.len())).await?;
        Ok(most.saturating_sub(there))
    }

    async fn fetch_slot(
        &self,
        leader: &Upstream,
        slot: &PermanentSlot,
        rows: &[Row],
        fetched: &mut Fetched,
    ) -> Result<(), ServerError> {
        let refused = |why: &str| Err(ServerError::NotPossible(why.to_owned()));
        let Some(row) = rows.iter().find(|row| row.name == slot.name) else {
            return refused("the leader does not show one whose log is there");
        };
        if slot.logical.as_ref() != Some(&row.of) {
            let (database, plugin) = &row.of;
            return refused(&format!("the leader's is of database {database}, with {plugin}"));
        }
        let (place, segment) = (self.place.clone(), segment_of(row.restart, row.segment));
        if !blocking(move || has_segment(&place, &segment)).await? {
            return refused(&format!(
                "it begins to read at {}, and the log from there is not here any more: its consumer has to move on",
                row.restart
            ));
        }
        let statement = SNAPSHOTS
            .replace("{most}", &SNAPSHOT_BYTES_MAX.to_string())
            .replace("{from}", &row.restart.to_string())
            .replace("{upto}", &row.confirmed.to_string());
        let told = self.asked(leader, &statement).await?;
        let snapshots = told.lines().map(|line| content(line).ok_or_else(|| odd(line)));
        fetched.snapshots.extend(snapshots.collect::<Result<Vec<_>, _>>()?);
        fetched.slots.push(Content { name: row.name.clone(), bytes: row.bytes.clone() });
        Ok(())
    }

    pub(super) async fn end_and_drop(&self, names: &[String]) -> Result<(), ServerError> {
        let session = self.session(WHAT).await?;
        session.until(WHAT, NOBODY_USES, &[&names]).await?;
        session.client.execute(DROP, &[&names]).await.map(drop).map_err(failed)
    }

    pub(super) async fn ask_what_is_kept(
        &self,
        leader: &Upstream,
        names: &[String],
    ) -> Result<BTreeMap<String, u32>, ServerError> {
        let statement = KEPT
            .replace("{names}", &literals(names))
            .replace("{own}", &literals(&[self.place.name.slot_name()]));
        let told = self.asked(leader, &statement).await?;
        told.lines().map(kept_from).collect::<Option<_>>().ok_or_else(|| odd(&told))
    }

    pub(super) async fn move_logical_slots_on(
        &self,
        to: &[(String, String, Lsn)],
    ) -> Result<(), ServerError> {
        let mut last = Ok(());
        for (name, database, lsn) in to {
            if let Err(error) = self.move_logical_slot_on(name, database, *lsn).await {
                last = Err(error);
            }
        }
        last
    }

    async fn move_logical_slot_on(
        &self,
        name: &str,
        database: &str,
        to: Lsn,
    ) -> Result<(), ServerError> {
        let session = Access::of(&self.place, database)?.session(WHAT).await?;
        let moved = session.client.execute(ADVANCE, &[&name, &to.to_string()]).await;
        let Err(error) = moved else { return Ok(()) };
        let gone = [SqlState::UNDEFINED_FILE, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
        if error.code().is_some_and(|code| gone.contains(code)) {
            // Its log is not there: it is copied anew.
            tracing::warn!(slot = name, %error, "dropped a copied slot that cannot be moved on");
            session.client.execute(DROP_A_COPY, &[&name]).await.map_err(failed)?;
        }
        Err(failed(error))
    }
}

fn failed(source: tokio_postgres::Error) -> ServerError {
    ServerError::Query { what: WHAT, source }
}

fn odd(told: &str) -> ServerError {
    ServerError::NotPossible(format!("the leader says of its slots: {told}"))
}

/// Names as SQL writes texts. They are of slots: lower case letters, digits and underscores.
fn literals(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("'{}'", name.replace('\'', "''")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// One slot, as the leader tells it.
struct Row {
    name: String,
    /// Database and plugin.
    of: (String, String),
    restart: Lsn,
    confirmed: Lsn,
    segment: u64,
    bytes: Vec<u8>,
}

impl Row {
    fn read(line: &str) -> Option<Row> {
        let [name, database, plugin, restart, confirmed, segment, digits] =
            line.split('|').collect::<Vec<_>>().try_into().ok()?;
        Some(Row {
            name: name.to_owned(),
            of: (database.to_owned(), plugin.to_owned()),
            restart: restart.parse().ok()?,
            confirmed: confirmed.parse().ok()?,
            segment: segment.parse().ok()?,
            bytes: bytes(digits)?,
        })
    }
}

/// A slot's name, and the later of two transactions; their numbers wrap around.
fn kept_from(line: &str) -> Option<(String, u32)> {
    let [name, theirs, mine] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
    let (theirs, mine): (u32, u32) = (theirs.parse().ok()?, mine.parse().ok()?);
    let later = if is_earlier_transaction(theirs, mine) { mine } else { theirs };
    Some((name.to_owned(), later))
}

fn content(line: &str) -> Option<Content> {
    let (name, digits) = line.split_once('|')?;
    Some(Content { name: name.to_owned(), bytes: bytes(digits)? })
}

/// What hexadecimal digits stand for; `None` also for none at all: the file was not there any more.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (!digits.is_empty() && digits.len().is_multiple_of(2)).then(|| pairs.map(pair).collect())?
}

/// Whether this node has a segment of the log, under whichever timeline's name.
fn has_segment(place: &Place, segment: &str) -> Result<bool, ServerError> {
    let names = names_in(&place.data_dir.join("pg_wal"))?;
    Ok(names.iter().any(|name| is_segment(name) && name.ends_with(segment)))
}

impl Fetched {
    /// Puts the files where the server reads them when it starts.
    pub fn put(self, place: &Place) -> Result<(), ServerError> {
        if self.at.elapsed() > GOOD_FOR {
            return Ok(());
        }
        let manner = Manner { owner: place.owner, mode: 0o600 };
        // The snapshots first: a slot must not be there without those that it needs.
        let snapshots = place.data_dir.join("pg_logical/snapshots");
        for snapshot in &self.snapshots {
            files::write(&snapshots.join(&snapshot.name), &snapshot.bytes, manner)?;
        }
        files::sync_folder(&snapshots)?;
        let all = place.data_dir.join(SLOTS_FOLDER);
        for slot in &self.slots {
            put_slot(&all, slot, manner)?;
        }
        files::sync_folder(&all)
    }
}

/// A slot that is there stays as it is.
fn put_slot(all: &Path, slot: &Content, manner: Manner) -> Result<(), ServerError> {
    let folder = all.join(&slot.name);
    if folder.exists() {
        return Ok(());
    }
    // What has such a name the server removes when it starts.
    let beside = all.join(format!("{}.tmp", slot.name));
    files::make_folder(&beside, manner.owner)?;
    files::write(&beside.join("state"), &slot.bytes, manner)?;
    files::sync_folder(&beside)?;
    at(&folder, "making", std::fs::rename(&beside, &folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_leader_tells_of_a_slot_is_read() {
        let row = Row::read("cdc|app|pgoutput|0/3000060|0/3000098|16777216|a41c05").unwrap();
        assert_eq!((row.name.as_str(), row.bytes), ("cdc", vec![0xa4, 0x1c, 0x05]));
        assert_eq!(row.of, ("app".to_owned(), "pgoutput".to_owned()));
        assert_eq!((row.restart, row.confirmed), (Lsn(0x300_0060), Lsn(0x300_0098)));
        for odd in
            ["cdc|app|p|0/3000060|0/3000098|16777216|", "cdc|app|p|0/1||16777216|00", "cdc|0/1"]
        {
            assert!(Row::read(odd).is_none(), "{odd}");
        }
        assert_eq!(kept_from("app|740|739").unwrap(), ("app".to_owned(), 740));
        assert_eq!(kept_from("app|4294967290|5").unwrap().1, 5, "they wrap around");
        assert!(kept_from("app|740|").is_none());
        assert!(content("0-3000060.snap|0a0").is_none(), "half a byte");
        assert_eq!(content("0-3000060.snap|0a0b").unwrap().bytes, [10, 11]);
    }
}
