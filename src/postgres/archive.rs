//! What a former primary had not archived when it ended. It is the only one that has it in its log's own files: a
//! standby archives nothing that was written before it was promoted, and a rewind removes it.

use std::path::Path;
use std::time::Duration;

use super::files::{self, at, blocking, bounded};
use super::port::ServerError;
use super::programs::Run;
use super::segments::{SEGMENT_LETTERS, is_segment, names_in, segment_of};
use super::server::LocalServer;
use crate::config::Program;
use crate::values::Lsn;

/// How long the archive may take, all segments together: a node does not stay out of the cluster for it.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);
const STATUS: &str = "archive_status";

impl LocalServer {
    /// Has the segments archived that wait for it and end before `before`, oldest first.
    pub(super) async fn archive_what_is_left(&self, before: Lsn) -> Result<(), ServerError> {
        self.refuse_while_it_runs().await?;
        let status = self.place.data_dir.join("pg_wal").join(STATUS);
        let mut waiting = blocking(move || waiting_in(&status)).await?;
        if waiting.is_empty() || !self.archives().await? {
            return Ok(());
        }
        let bytes = self.read_control_data().await?.segment_bytes();
        let first_left_out = segment_of(before, bytes.map_err(ServerError::NotPossible)?);
        waiting.retain(|name| name[8..SEGMENT_LETTERS] < *first_left_out);
        let command = self.configured("archive_command").await?;
        if command.is_empty() {
            let why = "log is left to be archived, and there is no archive_command to do it with";
            return Err(ServerError::NotPossible(why.into()));
        }
        bounded("archiving what was left", ARCHIVED_WITHIN, self.archive(&command, &waiting)).await
    }

    async fn archives(&self) -> Result<bool, ServerError> {
        Ok(matches!(self.configured("archive_mode").await?.as_str(), "on" | "always"))
    }

    /// What the stopped server's configuration files say, those that the user includes among them.
    async fn configured(&self, name: &str) -> Result<String, ServerError> {
        let conf = format!("config_file={}", self.place.conf().to_string_lossy());
        let run = Run::new(self.settings().program(Program::Postgres))
            .arg("-D")
            .arg(&self.place.data_dir)
            .args(["-c", &conf, "-C", name]);
        Ok(self.programs.run(run).await?.trim().to_owned())
    }

    async fn archive(&self, command: &str, segments: &[String]) -> Result<(), ServerError> {
        for segment in segments {
            let run = Run::new("sh").arg("-c").arg(filled_in(command, segment));
            self.programs.run(run.within(&self.place.data_dir)).await?;
            let status = self.place.data_dir.join("pg_wal").join(STATUS);
            let [ready, done] =
                ["ready", "done"].map(|what| status.join(format!("{segment}.{what}")));
            let rename = move || {
                at(&ready, "renaming", std::fs::rename(&ready, &done))?;
                files::sync_folder(&status)
            };
            self.turns.change(rename).await?;
            tracing::info!(segment, "archived what was left to be archived");
        }
        Ok(())
    }
}

/// The segments that wait, oldest first, and what belongs to one: the label of a backup that begins there.
fn waiting_in(status: &Path) -> Result<Vec<String>, ServerError> {
    let names = names_in(status)?;
    let ready = names.iter().filter_map(|name| name.strip_suffix(".ready"));
    let mut waiting: Vec<String> = ready
        .filter(|name| name.get(..SEGMENT_LETTERS).is_some_and(is_segment))
        .map(str::to_owned)
        .collect();
    waiting.sort_unstable();
    Ok(waiting)
}

/// The command for one segment, as PostgreSQL fills it in.
fn filled_in(command: &str, segment: &str) -> String {
    let mut text = String::new();
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('p') => text.push_str(&format!("pg_wal/{segment}")),
            Some('f') => text.push_str(segment),
            Some('%') => text.push('%'),
            Some(other) => text.extend(['%', other]),
            None => text.push('%'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_filled_in_as_postgresql_does() {
        let filled = |command| filled_in(command, "00000001000000000000000A");
        assert_eq!(
            filled("test ! -f /a/%f && cp %p /a/%f"),
            "test ! -f /a/00000001000000000000000A && cp pg_wal/00000001000000000000000A \
             /a/00000001000000000000000A"
        );
        assert_eq!(filled("date +%%H %d %"), "date +%H %d %");
    }

    #[test]
    fn what_waits_is_taken_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "00000001000000000000000A.ready",
            "000000010000000000000009.ready",
            "00000001000000000000000B.done",
            "00000001000000000000000A.000000D8.backup.ready",
            "00000002.history.ready",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let waiting = waiting_in(folder.path()).unwrap();
        let expected = [
            "000000010000000000000009",
            "00000001000000000000000A",
            "00000001000000000000000A.000000D8.backup",
        ];
        assert_eq!(waiting, expected);
        assert!(waiting_in(&folder.path().join("none")).is_err());
    }
}
