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
use crate::values::{Lsn, Timeline};

/// How long the archive may take for one file: a start waits for that.
const ONE_WITHIN: Duration = Duration::from_secs(10);
const STATUS: &str = "archive_status";

impl LocalServer {
    /// Has the files archived that wait for it: histories first, then segments, oldest first. One that is refused
    /// does not keep the others.
    pub(super) async fn archive_what_is_left(
        &self,
        before: Lsn,
        timelines: &[Timeline],
    ) -> Result<(), ServerError> {
        let pg_wal = self.place.data_dir.join("pg_wal");
        let mut waiting = blocking(move || waiting_in(&pg_wal)).await?;
        if waiting.is_empty() || !self.archives().await? {
            return Ok(());
        }
        let bytes = self.read_control_data().await?.segment_bytes();
        let first_left_out = segment_of(before, bytes.map_err(ServerError::NotPossible)?);
        waiting.retain(|name| is_of_the_cluster(name, &first_left_out, timelines));
        if waiting.is_empty() {
            return Ok(());
        }
        let command = self.configured("archive_command").await?;
        if command.is_empty() {
            let why = "log is left to be archived, and there is no archive_command to do it with";
            return Err(ServerError::NotPossible(why.into()));
        }
        let mut last = Ok(());
        for name in &waiting {
            let one = self.archive(&command, name);
            match bounded("archiving what was left", ONE_WITHIN, one).await {
                Ok(()) => tracing::info!(name, "archived what was left to be archived"),
                Err(error) => last = Err(error),
            }
        }
        last
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

    /// No server is started meanwhile: it would write on into the file that is being read.
    async fn archive(&self, command: &str, name: &str) -> Result<(), ServerError> {
        let turn = self.turns.next().await;
        self.refuse_while_it_runs().await?;
        let run = Run::new("sh").arg("-c").arg(filled_in(command, name));
        self.programs.run(run.within(&self.place.data_dir).in_a_group()).await?;
        let status = self.place.data_dir.join("pg_wal").join(STATUS);
        let [ready, done] = ["ready", "done"].map(|what| status.join(format!("{name}.{what}")));
        let rename = move || {
            at(&ready, "renaming", std::fs::rename(&ready, &done))?;
            files::sync_folder(&status)
        };
        turn.write(rename).await.map(drop)
    }
}

/// The files that wait, oldest first: histories, segments, and what belongs to one, the label of a backup that begins
/// there. What is said of a file that is not there any more is forgotten, as PostgreSQL does.
fn waiting_in(pg_wal: &Path) -> Result<Vec<String>, ServerError> {
    let status = pg_wal.join(STATUS);
    let mut waiting = Vec::new();
    for name in names_in(&status)? {
        let Some(name) = name.strip_suffix(".ready") else { continue };
        if pg_wal.join(name).exists() {
            waiting.push(name.to_owned());
        } else {
            files::remove(&status.join(format!("{name}.ready")))?;
        }
    }
    waiting.sort_unstable_by_key(|name| (!name.ends_with(".history"), name.clone()));
    Ok(waiting)
}

/// Whether a file is of what the cluster's history has: a segment, by the last sixteen digits of its name, or a history.
fn is_of_the_cluster(name: &str, first_left_out: &str, timelines: &[Timeline]) -> bool {
    if let Some(digits) = name.strip_suffix(".history") {
        let timeline = u32::from_str_radix(digits, 16).map(Timeline);
        return timeline.is_ok_and(|timeline| timelines.contains(&timeline));
    }
    let segment = name.get(..SEGMENT_LETTERS).filter(|segment| is_segment(segment));
    segment.is_some_and(|segment| segment[8..] < *first_left_out)
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
    fn what_waits_is_taken_oldest_first_and_up_to_the_fork() {
        let folder = tempfile::tempdir().unwrap();
        let pg_wal = folder.path();
        std::fs::create_dir(pg_wal.join(STATUS)).unwrap();
        let file = |name: &str| std::fs::write(pg_wal.join(name), "").unwrap();
        let [old, later] = ["000000010000000000000009", "00000001000000000000000A"];
        let label = "00000001000000000000000A.000000D8.backup";
        for name in [later, old, label, "00000002.history", "00000003.history"] {
            file(name);
            file(&format!("{STATUS}/{name}.ready"));
        }
        file(&format!("{STATUS}/00000001000000000000000B.done"));
        file(&format!("{STATUS}/000000010000000000000008.ready"));
        let waiting = waiting_in(pg_wal).unwrap();
        assert_eq!(waiting, ["00000002.history", "00000003.history", old, later, label]);
        assert!(!pg_wal.join(STATUS).join("000000010000000000000008.ready").exists());
        let of_the_cluster = |first_left_out| -> Vec<&String> {
            let is = |name: &&String| is_of_the_cluster(name, first_left_out, &[Timeline(2)]);
            waiting.iter().filter(is).collect()
        };
        assert_eq!(of_the_cluster("000000000000000A"), ["00000002.history", old]);
        assert_eq!(of_the_cluster("000000000000000B").len(), 4);
        assert!(waiting_in(&pg_wal.join("none")).is_err());
    }
}
