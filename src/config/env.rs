//! The `PATRONI_*` variables as a tree, to be laid over the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Findings;
use super::known::{self, Kind};
use super::yaml::{self, Content, Entry, Node, Place};

/// Variables that go where their name does not say.
const NAMED: [(&str, &str); 12] = [
    ("SCOPE", "scope"),
    ("NAME", "name"),
    ("NAMESPACE", "namespace"),
    ("THREAD_POOL_SIZE", "thread_pool_size"),
    ("THREAD_STACK_SIZE", "thread_stack_size"),
    ("LOGLEVEL", "log.level"),
    ("LOGFORMAT", "log.format"),
    ("LOG_DATEFMT", "log.dateformat"),
    ("RESTAPI_USERNAME", "restapi.authentication.username"),
    ("RESTAPI_PASSWORD", "restapi.authentication.password"),
    ("CTL_USERNAME", "ctl.authentication.username"),
    ("CTL_PASSWORD", "ctl.authentication.password"),
];

/// The keys of the `postgresql` section that have a variable.
const POSTGRESQL: [&str; 7] =
    ["listen", "connect_address", "proxy_address", "data_dir", "config_dir", "bin_dir", "pgpass"];

/// Start of a variable's name, and the section its further words name a key of.
const SECTIONS: [(&str, &str); 9] = [
    ("LOG_", "log"),
    ("RESTAPI_", "restapi"),
    ("CTL_", "ctl"),
    ("CITUS_", "citus"),
    ("SUPERUSER_", "postgresql.authentication.superuser"),
    ("REPLICATION_", "postgresql.authentication.replication"),
    ("REWIND_", "postgresql.authentication.rewind"),
    ("ETCD3_", "etcd3"),
    ("ETCD_", "etcd"),
];

/// Stores that pgbaton does not use: their variables are taken as they are.
const OTHER_STORES: [&str; 5] = ["CONSUL_", "ZOOKEEPER_", "EXHIBITOR_", "KUBERNETES_", "RAFT_"];

/// Reads all `PATRONI_*` variables but `PATRONI_CONFIGURATION`.
pub(super) fn read(env: &BTreeMap<String, String>, findings: &mut Findings) -> Node {
    let place = Place { file: Arc::from("environment"), line: None };
    let mut root = Node { content: Content::Mapping(Vec::new()), place };
    for (variable, value) in env {
        let Some(words) = variable.strip_prefix("PATRONI_") else { continue };
        if words == "CONFIGURATION" || value.is_empty() {
            continue;
        }
        let place = Place { file: format!("environment variable {variable}").into(), line: None };
        let Some((path, kind)) = path_of(words) else {
            findings.warning(&place, "", "means nothing: no key has this variable");
            continue;
        };
        match content(kind, value, &place) {
            Ok(content) => insert(&mut root, &path, Node { content, place }),
            Err(message) => findings.error(&place, &path, message),
        }
    }
    root
}

/// The key that a variable sets, by its name without `PATRONI_`.
fn path_of(words: &str) -> Option<(String, Kind)> {
    if let Some((_, path)) = NAMED.iter().find(|(name, _)| *name == words) {
        return Some(((*path).to_owned(), known::find(path)?.kind));
    }
    if let Some(key) = words.strip_prefix("POSTGRESQL_") {
        if let Some(tool) = key.strip_prefix("BIN_")
            && let Some(found) = known::in_section("postgresql.bin_name", tool)
        {
            return Some(found);
        }
        let key = key.to_lowercase();
        let has_one = POSTGRESQL.contains(&key.as_str());
        return has_one.then(|| known::in_section("postgresql", &key)).flatten();
    }
    for (start, section) in SECTIONS {
        if let Some(key) = words.strip_prefix(start) {
            // The one key of these sections that has no variable.
            return known::in_section(section, key).filter(|(path, kind)| {
                path != "restapi.thread_pool_size" && *kind != Kind::Section
            });
        }
    }
    OTHER_STORES.iter().find_map(|store| {
        let key = words.strip_prefix(store)?;
        let store = store.trim_end_matches('_').to_lowercase();
        Some((format!("{store}.{}", key.to_lowercase()), Kind::Any))
    })
}

/// The value as its key wants it: lists and mappings are YAML whose brackets may be left out.
fn content(kind: Kind, value: &str, place: &Place) -> Result<Content, String> {
    let text = match kind {
        Kind::HostList | Kind::Lines if !value.starts_with('-') && !value.contains('[') => {
            format!("[{value}]")
        }
        Kind::HostList | Kind::Lines => value.to_owned(),
        Kind::Mapping | Kind::Scalars if !value.trim_start().starts_with('{') => {
            format!("{{{value}}}")
        }
        Kind::Mapping | Kind::Scalars => value.to_owned(),
        _ => return Ok(Content::Text(value.to_owned())),
    };
    match yaml::parse(&text, &place.file) {
        Ok(node) => Ok(node.content),
        Err(error) => Err(format!("expected a YAML list or mapping: {error}")),
    }
}

/// Sets the value under a dotted path, and makes the mappings above it.
fn insert(root: &mut Node, path: &str, value: Node) {
    let place = value.place.clone();
    let mut wrapped = value;
    for key in path.rsplit('.') {
        let entry = Entry { key: key.to_owned(), place: place.clone(), value: wrapped };
        wrapped = Node { content: Content::Mapping(vec![entry]), place: place.clone() };
    }
    root.merge(wrapped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tree(variables: &[(&str, &str)]) -> (Value, Vec<String>) {
        let env = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut findings = Findings::default();
        let root = read(&env, &mut findings);
        (root.to_json(), findings.list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn variables_name_keys() {
        let (root, said) = tree(&[
            ("PATRONI_SCOPE", "shop"),
            ("PATRONI_LOGLEVEL", "DEBUG"),
            ("PATRONI_RESTAPI_USERNAME", "u"),
            ("PATRONI_RESTAPI_CONNECT_ADDRESS", "a:1"),
            ("PATRONI_RESTAPI_ALLOWLIST", "a, b"),
            ("PATRONI_RESTAPI_HTTP_EXTRA_HEADERS", "X-A: 1"),
            ("PATRONI_SUPERUSER_PASSWORD", "0123"),
            ("PATRONI_POSTGRESQL_BIN_PG_CTL", "my_ctl"),
            ("PATRONI_POSTGRESQL_BIN_DIR", "/bin"),
            ("PATRONI_ETCD3_HOSTS", "a:1,'b:2'"),
            ("PATRONI_RAFT_SELF_ADDR", "x"),
            ("PATRONI_NAME", ""),
            ("HOME", "/"),
        ]);
        assert_eq!(
            root,
            json!({
                "etcd3": {"hosts": ["a:1", "b:2"]},
                "log": {"level": "DEBUG"},
                "postgresql": {
                    "bin_dir": "/bin", "bin_name": {"pg_ctl": "my_ctl"},
                    "authentication": {"superuser": {"password": "0123"}},
                },
                "raft": {"self_addr": "x"},
                "restapi": {
                    "allowlist": ["a", "b"], "connect_address": "a:1",
                    "http_extra_headers": {"X-A": 1}, "authentication": {"username": "u"},
                },
                "scope": "shop",
            })
        );
        assert_eq!(said, Vec::<String>::new());
    }

    #[test]
    fn a_variable_without_a_key_is_said() {
        for name in ["PATRONI_POSTGRESQL_PG_HBA", "PATRONI_RESTAPI_THREAD_POOL_SIZE", "PATRONI_X"] {
            let (root, said) = tree(&[(name, "1")]);
            assert_eq!(root, json!({}));
            assert_eq!(said.len(), 1, "{name}");
        }
        let (_, said) = tree(&[("PATRONI_ETCD3_HOSTS", "[a")]);
        assert!(said[0].starts_with("environment variable PATRONI_ETCD3_HOSTS: error"), "{said:?}");
    }
}
