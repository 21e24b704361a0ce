//! Checks that look at this machine: directories, programs, certificates, ports. They change nothing
//! and can be out of date the moment after.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};

use super::finding::{Finding, Severity};
use super::{HostPort, NodeConfig, Program};

/// Permissions that PostgreSQL accepts for its data directory.
const DATA_DIR_MODES: [u32; 2] = [0o700, 0o750];
/// The programs without which an agent cannot do its work.
const NEEDED: [Program; 6] = [
    Program::Initdb,
    Program::PgCtl,
    Program::PgControldata,
    Program::PgBasebackup,
    Program::Postgres,
    Program::PgRewind,
];

/// Checks directories, programs and certificate files on this machine.
pub fn check_host(node: &NodeConfig) -> Vec<Finding> {
    let mut checks = Checks::of(node);
    checks.data_dir(&node.postgresql.data_dir);
    let config_dir = &node.postgresql.config_dir;
    if config_dir != &node.postgresql.data_dir {
        checks.writable_directory("postgresql.config_dir", config_dir);
    }
    if let Some(parent) = node.postgresql.pgpass.parent() {
        checks.writable_directory("postgresql.pgpass", parent);
    }
    checks.state_dir(node);
    checks.programs(node);
    let etcd = &node.etcd;
    for (key, file) in [("cacert", &etcd.cacert), ("cert", &etcd.cert), ("key", &etcd.key)] {
        if let Some(file) = file {
            checks.readable_file(&format!("etcd3.{key}"), file);
        }
    }
    checks.findings
}

/// Checks that the ports this node listens on are free; a running agent or server takes them.
pub fn check_ports(node: &NodeConfig) -> Vec<Finding> {
    let mut checks = Checks::of(node);
    checks.port("restapi.listen", &node.restapi.listen);
    for host in node.postgresql.listen_addresses.split(',') {
        let address = HostPort { host: host.to_owned(), port: node.postgresql.port };
        checks.port("postgresql.listen", &address);
    }
    checks.findings
}

struct Checks {
    file: String,
    findings: Vec<Finding>,
}

impl Checks {
    fn of(node: &NodeConfig) -> Self {
        let file = match (&node.source.path, node.source.files.as_slice()) {
            (_, [file]) => file.display().to_string(),
            (Some(path), _) => path.display().to_string(),
            (None, _) => String::new(),
        };
        Self { file, findings: Vec::new() }
    }

    fn say(&mut self, severity: Severity, key: &str, message: String) {
        let file = self.file.clone();
        self.findings.push(Finding { severity, file, line: None, key: key.to_owned(), message });
    }

    fn error(&mut self, key: &str, message: String) {
        self.say(Severity::Error, key, message);
    }

    fn data_dir(&mut self, directory: &Path) {
        let key = "postgresql.data_dir";
        let shown = directory.display();
        let metadata = match std::fs::metadata(directory) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.can_be_made(key, directory);
            }
            Err(error) => return self.error(key, format!("{shown} cannot be read: {error}")),
        };
        if !metadata.is_dir() {
            return self.error(key, format!("{shown} is not a directory"));
        }
        let user = Uid::effective();
        if !user.is_root() && metadata.uid() != user.as_raw() {
            let message = format!(
                "{shown} belongs to user id {}, and this runs as {user}: PostgreSQL wants them to \
                 be the same",
                metadata.uid()
            );
            self.error(key, message);
        }
        let entries: Vec<_> = match std::fs::read_dir(directory) {
            Ok(entries) => entries.filter_map(Result::ok).map(|one| one.file_name()).collect(),
            Err(error) => return self.error(key, format!("{shown} cannot be listed: {error}")),
        };
        if entries.is_empty() {
            return;
        }
        if !entries.iter().any(|name| name == "PG_VERSION") {
            let message = format!(
                "{shown} holds files but no PG_VERSION: expected a data directory, or an \
                         empty one"
            );
            self.error(key, message);
        }
        let mode = metadata.permissions().mode() & 0o777;
        if !DATA_DIR_MODES.contains(&mode) {
            let message = format!(
                "{shown} has permissions {mode:04o}, and PostgreSQL accepts 0700 and 0750: run \
                 chmod 0700"
            );
            self.error(key, message);
        }
    }

    /// Whether the nearest directory above that exists can be written.
    fn can_be_made(&mut self, key: &str, directory: &Path) {
        let above = directory.ancestors().skip(1).find(|above| above.exists());
        let Some(above) = above else { return };
        if access(above, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let message = format!(
                "{} does not exist and cannot be made: {} is not writable",
                directory.display(),
                above.display()
            );
            self.error(key, message);
        }
    }

    fn writable_directory(&mut self, key: &str, directory: &Path) {
        if !directory.exists() {
            return self.can_be_made(key, directory);
        }
        if access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            self.error(key, format!("{} is not writable", directory.display()));
        }
    }

    fn state_dir(&mut self, node: &NodeConfig) {
        let directory = node.state_dir();
        self.writable_directory("pgbaton.state_dir", &directory);
        if directory.starts_with(&node.postgresql.data_dir) {
            let message = format!(
                "{} lies in the data directory, and is lost when that is cloned again",
                directory.display()
            );
            self.error("pgbaton.state_dir", message);
        }
    }

    fn programs(&mut self, node: &NodeConfig) {
        let local = &node.postgresql.local;
        let places: Vec<PathBuf> = match &local.bin_dir {
            Some(directory) => vec![directory.clone()],
            None => std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
        };
        let renamed = local.bin_name.clone().unwrap_or_default();
        let name = |program: &Program| {
            renamed.get(program).cloned().unwrap_or_else(|| program.name().to_owned())
        };
        let is_there = |name: &String| {
            places.iter().any(|place| access(&place.join(name), AccessFlags::X_OK).is_ok())
        };
        let missing: Vec<String> = NEEDED.iter().map(name).filter(|name| !is_there(name)).collect();
        if missing.is_empty() {
            return;
        }
        let place = match &local.bin_dir {
            Some(directory) => directory.display().to_string(),
            None => "PATH".to_owned(),
        };
        let message = format!(
            "{} not found in {place}: expected the directory of PostgreSQL's programs, such as \
             /usr/lib/postgresql/15/bin",
            missing.join(", ")
        );
        self.error("postgresql.bin_dir", message);
    }

    fn readable_file(&mut self, key: &str, file: &Path) {
        if let Err(error) = std::fs::File::open(file) {
            self.error(key, format!("{} cannot be read: {error}", file.display()));
        }
    }

    fn port(&mut self, key: &str, address: &HostPort) {
        let host = match address.host.as_str() {
            "" | "*" => "0.0.0.0",
            host => host,
        };
        if let Err(error) = TcpListener::bind((host, address.port)) {
            let message = match error.kind() {
                ErrorKind::AddrInUse => {
                    format!("port {} is taken by another program", address.port)
                }
                ErrorKind::AddrNotAvailable => format!("{host} is no address of this machine"),
                _ => format!("{address} cannot be bound: {error}"),
            };
            self.error(key, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::example_node;
    use super::*;

    /// A node whose directories lie below a temporary one that has a full set of programs.
    fn node_in(directory: &Path) -> NodeConfig {
        let mut node = example_node();
        let programs = directory.join("bin");
        std::fs::create_dir(&programs).unwrap();
        for program in NEEDED {
            let file = programs.join(program.name());
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        node.postgresql.data_dir = directory.join("data");
        node.postgresql.config_dir = node.postgresql.data_dir.clone();
        node.postgresql.pgpass = directory.join("pgpass");
        node.postgresql.local.bin_dir = Some(programs);
        node
    }

    #[track_caller]
    fn check(node: &NodeConfig, part: Option<&str>) {
        let said: Vec<_> = check_host(node).iter().map(ToString::to_string).collect();
        match part {
            None => assert_eq!(said, Vec::<String>::new()),
            Some(part) => assert!(said.len() == 1 && said[0].contains(part), "{said:?}"),
        }
    }

    #[test]
    fn a_data_directory_that_is_not_there_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        check(&node_in(directory.path()), None);
    }

    #[test]
    fn a_data_directory_has_a_version_and_narrow_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let node = node_in(directory.path());
        let data = &node.postgresql.data_dir;
        std::fs::create_dir(data).unwrap();
        std::fs::set_permissions(data, PermissionsExt::from_mode(0o700)).unwrap();
        check(&node, None);
        std::fs::write(data.join("stray"), "").unwrap();
        check(&node, Some("no PG_VERSION"));
        std::fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        check(&node, None);
        std::fs::set_permissions(data, PermissionsExt::from_mode(0o755)).unwrap();
        check(&node, Some("permissions 0755"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let node = node_in(directory.path());
        std::fs::remove_file(directory.path().join("bin/pg_rewind")).unwrap();
        check(&node, Some("postgresql.bin_dir: pg_rewind not found"));
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut node = node_in(directory.path());
        node.etcd.cacert = Some(directory.path().join("ca.pem"));
        check(&node, Some("etcd3.cacert"));
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut node = example_node();
        node.postgresql.listen_addresses = "127.0.0.1".to_owned();
        node.postgresql.port = taken.local_addr().unwrap().port();
        node.restapi.listen = HostPort { host: "127.0.0.1".to_owned(), port: node.postgresql.port };
        let said: Vec<_> = check_ports(&node).iter().map(|one| one.key.clone()).collect();
        assert_eq!(said, ["restapi.listen", "postgresql.listen"]);
    }
}
