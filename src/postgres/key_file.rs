//! Which private key a server will ask for, as far as the disk says it. The store's settings are in there as they were
//! when the server last ran; files that a `postgresql.conf` includes besides our base are not looked at.

use std::path::{Path, PathBuf};

use super::configuration::unquoted;

/// What PostgreSQL takes when nobody says anything.
const DEFAULT: &str = "server.key";

/// The server's private key, by the files of its last run or of the installation that is taken over.
pub fn key_file_on_disk(data: &Path, conf: &Path) -> PathBuf {
    let files = [
        data.join("postgresql.auto.conf"),
        conf.join("postgresql.conf"),
        conf.join("postgresql.base.conf"),
        data.join("postgresql.conf"),
    ];
    let said = files.iter().find_map(|file| said_by(&std::fs::read_to_string(file).ok()?));
    data.join(said.as_deref().unwrap_or(DEFAULT))
}

/// The last word of a file. Debian's has comments behind the values, and the `=` may be missing.
fn said_by(conf: &str) -> Option<String> {
    conf.lines().rev().find_map(|line| {
        let line = line.trim_start();
        let (name, rest) = line.split_at_checked("ssl_key_file".len())?;
        if !name.eq_ignore_ascii_case("ssl_key_file") || !rest.starts_with(['=', ' ', '\t']) {
            return None;
        }
        let rest = rest.trim_start();
        let value = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        let end = match value.strip_prefix('\'') {
            Some(inner) => inner.rfind('\'')? + 2,
            None => value.find([' ', '\t', '#']).unwrap_or(value.len()),
        };
        Some(unquoted(&value[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_postgresql_reads_it() {
        let key = |conf: &str| said_by(conf);
        let debian = "ssl = on\nssl_key_file = '/etc/ssl/private/snakeoil.key'\t# (change requires reload)\n";
        assert_eq!(key(debian).as_deref(), Some("/etc/ssl/private/snakeoil.key"));
        assert_eq!(key("SSL_KEY_FILE a.key # it\n").as_deref(), Some("a.key"));
        assert_eq!(key("ssl_key_file='first'\nssl_key_file='last'").as_deref(), Some("last"));
        assert_eq!(key("#ssl_key_file = 'server.key'\nssl_key_file_of = 'x'\n"), None);
        assert_eq!(key("ssl_key_file = 'no end"), None);
    }

    #[test]
    fn what_the_server_wrote_itself_counts_first_and_the_base_last() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, key: &str| {
            let line = format!("ssl_key_file = '{key}'\n");
            std::fs::write(folder.path().join(name), line).unwrap();
        };
        let found = || key_file_on_disk(folder.path(), folder.path());
        assert_eq!(found(), folder.path().join("server.key"));
        write("postgresql.base.conf", "/base.key");
        assert_eq!(found(), PathBuf::from("/base.key"));
        write("postgresql.conf", "/ours.key");
        assert_eq!(found(), PathBuf::from("/ours.key"));
        write("postgresql.auto.conf", "auto.key");
        assert_eq!(found(), folder.path().join("auto.key"));
    }
}
