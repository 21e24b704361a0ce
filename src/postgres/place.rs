//! Where one server's files are, whose they are, and how they come to say what they should. All of
//! this blocks.

use std::fs;
use std::path::{Path, PathBuf};

use super::configuration::{self, SYNC_SLOTS, Source};
use super::conninfo::{Conninfo, password_line};
use super::files::{self, Manner, at};
use super::history;
use super::owner::Owner;
use super::port::{ServerError, Upstream};
use crate::cluster::MAJOR_THAT_SYNCS;
use crate::config::{Account, Authentication, Bootstrap, EffectivePostgresql, NodeConfig};
use crate::values::MemberName;

/// The version that is assumed of a data directory that does not tell its own.
const OLDEST_MAJOR: u32 = 13;

/// When files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing runs, and what is written will be in force from the start on.
    BeforeAStart,
    /// A server runs.
    Running,
}

/// What is constant about a server while its agent runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: MemberName,
    pub scope: String,
    pub data_dir: PathBuf,
    pub config_dir: PathBuf,
    pub pgpass: PathBuf,
    /// Where the agent's own small files are.
    pub state_dir: PathBuf,
    pub listen_addresses: String,
    pub port: u16,
    pub accounts: Authentication,
    pub bootstrap: Option<Bootstrap>,
    pub owner: Option<Owner>,
}

impl Place {
    /// # Errors
    /// When the agent is root and there is nobody to run the server as.
    pub fn of(node: &NodeConfig) -> Result<Self, ServerError> {
        let postgresql = &node.postgresql;
        let owner = Owner::of(&postgresql.data_dir)?;
        if let Some(owner) = owner.filter(|owner| !owner.reaches(&postgresql.pgpass)) {
            return Err(ServerError::NotPossible(format!(
                "postgresql.pgpass: the server will run as user id {}, which cannot get to {}; set \
                 it to a file that this user can reach",
                owner.uid,
                postgresql.pgpass.display()
            )));
        }
        Ok(Self {
            name: node.name.clone(),
            scope: node.scope.clone(),
            data_dir: postgresql.data_dir.clone(),
            config_dir: postgresql.config_dir.clone(),
            pgpass: postgresql.pgpass.clone(),
            state_dir: node.state_dir(),
            listen_addresses: postgresql.listen_addresses.clone(),
            port: postgresql.port,
            accounts: postgresql.authentication.clone(),
            bootstrap: node.bootstrap.clone(),
            owner,
        })
    }

    /// The data directory as the kernel shows it: without links.
    pub fn real_data_dir(&self) -> PathBuf {
        fs::canonicalize(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone())
    }

    pub fn conf(&self) -> PathBuf {
        self.config_dir.join("postgresql.conf")
    }

    /// The major version of the data directory, as far as it tells.
    pub fn major(&self) -> Result<u32, ServerError> {
        let told = files::read(&self.data_dir.join("PG_VERSION"))?;
        Ok(told.and_then(|text| text.trim().parse().ok()).unwrap_or(OLDEST_MAJOR))
    }

    fn manner(&self) -> Manner {
        Manner { owner: self.owner, mode: 0o600 }
    }

    /// Writes what PostgreSQL reads when it starts or reloads; returns whether anything changed.
    pub fn configure(
        &self,
        settings: &EffectivePostgresql,
        source: &Source,
        moment: Moment,
    ) -> Result<bool, ServerError> {
        self.write_pgpass()?;
        let base = self.keep_original()?;
        // A standby that runs with a lower wal_level ends over this (PostgreSQL 17.0 to 17.5).
        let runs_with_it = || -> Result<bool, ServerError> {
            let before = files::read(&self.conf())?.unwrap_or_default();
            Ok(configuration::setting_in(&before, SYNC_SLOTS).is_some())
        };
        let syncs = self.major()? >= MAJOR_THAT_SYNCS
            && (moment == Moment::BeforeAStart || runs_with_it()?);
        let conf = configuration::postgresql_conf(settings, source, &base, syncs);
        let mut changed = files::write(&self.conf(), &conf, self.manner())?;
        for (name, lines) in
            [("pg_hba.conf", &settings.pg_hba), ("pg_ident.conf", &settings.pg_ident)]
        {
            let path = self.config_dir.join(name);
            if let Some(lines) = lines {
                let text = configuration::lines_file(lines);
                changed |= files::write(&path, &text, self.manner())?;
            } else {
                self.bring_back(name, &path)?;
            }
        }
        Ok(self.strip_auto_conf()? || changed)
    }

    /// Keeps the `postgresql.conf` that was there first as the base of ours; returns what to include.
    fn keep_original(&self) -> Result<String, ServerError> {
        let name = "postgresql.base.conf";
        let base = self.config_dir.join(name);
        self.bring_back(name, &base)?;
        if !base.exists() {
            let mut original = None;
            for path in [self.conf(), self.data_dir.join("postgresql.conf")] {
                let found = files::read(&path)?;
                original = original.or(found.filter(|text| !configuration::is_generated(text)));
            }
            files::write(&base, original.as_deref().unwrap_or_default(), self.manner())?;
        }
        self.save(name, &base)?;
        Ok(name.to_owned())
    }

    /// Brings a file back from its copy in the data directory, which a clone carries along; else what
    /// the source of the clone, or `initdb`, has there itself.
    fn bring_back(&self, name: &str, path: &Path) -> Result<(), ServerError> {
        if path.exists() {
            return self.save(name, path);
        }
        for copy in [self.backup_of(name), self.data_dir.join(name)] {
            if let Some(text) = files::read(&copy)? {
                return files::write(path, &text, self.manner()).map(drop);
            }
        }
        Ok(())
    }

    fn save(&self, name: &str, path: &Path) -> Result<(), ServerError> {
        // Beside the file itself a copy would be of no use: it goes wherever the file goes.
        if self.config_dir == self.data_dir {
            return Ok(());
        }
        match files::read(path)? {
            Some(text) => files::write(&self.backup_of(name), &text, self.manner()).map(drop),
            None => Ok(()),
        }
    }

    fn backup_of(&self, name: &str) -> PathBuf {
        self.data_dir.join(format!("{name}.backup"))
    }

    fn strip_auto_conf(&self) -> Result<bool, ServerError> {
        let path = self.data_dir.join("postgresql.auto.conf");
        match files::read(&path)? {
            Some(text) => {
                let stripped = configuration::without_recovery(&text);
                // A missing newline at the end alone is nobody's change.
                if stripped.trim_end() == text.trim_end() {
                    return Ok(false);
                }
                files::write(&path, &stripped, self.manner())
            }
            None => Ok(false),
        }
    }

    /// The password file of every program and connection.
    pub fn write_pgpass(&self) -> Result<(), ServerError> {
        let Authentication { superuser, replication, rewind } = &self.accounts;
        let text: String = [Some(superuser), Some(replication), rewind.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|one| Some(password_line(&one.username, one.password.as_deref()?)))
            .collect();
        files::write(&self.pgpass, &text, self.manner()).map(drop)
    }

    /// Appends `bootstrap.pg_hba` to the file that `initdb` made, unless the whole file is managed.
    pub fn append_hba(&self, settings: &EffectivePostgresql) -> Result<(), ServerError> {
        let path = self.config_dir.join("pg_hba.conf");
        let made = files::read(&self.data_dir.join("pg_hba.conf"))?.unwrap_or_default();
        let lines = self.bootstrap.as_ref().map(|bootstrap| bootstrap.pg_hba.as_slice());
        let hba_file = settings.parameters.get("hba_file").map(PathBuf::from);
        if settings.pg_hba.is_some() || hba_file.is_some_and(|file| file != path) {
            return Ok(());
        }
        let mut text = made;
        for line in lines.unwrap_or_default() {
            text.push_str(line);
            text.push('\n');
        }
        files::write(&path, &text, self.manner())?;
        self.save("pg_hba.conf", &path)
    }

    /// Puts the signal files so that the server comes up as what it is to be.
    pub fn signal(&self, as_standby: bool) -> Result<(), ServerError> {
        files::remove(&self.data_dir.join("recovery.signal"))?;
        let standby = self.data_dir.join("standby.signal");
        if as_standby {
            files::write(&standby, "", self.manner())?;
        } else {
            files::remove(&standby)?;
        }
        files::sync_folder(&self.data_dir)
    }

    /// Removes planted history files that a starting standby would take for the way to go.
    pub fn remove_planted_at_the_end(&self) -> Result<(), ServerError> {
        let pg_wal = self.data_dir.join("pg_wal");
        let planted = at(&pg_wal, "listing", history::planted_at_the_end(&self.data_dir))?;
        planted.iter().try_for_each(|path| files::remove(path).map(drop))
    }

    /// Plants a history file unless there is one.
    pub fn plant(&self, path: &Path, content: &str) -> Result<(), ServerError> {
        if path.exists() {
            return Ok(());
        }
        files::write(path, content, self.manner()).map(drop)
    }

    /// Where a standby of `upstream` gets its log.
    pub fn source_at(&self, upstream: Option<&Upstream>, major: u32, database: &str) -> Source {
        let Some(upstream) = upstream else { return Source::default() };
        let conninfo = self
            .conninfo_to(upstream, &self.accounts.replication, major)
            .with("application_name", self.name.as_str())
            .with("dbname", database)
            .into_text();
        let slot = upstream.slot.clone().unwrap_or_default();
        Source { conninfo, slot, is_settled: false }
    }

    /// How to reach another member with this account.
    pub fn conninfo_to(&self, upstream: &Upstream, account: &Account, major: u32) -> Conninfo {
        let given = account.connection_options(major);
        let defaults = [
            ("sslmode", "prefer", 0),
            ("gssencmode", "prefer", 12),
            ("channel_binding", "prefer", 13),
            ("sslnegotiation", "postgres", 17),
        ];
        let defaults = defaults
            .into_iter()
            .filter(|(name, _, since)| *since <= major && !given.iter().any(|(g, _)| g == name))
            .map(|(name, value, _)| (name, value));
        Conninfo::default()
            .with("user", &account.username)
            .with("passfile", &self.pgpass.to_string_lossy())
            .with("host", &upstream.host)
            .with("port", &upstream.port.to_string())
            .with("connect_timeout", "3")
            .with_all(given.iter().copied())
            .with_all(defaults)
    }
}
