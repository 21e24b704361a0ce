//! The files of the log in `pg_wal`.

use std::fs;
use std::path::Path;

use super::files::at;
use super::port::ServerError;
use crate::values::{Lsn, Timeline};

/// How many letters the name of a segment has.
pub(super) const SEGMENT_LETTERS: usize = 24;

/// The last sixteen digits of the name of the file that holds a position.
pub(super) fn segment_of(lsn: Lsn, bytes: u64) -> String {
    let bytes = bytes.max(1);
    let number = lsn.0 / bytes;
    let each = (0x1_0000_0000 / bytes).max(1);
    format!("{:08X}{:08X}", number / each, number % each)
}

/// The name of the file that holds a position of a timeline.
pub(super) fn file_name(timeline: Timeline, lsn: Lsn, bytes: u64) -> String {
    format!("{:08X}{}", timeline.0, segment_of(lsn, bytes))
}

/// Whether a file of `pg_wal` is a segment, by its name.
pub(super) fn is_segment(name: &str) -> bool {
    name.len() == SEGMENT_LETTERS && name.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// The names of the files in a folder.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, ServerError> {
    let files = at(folder, "listing", fs::read_dir(folder))?;
    Ok(files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_postgresql_names_them() {
        assert_eq!(segment_of(Lsn(0x1_0300_0060), 16 << 20), "0000000100000003");
        assert_eq!(segment_of(Lsn(0x4000_0000), 1 << 30), "0000000000000001");
        assert_eq!(file_name(Timeline(26), Lsn(0x300_0060), 16 << 20), "0000001A0000000000000003");
    }

    #[test]
    fn a_segment_is_known_by_its_name() {
        assert!(is_segment("0000001A0000000000000003"));
        for other in ["00000002.history", "0000001A0000000000000003.partial", "archive_status"] {
            assert!(!is_segment(other), "{other}");
        }
    }
}
