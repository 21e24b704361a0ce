//! `synchronous_standby_names`: its text both ways, and the change of it that is over only when every
//! process that releases a commit has taken it in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::configuration::{self, quoted_name};
use super::connection::Session;
use super::files::{self, blocking};
use super::lifecycle::POLL;
use super::port::ServerError;
use super::server::LocalServer;
use crate::cluster::{Role, SyncNames};
use crate::config::{CLOSED_NAMES, EffectivePostgresql};
use crate::values::{Lsn, MemberName};

/// The setting.
pub(super) const SETTING: &str = "synchronous_standby_names";

/// How long a postmaster may take to read its files anew.
const TO_READ_THE_FILES: Duration = Duration::from_millis(700);

/// How often a primary looks for a change among who streams from it.
const LOOK_FOR_CHANGES: Duration = Duration::from_millis(100);

/// The names as PostgreSQL reads them. Where all are waited for, the older form: such standbys are then
/// shown as `sync`, as people expect.
pub fn text(names: &SyncNames) -> String {
    match names {
        SyncNames::Nobody => String::new(),
        SyncNames::Closed => CLOSED_NAMES.to_owned(),
        SyncNames::AnyOf { count, of } => {
            let method = if *count == of.len() { "" } else { "ANY " };
            let of: Vec<String> = of.iter().map(|name| quoted_name(name.as_str())).collect();
            format!("{method}{count} ({})", of.join(", "))
        }
    }
}

/// What a setting says, if it says only what [`text`] could say.
pub fn read(setting: &str) -> Option<SyncNames> {
    let setting = setting.trim();
    if setting.is_empty() {
        return Some(SyncNames::Nobody);
    }
    if setting == CLOSED_NAMES {
        return Some(SyncNames::Closed);
    }
    let rest = setting.strip_prefix("ANY ").unwrap_or(setting);
    let (count, list) = rest.split_once(" (")?;
    let count: usize = count.trim().parse().ok()?;
    let mut list = list.strip_suffix(')')?;
    let mut of = std::collections::BTreeSet::new();
    while !list.is_empty() {
        let inner = list.strip_prefix('"')?;
        let (name, rest) = until_quote(inner)?;
        of.insert(MemberName::from(name));
        list = rest.strip_prefix(", ").unwrap_or(rest);
    }
    let names = SyncNames::any_of(count, of);
    (text(&names) == setting).then_some(names)
}

/// A quoted name up to its end, and what comes after.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if letters.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
            '"' => return Some((name, &text[at + 1..])),
            other => name.push(other),
        }
    }
    None
}

/// Whether no walsender shows any more what it read before: the priority is in shared memory, put there by
/// the walsender itself when it reads the setting. A cascading one has none.
const HAVE_READ: &str = "\
SELECT count(*) = 0 FROM pg_stat_replication
  WHERE (sync_priority > 0) <> (application_name = ANY ($1::text[])) AND NOT pg_is_in_recovery()";

/// A walsender releases by the number it read itself, which nothing shows: those that may have an older, smaller
/// one have to come again. Which they are: all that are there when new ones read the right one. When a process
/// began is not compared with anything: clocks are set.
const OUTDATED: &str = "\
SELECT coalesce(array_agg(pid || ' ' || extract(epoch FROM backend_start)), '{}')
  FROM pg_stat_replication WHERE application_name = ANY ($1::text[])";

/// Has these end, and tells whether none was there any more: one that was told to end releases until it has.
const ARE_GONE: &str = "\
SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_replication
  WHERE pid || ' ' || extract(epoch FROM backend_start) = ANY ($1::text[])";

/// The walsenders that have to end before these names are in force, from one try to the next: whoever has come again
/// is not told again.
#[derive(Debug, Default)]
pub(super) struct Outdated(Mutex<Option<(String, Vec<String>)>>);

impl Outdated {
    fn of(&self, names: &str) -> Option<Vec<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(of, _)| of == names).map(|(_, processes)| processes.clone())
    }

    pub(super) fn set(&self, known: Option<(String, Vec<String>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

const FLUSHED: &str = "\
SELECT CASE WHEN pg_is_in_recovery() THEN '0/0' ELSE pg_current_wal_flush_lsn() END::text";

impl LocalServer {
    /// Puts the names in force, or with `None` the user's own; returns where the log ended when nothing
    /// released a commit by earlier names any more.
    pub(super) async fn change_sync_names(
        &self,
        names: Option<&SyncNames>,
        raises_count: bool,
    ) -> Result<Lsn, ServerError> {
        let what = "the synchronous standbys";
        let Some(running) = self.find_running().await? else {
            return Err(ServerError::NotPossible("the server does not run".to_owned()));
        };
        let is_next_try =
            raises_count && names.is_some_and(|names| self.outdated.of(&text(names)).is_some());
        if !is_next_try {
            self.outdated.set(None);
        }
        self.tell_sync_names(names.map(text));
        self.write_and_tell(None, &running).await?;
        let Some(names) = names.filter(|names| **names != SyncNames::Nobody) else {
            self.set_commits_wait(false);
            return self.flushed().await;
        };
        let wanted = text(names);
        // A session that was begun after the postmaster read the file: all others were told then.
        let session = self.session_that_sees(&wanted).await?;
        if !self.commits_wait() {
            // Whether commits wait at all is the checkpointer's to say: it has read the file when it
            // has carried this out.
            session.execute(what, "CHECKPOINT").await?;
            self.set_commits_wait(true);
        }
        let members: Vec<String> = names.members().map(ToString::to_string).collect();
        if raises_count {
            let outdated = match self.outdated.of(&wanted) {
                Some(outdated) => outdated,
                None => {
                    let row = session.client.query_one(OUTDATED, &[&members]).await;
                    row.map_err(|source| ServerError::Query { what, source })?.get(0)
                }
            };
            self.outdated.set(Some((wanted, outdated.clone())));
            session.until(what, ARE_GONE, &[&outdated]).await?;
            self.outdated.set(None);
        }
        session.until(what, HAVE_READ, &[&members]).await?;
        self.flushed().await
    }

    async fn session_that_sees(&self, wanted: &str) -> Result<Session, ServerError> {
        let what = "the synchronous standbys";
        let mut shown = String::new();
        let seen = async {
            loop {
                let session = self.session(what).await?;
                let row = session.client.query_one("SELECT current_setting($1)", &[&SETTING]).await;
                shown = row.map_err(|source| ServerError::Query { what, source })?.get(0);
                if shown == wanted {
                    return Ok(session);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(TO_READ_THE_FILES, seen).await {
            Ok(seen) => seen,
            Err(_) => Err(ServerError::NotPossible(format!(
                "synchronous_standby_names is {shown:?} and not {wanted:?} as its file says: somebody \
                 has set it by hand; ALTER SYSTEM RESET synchronous_standby_names, and reload"
            ))),
        }
    }

    /// Where the log of a primary ends now.
    async fn flushed(&self) -> Result<Lsn, ServerError> {
        let what = "the synchronous standbys";
        let row = self.session(what).await?.client.query_one(FLUSHED, &[]).await;
        let flushed: String = row.map_err(|source| ServerError::Query { what, source })?.get(0);
        flushed.parse().map_err(|_| ServerError::NotPossible(format!("an odd position {flushed}")))
    }

    /// A primary whose names were never told goes on with those it has until they are: that the agents
    /// manage them from now on must neither stop its writes nor release what waits.
    pub(super) async fn keep_sync_names_of_a_primary(
        &self,
        settings: &EffectivePostgresql,
    ) -> Result<(), ServerError> {
        let managed = settings.parameters.get(SETTING).is_some_and(|text| text == CLOSED_NAMES);
        if !managed
            || self.told_sync_names().is_some()
            || self.role_by_files().await != Role::Primary
        {
            return Ok(());
        }
        let path = self.place.conf();
        let conf = blocking(move || files::read(&path)).await?.unwrap_or_default();
        self.tell_sync_names(Some(configuration::setting_in(&conf, SETTING).unwrap_or_default()));
        Ok(())
    }

    /// Resolves when somebody began or ceased to stream from this server, or changed how; on a server
    /// that does not answer, never.
    pub(super) async fn wait_for_other_streams(&self) {
        let mut before: Option<String> = None;
        loop {
            tokio::time::sleep(LOOK_FOR_CHANGES).await;
            let Some(line) = self.watch.line() else {
                before = None;
                continue;
            };
            let now = line.session.client.query_one(STREAMS, &[]).await;
            let Ok(now) = now.map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()) else {
                before = None;
                continue;
            };
            if before.as_ref().is_some_and(|before| *before != now) {
                return;
            }
            before = Some(now);
        }
    }
}

const STREAMS: &str = "\
SELECT string_agg(pid::text || state, ',' ORDER BY pid) FROM pg_stat_replication";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> std::collections::BTreeSet<MemberName> {
        names.iter().map(|name| MemberName::from(*name)).collect()
    }

    #[test]
    fn names_are_quoted_and_read_back() {
        for (names, expected) in [
            (SyncNames::Nobody, ""),
            (SyncNames::any_of(1, of(&["pg-b"])), r#"1 ("pg-b")"#),
            (SyncNames::any_of(2, of(&["c", "b"])), r#"2 ("b", "c")"#),
            (SyncNames::any_of(1, of(&["first", "b"])), r#"ANY 1 ("b", "first")"#),
            (SyncNames::any_of(1, of(&["a\"b,(c", "*"])), r#"ANY 1 ("*", "a""b,(c")"#),
        ] {
            assert_eq!(text(&names), expected);
            assert_eq!(read(expected), Some(names), "{expected}");
        }
        assert_eq!(read(&text(&SyncNames::Closed)), Some(SyncNames::Closed));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_taken_for_ours() {
        for foreign in ["*", "b", "FIRST 1 (b)", "ANY 1 (*)", "2 (\"b\")", "ANY 1 (\"b\"", "1 (b)"]
        {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
