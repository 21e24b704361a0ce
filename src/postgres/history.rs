//! Timeline history files: how a timeline came to be, and the planted ones that keep an id unused.

use std::path::{Path, PathBuf};

use crate::cluster::Ancestor;
use crate::values::{Lsn, Timeline};

/// What a planted file gives as its reason, so that it is known as planted.
const PLANTED_REASON: &str = "pgbaton: this timeline id must not be used";

/// The path of a timeline's history file.
pub(super) fn path(data_dir: &Path, timeline: Timeline) -> PathBuf {
    data_dir.join("pg_wal").join(format!("{:08X}.history", timeline.0))
}

/// The timeline's ancestors, oldest first, from its own file; none for the first timeline, or when
/// the file is not there.
///
/// # Errors
/// When the file cannot be read, or holds something else than a history.
pub(super) fn ancestors(data_dir: &Path, timeline: Timeline) -> std::io::Result<Vec<Ancestor>> {
    if timeline <= Timeline::FIRST {
        return Ok(Vec::new());
    }
    match std::fs::read_to_string(path(data_dir, timeline)) {
        Ok(text) => parse(&text)
            .map_err(|line| std::io::Error::other(format!("{line:?} is no line of a history"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads a history; the error is the line that is none.
fn parse(text: &str) -> Result<Vec<Ancestor>, String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let timeline = fields.next().and_then(|field| field.parse().ok());
            let ended_at = fields.next().and_then(|field| field.parse::<Lsn>().ok());
            match (timeline, ended_at) {
                (Some(timeline), Some(ended_at)) => {
                    Ok(Ancestor { timeline: Timeline(timeline), ended_at })
                }
                _ => Err(line.to_owned()),
            }
        })
        .collect()
}

/// The content of a planted file for an id after `parent`: it leaves the parent where that one
/// itself began, so that recovery refuses to follow it and a promotion skips the id.
pub(super) fn planted(parent: Timeline, parents_ancestors: &[Ancestor]) -> String {
    let mut text = String::new();
    for Ancestor { timeline, ended_at } in parents_ancestors {
        text.push_str(&format!("{timeline}\t{ended_at}\tancestor\n"));
    }
    // Zero would mean "has not ended".
    let began_at = parents_ancestors.last().map_or(Lsn(1), |last| last.ended_at);
    text.push_str(&format!("{parent}\t{began_at}\t{PLANTED_REASON}\n"));
    text
}

/// The planted files that no real timeline comes after. A standby that is started would take the
/// newest of them for the timeline to follow, and refuse to start.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(super) fn planted_at_the_end(data_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let files = all(data_dir)?;
    let real = files.iter().filter(|file| !file.is_planted);
    let newest_real = real.map(|file| file.timeline).max().unwrap_or(Timeline::FIRST);
    let planted = files.into_iter().filter(|file| file.is_planted && file.timeline > newest_real);
    Ok(planted.map(|file| file.path).collect())
}

/// The timelines after this one that have a history file which is not planted, in order.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(super) fn later_than(data_dir: &Path, timeline: Timeline) -> std::io::Result<Vec<Timeline>> {
    let later = all(data_dir)?.into_iter().filter(|file| !file.is_planted);
    let mut later: Vec<Timeline> = later.map(|file| file.timeline).collect();
    later.retain(|one| *one > timeline);
    later.sort_unstable();
    Ok(later)
}

/// A history file.
struct HistoryFile {
    timeline: Timeline,
    path: PathBuf,
    is_planted: bool,
}

fn all(data_dir: &Path) -> std::io::Result<Vec<HistoryFile>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(data_dir.join("pg_wal")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(".history")) else {
            continue;
        };
        let Ok(id) = u32::from_str_radix(digits, 16) else { continue };
        let is_planted = std::fs::read_to_string(entry.path())?.contains(PLANTED_REASON);
        files.push(HistoryFile { timeline: Timeline(id), path: entry.path(), is_planted });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(timeline: u32, lsn: u64) -> Ancestor {
        Ancestor { timeline: Timeline(timeline), ended_at: Lsn(lsn) }
    }

    #[test]
    fn a_history_is_read_as_postgresql_writes_it() {
        let text = "1\t0/3000148\tno recovery target specified\n\n# note\n3\t0/5000000\tsaid\n";
        assert_eq!(parse(text).unwrap(), [ancestor(1, 0x300_0148), ancestor(3, 0x500_0000)]);
        assert_eq!(parse("1\tnowhere\tx").unwrap_err(), "1\tnowhere\tx");
    }

    #[test]
    fn a_planted_history_is_a_history_that_ends_where_its_parent_began() {
        let parents = [ancestor(1, 0x300_0148)];
        let text = planted(Timeline(3), &parents);
        assert_eq!(parse(&text).unwrap(), [ancestor(1, 0x300_0148), ancestor(3, 0x300_0148)]);
        assert_eq!(parse(&planted(Timeline(1), &[])).unwrap(), [ancestor(1, 1)]);
    }

    #[test]
    fn only_planted_files_after_every_real_one_are_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pg_wal")).unwrap();
        let write = |id, text: &str| std::fs::write(path(folder.path(), Timeline(id)), text);
        write(2, &planted(Timeline(1), &[])).unwrap();
        write(3, "1\t0/3000148\tno recovery target specified\n").unwrap();
        write(4, &planted(Timeline(3), &[ancestor(1, 0x300_0148)])).unwrap();
        let found = planted_at_the_end(folder.path()).unwrap();
        assert_eq!(found, [path(folder.path(), Timeline(4))]);
        assert_eq!(
            ancestors(folder.path(), Timeline(3)).unwrap(),
            [ancestor(1, 0x300_0148)],
            "a planted file beside it does not matter"
        );
    }

    #[test]
    fn later_timelines_are_told_but_for_the_planted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pg_wal")).unwrap();
        let write = |timeline, text: &str| {
            std::fs::write(path(folder.path(), Timeline(timeline)), text).unwrap();
        };
        let real = "1\t0/3000148\tno recovery target specified\n";
        write(5, real);
        write(2, real);
        write(3, real);
        write(4, &planted(Timeline(1), &[]));
        let later = later_than(folder.path(), Timeline(2)).unwrap();
        assert_eq!(later, [Timeline(3), Timeline(5)]);
    }
}
