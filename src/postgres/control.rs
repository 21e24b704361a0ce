//! The control file of a stopped server: what `pg_controldata` prints, and where the last record ends.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::history;
use super::port::{Control, ControlState};
use super::segments::file_name;
use crate::values::{Lsn, SystemId, Timeline};

/// Settings that a standby must not have lower than what its control file says: the file's word for
/// each, and the setting.
const LEAST_ON_A_STANDBY: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

/// What `pg_controldata` printed, in C locale.
#[derive(Clone, Debug, Default)]
pub(super) struct ControlData(HashMap<String, String>);

impl ControlData {
    pub(super) fn parse(printed: &str) -> Self {
        let fields = printed.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        Self(fields.collect())
    }

    /// # Errors
    /// A text that says which field is missing or odd.
    fn field<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.0.get(name).ok_or_else(|| format!("pg_controldata tells no {name:?}"))?;
        text.parse().map_err(|_| format!("pg_controldata tells {text:?} as {name:?}"))
    }

    /// How large a segment of the log is, in bytes.
    pub(super) fn segment_bytes(&self) -> Result<u64, String> {
        self.field("Bytes per WAL segment")
    }

    pub(super) fn system_id(&self) -> Result<SystemId, String> {
        self.field("Database system identifier").map(SystemId)
    }

    fn state(&self) -> Result<ControlState, String> {
        let text: String = self.field("Database cluster state")?;
        match text.as_str() {
            "shut down" => Ok(ControlState::ShutDown),
            "shut down in recovery" => Ok(ControlState::ShutDownInRecovery),
            "in production" | "shutting down" | "in crash recovery" | "starting up" => {
                Ok(ControlState::InProduction)
            }
            "in archive recovery" => Ok(ControlState::InRecovery),
            other => Err(format!("pg_controldata tells a state of {other:?}")),
        }
    }

    /// What a standby needs at least: setting and value.
    pub(super) fn least_on_a_standby(&self) -> Vec<(&'static str, i64)> {
        LEAST_ON_A_STANDBY
            .iter()
            .filter_map(|(word, setting)| Some((*setting, self.field(word).ok()?)))
            .collect()
    }

    /// What all this means.
    ///
    /// # Errors
    /// A text for people when a field is missing, or the log does not hold the last checkpoint.
    pub(super) fn control(&self, data_dir: &Path) -> Result<Control, String> {
        let mut state = self.state()?;
        let made_as_standby =
            ["backup_label", "standby.signal"].iter().any(|name| data_dir.join(name).exists());
        if state == ControlState::InProduction && made_as_standby {
            // A fresh copy, or a standby that never came up: its control file still is its source's.
            state = ControlState::InRecovery;
        }
        let checkpoint: Lsn = self.field("Latest checkpoint location")?;
        let mut timeline = Timeline(self.field("Latest checkpoint's TimeLineID")?);
        let mut end = checkpoint;
        if state.was_standby() {
            let recovered: Lsn = self.field("Minimum recovery ending location")?;
            timeline = timeline.max(Timeline(self.field("Min recovery ending loc's timeline")?));
            end = end.max(recovered);
        }
        if state == ControlState::ShutDown {
            let layout = Layout {
                page_bytes: self.field("WAL block size")?,
                segment_bytes: self.segment_bytes()?,
            };
            end = layout.end_of_record_at(data_dir, timeline, checkpoint)?;
        }
        let ancestors =
            history::ancestors(data_dir, timeline).map_err(|error| format!("history: {error}"))?;
        let later = history::later_than(data_dir, timeline);
        let later = later.map_err(|error| format!("histories: {error}"))?;
        let checksums: u32 = self.field("Data page checksum version")?;
        let hints: String = self.field("wal_log_hints setting")?;
        let can_rewind = checksums != 0 || hints == "on";
        let system_id = self.system_id()?;
        Ok(Control { state, system_id, timeline, end, ancestors, later, can_rewind })
    }
}

/// How the log is laid out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    page_bytes: u64,
    segment_bytes: u64,
}

/// The page header of the first page of a segment, and of the others.
const LONG_HEADER_BYTES: u64 = 40;
const SHORT_HEADER_BYTES: u64 = 24;
/// Records begin at multiples of this.
const ALIGNMENT_BYTES: u64 = 8;

impl Layout {
    fn end_of_record_at(self, data_dir: &Path, timeline: Timeline, at: Lsn) -> Result<Lsn, String> {
        if !self.page_bytes.is_power_of_two() || !self.segment_bytes.is_power_of_two() {
            return Err("pg_controldata tells sizes of the log that are no powers of two".into());
        }
        let path = data_dir.join("pg_wal").join(file_name(timeline, at, self.segment_bytes));
        // The record begins with its length, in the machine's byte order.
        let mut length = [0u8; 4];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut length, at.0 % self.segment_bytes))
            .map_err(|error| {
                format!(
                    "{}, which holds the last checkpoint, cannot be read ({error}): restore it, or \
                     empty the data directory to have it copied again",
                    path.display()
                )
            })?;
        Ok(self.end_of_record(at, u64::from(u32::from_ne_bytes(length))))
    }

    /// Where a record of this length ends, the headers of the pages that it runs into included.
    fn end_of_record(self, at: Lsn, length: u64) -> Lsn {
        let mut position = at.0;
        let mut left = length;
        loop {
            let room = self.page_bytes - position % self.page_bytes;
            if left <= room {
                position += left;
                break;
            }
            left -= room;
            position += room;
            let first_page = position.is_multiple_of(self.segment_bytes);
            position += if first_page { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
        }
        Lsn(position.next_multiple_of(ALIGNMENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
pg_control version number:            1300
Database system identifier:           7301234567890123456
Database cluster state:               in archive recovery
Latest checkpoint location:           0/3000098
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/4000000
Min recovery ending loc's timeline:   3
wal_log_hints setting:                on
max_connections setting:              200
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           0
";

    #[test]
    fn a_standby_is_where_its_recovery_was() {
        let folder = tempfile::tempdir().unwrap();
        let data = ControlData::parse(PRINTED);
        let control = data.control(folder.path()).unwrap();
        assert_eq!(control.state, ControlState::InRecovery);
        assert_eq!(control.timeline, Timeline(3));
        assert_eq!(control.end, Lsn(0x400_0000));
        assert_eq!(control.system_id, SystemId(7_301_234_567_890_123_456));
        assert!(control.can_rewind);
        assert!(data.least_on_a_standby().contains(&("max_connections", 200)));
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = ControlData::parse("").control(folder.path()).unwrap_err();
        assert!(said.contains("Database cluster state"), "{said}");
        let clean = PRINTED.replace("in archive recovery", "shut down");
        let said = ControlData::parse(&clean).control(folder.path()).unwrap_err();
        assert!(said.contains("000000010000000000000003"), "{said}");
    }

    #[test]
    fn a_record_runs_around_the_headers_of_the_pages_it_crosses() {
        let layout = Layout { page_bytes: 8192, segment_bytes: 16 << 20 };
        let table = [
            (0x28, 114, 0xA0),                             // within the page, aligned
            (0x2000 - 114, 114, 0x2000),                   // ends with the page
            (0x2000 - 24, 114, 0x2000 + 24 + 96),          // runs into the next page: 90, aligned
            (0x100_0000 - 24, 114, 0x100_0000 + 40 + 96),  // runs into the next segment
            (0x2000 - 8, 8 + 8168 + 16, 0x4000 + 24 + 16), // over a whole page
        ];
        for (at, length, end) in table {
            assert_eq!(layout.end_of_record(Lsn(at), length), Lsn(end), "{at:X} + {length}");
        }
    }
}
