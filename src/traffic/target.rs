//! Where requests go: a connection string in either of libpq's forms, with several hosts if need be. What
//! it leaves out comes from `PGUSER`, `PGPASSWORD` and `PGDATABASE`, as with libpq.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// The port on which HAProxy takes writes.
pub const WRITE_PORT: u16 = 5000;
/// The port on which HAProxy takes reads.
pub const READ_PORT: u16 = 5001;

/// How long one host may take to accept a connection where the string does not say.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Who connects where neither string nor environment say.
const USUAL_USER: &str = "postgres";

/// A place to connect to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    config: Config,
}

/// Why a connection string cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{why}; expected a URL such as postgresql://user:password@host:5000/database or \
     'host=a,b,c port=5432 user=... target_session_attrs=read-write'"
)]
pub struct TargetError {
    why: String,
}

impl Target {
    /// Reads a connection string.
    ///
    /// # Errors
    /// When it is none, or names no host.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let wrong = |why: String| TargetError { why };
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let mut why = source.unwrap_or_else(|| error.to_string());
            if text.contains("sslmode=verify") {
                why = "sslmode is disable, prefer or require; --tls-ca FILE verifies the server's \
                       certificate and name"
                    .to_owned();
            }
            wrong(why)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        complete(&mut config, |name| std::env::var(name).ok());
        Ok(Self { config })
    }

    /// That port of this machine.
    pub fn local(port: u16) -> Self {
        let mut config = Config::new();
        config.host("localhost").port(port);
        complete(&mut config, |name| std::env::var(name).ok());
        Self { config }
    }

    /// What the driver connects with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

fn complete(config: &mut Config, variable: impl Fn(&str) -> Option<String>) {
    if config.get_user().is_none() {
        config.user(variable("PGUSER").unwrap_or_else(|| USUAL_USER.to_owned()));
    }
    if let (None, Some(password)) = (config.get_password(), variable("PGPASSWORD")) {
        config.password(password);
    }
    if let (None, Some(database)) = (config.get_dbname(), variable("PGDATABASE")) {
        config.dbname(database);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_WITHIN);
    }
    if config.get_application_name().is_none() {
        config.application_name("pgbaton traffic");
    }
}

/// The hosts, without user and password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let port = |index: usize| match ports {
            [] => 5432,
            [one] => *one,
            many => many.get(index).copied().unwrap_or(5432),
        };
        let name = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let mut names: Vec<String> = self.config.get_hosts().iter().map(name).collect();
        if names.is_empty() {
            names = self.config.get_hostaddrs().iter().map(ToString::to_string).collect();
        }
        let places: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(index, name)| format!("{name}:{}", port(index)))
            .collect();
        f.write_str(&places.join(","))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_shown_without_the_password() {
        let url = Target::parse("postgresql://app:secret@10.0.0.1:5000/shop").unwrap();
        assert_eq!(format!("{url} {url:?}"), "10.0.0.1:5000 Target(10.0.0.1:5000)");
        let pairs = "host=pg-a,pg-b port=5432,5433 user=app target_session_attrs=read-write";
        let pairs = Target::parse(pairs).unwrap();
        assert_eq!(pairs.to_string(), "pg-a:5432,pg-b:5433");
        assert_eq!(pairs.config().get_application_name(), Some("pgbaton traffic"));
    }

    #[test]
    fn what_is_left_out_comes_from_the_environment() {
        let mut config: Config = "host=pg-a".parse().unwrap();
        complete(&mut config, |name| Some(format!("from {name}")));
        assert_eq!(config.get_user(), Some("from PGUSER"));
        assert_eq!(config.get_password(), Some(&b"from PGPASSWORD"[..]));
        let mut config: Config = "host=pg-a user=app password=x".parse().unwrap();
        complete(&mut config, |_| None);
        assert_eq!((config.get_user(), config.get_password()), (Some("app"), Some(&b"x"[..])));
    }

    #[test]
    fn a_string_that_cannot_be_used_says_what_was_expected() {
        for (text, said) in [
            ("nonsense", "postgresql://"),
            ("user=app", "names no host"),
            ("host=a sslmode=verify-full", "--tls-ca"),
            ("host=a port=many", "port"),
        ] {
            let error = Target::parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
