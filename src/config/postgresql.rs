//! The local `postgresql` section, as plain data: what only this node can say (addresses, paths,
//! accounts), and this node's values of the settings that the cluster's document may hold as well.
//! What both together mean is [`super::effective_postgresql`]'s answer: read it from there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::HostPort;

/// The local `postgresql` section.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresqlConfig {
    /// Value of the GUC `listen_addresses`: hosts with commas between.
    pub listen_addresses: String,
    /// TCP port of the server.
    pub port: u16,
    /// Where the other members and the clients reach the server.
    pub connect_address: HostPort,
    /// Data directory.
    pub data_dir: PathBuf,
    /// Directory of `postgresql.conf` and `pg_hba.conf`; the data directory unless told otherwise.
    pub config_dir: PathBuf,
    /// Password file that the agent writes.
    pub pgpass: PathBuf,
    /// Roles the agent uses.
    pub authentication: Authentication,
    /// This node's values of what the cluster's document may say too. Use
    /// [`super::effective_postgresql`] for the values in force.
    pub local: SharedSettings,
}

/// Settings that the node's file and the cluster's document may both hold. `None`: not said here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharedSettings {
    /// Directory of PostgreSQL's programs; `None` means `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// Names that replace those of PostgreSQL's programs.
    pub bin_name: Option<BTreeMap<Program, String>>,
    /// Database of the agent's own connections.
    pub database: Option<String>,
    /// GUCs by lower-case name, merged one by one; the local value wins.
    pub parameters: BTreeMap<String, String>,
    /// Complete lines of `pg_hba.conf`.
    pub pg_hba: Option<Vec<String>>,
    /// Complete lines of `pg_ident.conf`.
    pub pg_ident: Option<Vec<String>>,
    /// Further settings of standbys, such as `restore_command`.
    pub recovery_conf: Option<BTreeMap<String, String>>,
    /// Commands run on events.
    pub callbacks: Option<Callbacks>,
    /// How long PostgreSQL may take to start.
    pub pg_ctl_timeout: Option<Duration>,
    /// Whether `pg_rewind` may be used.
    pub use_pg_rewind: Option<bool>,
    /// Whether members get replication slots; counts in the cluster's document only.
    pub use_slots: Option<bool>,
    /// Whether a data directory that could not be rewound may be cloned anew.
    pub remove_data_directory_on_rewind_failure: Option<bool>,
    /// Whether a data directory that cannot be rewound may be cloned anew.
    pub remove_data_directory_on_diverged_timelines: Option<bool>,
}

/// A program of PostgreSQL that the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// `initdb`
    Initdb,
    /// `pg_basebackup`
    PgBasebackup,
    /// `pg_controldata`
    PgControldata,
    /// `pg_ctl`
    PgCtl,
    /// `pg_isready`
    PgIsready,
    /// `pg_rewind`
    PgRewind,
    /// `postgres`
    Postgres,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 7] = [
        Program::Initdb,
        Program::PgBasebackup,
        Program::PgControldata,
        Program::PgCtl,
        Program::PgIsready,
        Program::PgRewind,
        Program::Postgres,
    ];

    /// The program's usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Initdb => "initdb",
            Program::PgBasebackup => "pg_basebackup",
            Program::PgControldata => "pg_controldata",
            Program::PgCtl => "pg_ctl",
            Program::PgIsready => "pg_isready",
            Program::PgRewind => "pg_rewind",
            Program::Postgres => "postgres",
        }
    }
}

/// The roles that the agent uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Authentication {
    /// The superuser.
    pub superuser: Account,
    /// The role that replicates.
    pub replication: Account,
    /// The role of `pg_rewind`; the superuser when absent.
    pub rewind: Option<Account>,
}

impl Authentication {
    /// The account that `pg_rewind` connects with.
    pub fn for_rewind(&self) -> &Account {
        self.rewind.as_ref().unwrap_or(&self.superuser)
    }
}

/// One role, and how to connect as it. Its `Debug` hides the passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Name of the role.
    pub username: String,
    /// Its password.
    pub password: Option<String>,
    /// libpq's `sslmode`.
    pub sslmode: Option<String>,
    /// libpq's `sslcert`.
    pub sslcert: Option<String>,
    /// libpq's `sslkey`.
    pub sslkey: Option<String>,
    /// libpq's `sslpassword` (PostgreSQL 13).
    pub sslpassword: Option<String>,
    /// libpq's `sslrootcert`.
    pub sslrootcert: Option<String>,
    /// libpq's `sslcrl`.
    pub sslcrl: Option<String>,
    /// libpq's `sslcrldir` (PostgreSQL 14).
    pub sslcrldir: Option<String>,
    /// libpq's `gssencmode`.
    pub gssencmode: Option<String>,
    /// libpq's `channel_binding` (PostgreSQL 13).
    pub channel_binding: Option<String>,
    /// libpq's `sslnegotiation` (PostgreSQL 17).
    pub sslnegotiation: Option<String>,
}

impl Account {
    /// The connection options besides user and password that this account sets, for a server of
    /// `major` version; those newer than it are left out.
    pub fn connection_options(&self, major: u32) -> Vec<(&'static str, &str)> {
        let all = [
            ("sslmode", 0, &self.sslmode),
            ("sslcert", 0, &self.sslcert),
            ("sslkey", 0, &self.sslkey),
            ("sslpassword", 13, &self.sslpassword),
            ("sslrootcert", 0, &self.sslrootcert),
            ("sslcrl", 0, &self.sslcrl),
            ("sslcrldir", 14, &self.sslcrldir),
            ("gssencmode", 12, &self.gssencmode),
            ("channel_binding", 13, &self.channel_binding),
            ("sslnegotiation", 17, &self.sslnegotiation),
        ];
        all.into_iter()
            .filter(|(_, since, _)| *since <= major)
            .filter_map(|(name, _, value)| Some((name, value.as_deref()?)))
            .collect()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("username", &self.username)
            .field("sslmode", &self.sslmode)
            .finish_non_exhaustive()
    }
}

/// Commands run on events, each as program and arguments; event, role and scope are appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// The server started.
    pub on_start: Option<Vec<String>>,
    /// The server stopped.
    pub on_stop: Option<Vec<String>>,
    /// The server restarted.
    pub on_restart: Option<Vec<String>>,
    /// The server's configuration was read again.
    pub on_reload: Option<Vec<String>>,
    /// The server became primary or standby.
    pub on_role_change: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_newer_than_the_server_are_left_out() {
        let account = Account {
            sslmode: Some("require".into()),
            sslnegotiation: Some("direct".into()),
            ..Account::default()
        };
        assert_eq!(account.connection_options(15), [("sslmode", "require")]);
        assert_eq!(account.connection_options(17).len(), 2);
    }

    #[test]
    fn an_account_does_not_show_its_password() {
        let account = Account { password: Some("hunter2".into()), ..Account::default() };
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
