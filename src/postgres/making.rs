//! Making a data directory, by `initdb` or as a copy of another member's, and the accounts in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conninfo::Conninfo;
use super::files::{self, Manner, at, blocking};
use super::place::Place;
use super::port::{CopyProgress, ServerError, Upstream};
use super::programs::Run;
use super::server::LocalServer;
use crate::config::{Account, Authentication, Program};
use crate::fence::Target;
use crate::values::SystemId;

/// What `pg_rewind` calls on its source, for an account that is no superuser.
const FUNCTIONS_OF_REWIND: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

impl LocalServer {
    pub(super) async fn run_initdb(&self) -> Result<SystemId, ServerError> {
        self.begin_making().await?;
        let made = self.initdb().await;
        self.end_making(made).await
    }

    async fn initdb(&self) -> Result<SystemId, ServerError> {
        let settings = self.settings();
        let place = self.place.clone();
        let superuser = &self.place.accounts.superuser;
        let mut run = Run::new(settings.program(Program::Initdb))
            .arg("--pgdata")
            .arg(&place.data_dir)
            .arg(format!("--username={}", superuser.username));
        let password_file = place.state_dir.join("initdb-password");
        if let Some(password) = superuser.password.clone() {
            let (path, place) = (password_file.clone(), place.clone());
            let manner = Manner { owner: place.owner, mode: 0o600 };
            self.turns
                .change(move || {
                    files::make_folder(&place.state_dir, place.owner)?;
                    files::write(&path, format!("{password}\n"), manner)
                })
                .await?;
            run = run.arg("--pwfile").arg(&password_file);
        }
        let options = place.bootstrap.as_ref().map(|bootstrap| bootstrap.initdb.clone());
        let run = run.args(options.unwrap_or_default());
        let done = self.programs.run(run).await;
        let removed = self.turns.change(move || files::remove(&password_file)).await;
        done?;
        removed?;
        let system_id = self.read_control_data().await?.system_id();
        let system_id = system_id.map_err(ServerError::NotPossible)?;
        self.turns.change(move || place.append_hba(&settings)).await?;
        Ok(system_id)
    }

    pub(super) async fn run_basebackup(
        &self,
        source: &Upstream,
        progress: impl Fn(CopyProgress),
    ) -> Result<(), ServerError> {
        self.begin_making().await?;
        let made = self.basebackup(source, progress).await;
        self.end_making(made).await
    }

    async fn basebackup(
        &self,
        source: &Upstream,
        progress: impl Fn(CopyProgress),
    ) -> Result<(), ServerError> {
        let place = self.place.clone();
        self.turns.change(move || place.write_pgpass()).await?;
        let account = &self.place.accounts.replication;
        let programs_major = match self.major_of_programs().await {
            Some(major) => major,
            None => self.major().await?,
        };
        let conninfo = self.place.conninfo_to(source, account, programs_major).into_text();
        let run = Run::new(self.settings().program(Program::PgBasebackup))
            .arg("--pgdata")
            .arg(&self.place.data_dir)
            .arg(format!("--dbname={conninfo}"))
            .args(["--wal-method=stream", "--checkpoint=fast", "--progress", "--no-password"]);
        let tell = |line: &str| {
            if let Some(told) = progress_in(line) {
                progress(told);
            }
        };
        self.programs.run_telling(run, tell).await?;
        // From its first moment the copy is a standby's, also to whoever finds it not started yet.
        let place = self.place.clone();
        self.turns.change(move || place.signal(true)).await
    }

    /// Takes the directory for its own: from here on what is in it was made here.
    async fn begin_making(&self) -> Result<(), ServerError> {
        self.refuse_while_it_runs().await?;
        let place = self.place.clone();
        let begin = move || {
            let data_dir = &place.data_dir;
            if !at(data_dir, "listing", files::is_empty(data_dir))? {
                return Err(ServerError::NotPossible(format!(
                    "{} is not empty: nothing is made where something is",
                    data_dir.display()
                )));
            }
            files::make_folder(data_dir, place.owner)?;
            // An empty folder that was there can be root's, such as a fresh volume.
            let Some(owner) = place.owner else { return Ok(()) };
            at(data_dir, "changing the owner", owner.take(data_dir))?;
            at(data_dir, "setting permissions of", fs::set_permissions(data_dir, private()))
        };
        self.turns.change(begin).await
    }

    /// Keeps what was made, or removes it.
    async fn end_making<T>(&self, made: Result<T, ServerError>) -> Result<T, ServerError> {
        let (place, failed) = (self.place.clone(), made.is_err());
        self.watch.forget();
        let clear = move || clear(&place);
        if failed && let Err(error) = self.turns.change(clear).await {
            tracing::warn!(%error, "what a failed step left could not be removed");
        }
        made
    }

    pub(super) async fn refuse_while_it_runs(&self) -> Result<(), ServerError> {
        if self.find_running().await?.is_some() {
            return Err(ServerError::NotPossible("a server runs on the data directory".into()));
        }
        let target = self.target.clone();
        blocking(move || refuse_beside(&target)).await
    }

    pub(super) async fn remove_all(&self) -> Result<(), ServerError> {
        self.refuse_while_it_runs().await?;
        self.watch.forget();
        let (place, target) = (self.place.clone(), self.target.clone());
        let clear = move || {
            refuse_beside(&target)?;
            clear(&place)
        };
        self.turns.change(clear).await
    }

    pub(super) async fn make_accounts(&self) -> Result<(), ServerError> {
        let what = "the accounts";
        let session = self.session(what).await?;
        let Authentication { superuser, replication, rewind } = &self.place.accounts;
        if superuser.password.is_some() {
            session.execute(what, &account_statement(superuser, "SUPERUSER LOGIN")).await?;
        }
        session.execute(what, &account_statement(replication, "REPLICATION LOGIN")).await?;
        if let Some(rewind) = rewind {
            session.execute(what, &account_statement(rewind, "LOGIN")).await?;
            for function in FUNCTIONS_OF_REWIND {
                let role = quoted_name(&rewind.username);
                let grant = format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {role}");
                session.execute(what, &grant).await?;
            }
        }
        self.run_post_bootstrap().await
    }

    async fn run_post_bootstrap(&self) -> Result<(), ServerError> {
        let command = self.place.bootstrap.as_ref().and_then(|one| one.post_bootstrap.as_ref());
        let Some((program, arguments)) = command.and_then(|command| command.split_first()) else {
            return Ok(());
        };
        let place = self.place.clone();
        self.turns.change(move || place.write_pgpass()).await?;
        let access = self.access()?;
        let (host, port) = access.address();
        let conninfo = Conninfo::default()
            .with("user", &self.place.accounts.superuser.username)
            .with("host", host)
            .with("port", &port.to_string())
            .with("dbname", &self.settings().database)
            .into_text();
        let run = Run::new(program)
            .args(arguments)
            .arg(conninfo)
            .env("PGPASSFILE", &self.place.pgpass)
            .env("PGOPTIONS", "-c synchronous_commit=local -c statement_timeout=0");
        self.programs.run(run).await.map(drop)
    }
}

/// Nothing of a server may be in the data directory.
pub(super) fn refuse_beside(target: &Target) -> Result<(), ServerError> {
    match target.living().len() {
        0 => Ok(()),
        left => Err(ServerError::NotPossible(format!(
            "{left} processes of a server are still in the data directory"
        ))),
    }
}

fn private() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o700)
}

/// Removes all data: the control file first, so that what an interruption leaves cannot be started.
fn clear(place: &Arc<Place>) -> Result<(), ServerError> {
    let data_dir = place.data_dir.as_path();
    files::remove(&data_dir.join("global/pg_control"))?;
    let pg_wal = data_dir.join("pg_wal");
    if is_link(&pg_wal) {
        at(&pg_wal, "emptying", files::empty(&pg_wal))?;
    }
    for part in tablespace_parts(data_dir) {
        at(&part, "removing", fs::remove_dir_all(&part))?;
    }
    at(data_dir, "emptying", files::empty(data_dir))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// This major version's part of each tablespace: others may share the place.
fn tablespace_parts(data_dir: &Path) -> Vec<PathBuf> {
    let version = fs::read_to_string(data_dir.join("PG_VERSION")).unwrap_or_default();
    let prefix = format!("PG_{}_", version.trim());
    let links = fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten();
    let links = links.map(|entry| entry.path()).filter(|path| is_link(path));
    let entries = links.flat_map(|link| fs::read_dir(link).into_iter().flatten().flatten());
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// `  12345/23456 kB (52%), 0/1 tablespace (...)`
fn progress_in(line: &str) -> Option<CopyProgress> {
    let (figures, _) = line.split_once(" kB (")?;
    let (done, total) = figures.trim().split_once('/')?;
    let total: u64 = total.parse().ok()?;
    Some(CopyProgress {
        done_kilobytes: done.parse().ok()?,
        total_kilobytes: (total > 0).then_some(total),
    })
}

/// Creates the account, or gives the one that is there its attributes and password.
fn account_statement(account: &Account, attributes: &str) -> String {
    let name = quoted_name(&account.username);
    let password = match &account.password {
        Some(password) => format!(" PASSWORD {}", quoted_text(password)),
        None => String::new(),
    };
    let body = format!(
        "BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {text}) THEN \
         ALTER ROLE {name} WITH {attributes}{password}; \
         ELSE CREATE ROLE {name} WITH {attributes}{password}; END IF; END",
        text = quoted_text(&account.username),
    );
    format!("DO {}", quoted_text(&body))
}

fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text for SQL, whatever `standard_conforming_strings` says.
fn quoted_text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    if text.contains('\\') { format!(" E'{escaped}'") } else { format!("'{escaped}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_the_program_prints_it() {
        let told = progress_in("  12345/23456 kB (52%), 0/1 tablespace (/data/base/1/1)").unwrap();
        assert_eq!(told.done_kilobytes, 12_345);
        assert_eq!(told.total_kilobytes, Some(23_456));
        assert_eq!(progress_in("waiting for checkpoint"), None);
    }

    #[test]
    fn names_and_passwords_cannot_leave_their_quotes() {
        let account = Account {
            username: "a\"b'c".into(),
            password: Some("p'; DROP \\".into()),
            ..Account::default()
        };
        let statement = account_statement(&account, "LOGIN");
        assert!(statement.starts_with("DO  E'BEGIN"), "{statement}");
        assert!(statement.contains("\"a\"\"b''c\""), "{statement}");
        assert_eq!(quoted_text("it's"), "'it''s'");
        assert_eq!(quoted_text("a\\"), " E'a\\\\'");
    }
}
