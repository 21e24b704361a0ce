//! Logical slots that a standby carries along: the files of the leader's, put in place before the server starts, and
//! moved on afterwards. PostgreSQL reads a slot's file only when it starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::connection::Access;
use super::files::{self, Manner, at, blocking};
use super::place::Place;
use super::port::{ServerError, Upstream};
use super::segments::{is_segment, names_in, segment_of};
use super::server::LocalServer;
use super::slots::WHAT;

use crate::values::Lsn;

/// What was got longer ago is of another time: the leader may have removed what it needs.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Of a file of a slot, and of one of its snapshots, no more is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// So many snapshots of one slot are taken along; each later one can be made again from the log.
const SNAPSHOTS_MAX: u32 = 32;

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

/// One slot at the leader, by `psql`: its file as hexadecimal digits, where it begins to read, what is confirmed.
const SLOTS: &str = "\
SELECT slot_name, restart_lsn, confirmed_flush_lsn,
  (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size'),
  encode(pg_read_binary_file('pg_replslot/' || slot_name || '/state', 0, {bytes}, true), 'hex')
FROM pg_replication_slots
WHERE slot_type = 'logical' AND wal_status IN ('reserved', 'extended') AND NOT temporary
  AND slot_name IN ({names})";

const SNAPSHOTS: &str = "\
SELECT file, encode(pg_read_binary_file('pg_logical/snapshots/' || file, 0, {bytes}, true), 'hex')
FROM (SELECT file, replace(left(file, -5), '-', '/')::pg_lsn AS lsn
  FROM pg_ls_dir('pg_logical/snapshots', true, false) AS file
  WHERE file ~ '^[0-9A-F]+-[0-9A-F]+[.]snap$') AS found
WHERE lsn BETWEEN '{from}' AND '{upto}' ORDER BY lsn LIMIT {most}";

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
const DROP: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
     WHERE slot_name = $1::text AND NOT active";

impl LocalServer {
    pub(super) async fn fetch_slots(
        &self,
        leader: &Upstream,
        names: &[String],
    ) -> Result<(), ServerError> {
        let settings = self.settings();
        if settings.parameters.get("wal_level").map(String::as_str) != Some("logical") {
            let why = "wal_level is not logical here: no server starts with a logical slot";
            return Err(ServerError::NotPossible(why.into()));
        }
        let statement = SLOTS
            .replace("{bytes}", &FILE_BYTES_MAX.to_string())
            .replace("{names}", &literals(names));
        let told = self.asked(leader, &statement).await?;
        let mut fetched = Fetched { at: Instant::now(), slots: Vec::new(), snapshots: Vec::new() };
        for line in told.lines() {
            let row = Row::read(line).ok_or_else(|| odd(line))?;
            let (place, segment) = (self.place.clone(), segment_of(row.restart, row.segment));
            if !blocking(move || has_segment(&place, &segment)).await? {
                return Err(ServerError::NotPossible(format!(
                    "slot {} begins to read at {}, and the log from there is not here any more; it is copied when \
                     its consumer has moved on",
                    row.slot.name, row.restart
                )));
            }
            let statement = SNAPSHOTS
                .replace("{bytes}", &FILE_BYTES_MAX.to_string())
                .replace("{from}", &row.restart.to_string())
                .replace("{upto}", &row.confirmed.to_string())
                .replace("{most}", &SNAPSHOTS_MAX.to_string());
            for line in self.asked(leader, &statement).await?.lines() {
                fetched.snapshots.push(content(line).ok_or_else(|| odd(line))?);
            }
            fetched.slots.push(row.slot);
        }
        let is_missing = |name: &&String| fetched.slots.iter().all(|slot| slot.name != **name);
        if let Some(missing) = names.iter().find(is_missing) {
            let why =
                format!("the leader does not show a logical slot {missing} that could be copied");
            return Err(ServerError::NotPossible(why));
        }
        self.set_fetched(Some(fetched));
        Ok(())
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
        for (name, database, lsn) in to {
            let session = Access::of(&self.place, database)?.session(WHAT).await?;
            let moved = session.client.execute(ADVANCE, &[name, &lsn.to_string()]).await;
            let Err(error) = moved else { continue };
            if let Some(said) = error.as_db_error() {
                // Such as for log that is gone: it is copied anew.
                tracing::warn!(
                    slot = name,
                    said = said.message(),
                    "dropped a slot that cannot be moved on"
                );
                session.client.execute(DROP, &[name]).await.map_err(failed)?;
            }
            return Err(failed(error));
        }
        Ok(())
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
    slot: Content,
    restart: Lsn,
    confirmed: Lsn,
    segment: u64,
}

impl Row {
    fn read(line: &str) -> Option<Row> {
        let [name, restart, confirmed, segment, digits] =
            line.split('|').collect::<Vec<_>>().try_into().ok()?;
        Some(Row {
            slot: Content { name: name.to_owned(), bytes: bytes(digits)? },
            restart: restart.parse().ok()?,
            confirmed: confirmed.parse().ok()?,
            segment: segment.parse().ok()?,
        })
    }
}

/// A slot's name, and the later of two transactions; their numbers wrap around.
fn kept_from(line: &str) -> Option<(String, u32)> {
    let [name, theirs, mine] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
    let (theirs, mine): (u32, u32) = (theirs.parse().ok()?, mine.parse().ok()?);
    let is_later = (mine.wrapping_sub(theirs) as i32) > 0;
    Some((name.to_owned(), if is_later { mine } else { theirs }))
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
        let all = place.data_dir.join("pg_replslot");
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
        let row = Row::read("app|0/3000060|0/3000098|16777216|a41c05").unwrap();
        assert_eq!((row.slot.name.as_str(), row.slot.bytes), ("app", vec![0xa4, 0x1c, 0x05]));
        assert_eq!((row.restart, row.confirmed), (Lsn(0x300_0060), Lsn(0x300_0098)));
        for odd in ["app|0/3000060|0/3000098|16777216|", "app|0/3000060||16777216|00", "app|0/1"] {
            assert!(Row::read(odd).is_none(), "{odd}");
        }
        assert_eq!(kept_from("app|740|739").unwrap(), ("app".to_owned(), 740));
        assert_eq!(kept_from("app|4294967290|5").unwrap().1, 5, "they wrap around");
        assert!(kept_from("app|740|").is_none());
        assert!(content("0-3000060.snap|0a0").is_none(), "half a byte");
        assert_eq!(content("0-3000060.snap|0a0b").unwrap().bytes, [10, 11]);
    }
}
