//! Rules of loading that no single golden file shows.

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::super::{HostPort, Severity};
use super::*;

const NODE: &str = "
scope: shop
name: a
restapi: {listen: 10.0.0.1:8008}
etcd3: {hosts: [10.0.0.9:2379]}
postgresql:
  listen: 10.0.0.1:5432
  data_dir: /data
  authentication:
    superuser: {username: postgres, password: a}
    replication: {username: replicator, password: b}
";

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_text(text: &[u8], variables: &[(&str, &str)]) -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.yml");
    fs::write(&file, text).unwrap();
    load(Some(&file), &env(variables))
}

#[track_caller]
fn good(loaded: Loaded) -> NodeConfig {
    let said: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{said:#?}"))
}

#[test]
fn a_short_file_takes_the_defaults() {
    let loaded = load_text(NODE.as_bytes(), &[("HOME", "/home/pg")]);
    assert_eq!(loaded.findings, []);
    let node = good(loaded);
    assert_eq!(node.key_prefix(), "/service/shop/");
    assert_eq!(node.restapi.api_url(), "http://10.0.0.1:8008/patroni");
    assert_eq!(node.etcd.endpoints, ["http://10.0.0.9:2379"]);
    assert_eq!(node.postgresql.connect_address.to_string(), "10.0.0.1:5432");
    assert_eq!(node.postgresql.pgpass, Path::new("/home/pg/pgpass"));
    assert_eq!(node.state_dir(), Path::new("/data.pgbaton"));
    assert_eq!(node.bootstrap, None);
}

#[test]
fn the_environment_beats_the_file() {
    let variables = [("PATRONI_NAME", "b"), ("PATRONI_POSTGRESQL_LISTEN", "10.0.0.2:5433")];
    let node = good(load_text(NODE.as_bytes(), &variables));
    assert_eq!(node.name.as_str(), "b");
    assert_eq!(node.postgresql.port, 5433);
    assert_eq!(node.scope, "shop");
}

#[test]
fn the_files_of_a_directory_merge_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("00-node.yml", &format!("{NODE}  pgpass: /x\ntags: {{dc: west}}\n"));
    write("10-more.yaml", "name: c\npostgresql: {pgpass: null, port_is_not: here}\ntags:\n");
    write("ignored.txt", "name: z\n");
    let loaded = load(Some(directory.path()), &env(&[("HOME", "/h")]));
    assert_eq!(loaded.findings.len(), 1);
    assert!(loaded.findings[0].file.ends_with("10-more.yaml"));
    let node = good(loaded);
    assert_eq!(node.name.as_str(), "c");
    assert_eq!(node.postgresql.pgpass, Path::new("/h/pgpass"));
    assert!(node.tags.custom.is_empty());
    assert_eq!(node.source.files.len(), 2);
}

#[test]
fn one_variable_can_hold_it_all_and_then_counts_alone() {
    let variables = [("PATRONI_CONFIGURATION", NODE), ("PATRONI_NAME", "b")];
    assert_eq!(good(load(None, &env(&variables))).name.as_str(), "a");
    // A file that exists comes first.
    let node = good(load_text(NODE.replace("name: a", "name: f").as_bytes(), &variables));
    assert_eq!(node.name.as_str(), "b");
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_why() {
    for (text, line, part) in [
        (&b"a: [\n"[..], Some(2), "is not valid YAML"),
        (b"- a\n", Some(1), "expected a mapping of keys, found a list"),
        (b"", Some(1), "expected a mapping of keys, found nothing"),
        (b"\xff\xfe", None, "expected UTF-8"),
    ] {
        let loaded = load_text(text, &[]);
        assert_eq!(loaded.config, None);
        let [finding] = &loaded.findings[..] else { panic!("{:?}", loaded.findings) };
        assert_eq!((finding.severity, finding.line), (Severity::Error, line));
        assert!(finding.message.contains(part), "{finding}");
    }
    let missing = load(Some(Path::new("/nowhere/node.yml")), &env(&[]));
    assert!(missing.findings[0].to_string().contains("does not exist"));
}

#[test]
fn the_tool_needs_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ctl.yml");
    fs::write(&file, "etcd3: {host: e}\nctl: {authentication: {username: u, password: p}}\n")
        .unwrap();
    let tool = load_tool(Some(&file), &env(&[])).config.unwrap();
    assert_eq!(tool.etcd.endpoints, ["http://e:2379"]);
    assert_eq!(tool.ctl.authentication.unwrap().username, "u");
    assert_eq!(tool.scope, None);
}

#[test]
fn the_older_layout_of_accounts_is_understood() {
    let text = NODE.replace("  authentication:\n    superuser", "  superuser").replace(
        "    replication: {username: replicator, password: b}",
        "  replication: {username: replicator}\n  pg_rewind: {username: r}\n  name: old",
    );
    let node = good(load_text(text.replace("\nname: a", "").as_bytes(), &[]));
    assert_eq!(node.name.as_str(), "old");
    assert_eq!(node.postgresql.authentication.rewind.unwrap().username, "r");
    assert_eq!(node.postgresql.local.use_pg_rewind, Some(true));
}

#[test]
fn bootstrap_is_ready_to_use() {
    let text = format!(
        "{NODE}bootstrap:
  dcs: {{ttl: 5, loop_wait: 1, retry_timeout: 2}}
  initdb: [data-checksums, {{encoding: UTF8}}, {{wal-segsize: 32}}]
  pg_hba: [host all all all scram-sha-256]
  post_init: /bin/say 'a b'
"
    );
    let bootstrap = good(load_text(text.as_bytes(), &[])).bootstrap.unwrap();
    assert_eq!(json!(bootstrap.dcs), json!({"ttl": 5, "loop_wait": 1, "retry_timeout": 2}));
    assert_eq!(bootstrap.initdb, ["--data-checksums", "--encoding=UTF8", "--wal-segsize=32"]);
    assert_eq!(bootstrap.post_bootstrap.unwrap(), ["/bin/say", "a b"]);
}

#[test]
fn a_listen_address_without_a_host_means_all() {
    let text = NODE
        .replace("{listen: 10.0.0.1:8008}", "{listen: ':8008', connect_address: 10.0.0.1:8008}");
    let node = good(load_text(text.as_bytes(), &[]));
    assert_eq!(node.restapi.listen, HostPort { host: "*".to_owned(), port: 8008 });
}

#[test]
fn a_password_of_the_wrong_type_is_not_shown() {
    let text =
        NODE.replace("password: a", "password: [hunter2]").replace("password: b", "password: 0777");
    for finding in load_text(text.as_bytes(), &[]).findings {
        let said = finding.to_string();
        assert!(
            !said.contains("hunter2") && !said.contains("777") && !said.contains("511"),
            "{said}"
        );
    }
}

/// Pieces of a configuration, to be put together in odd ways.
fn pieces() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "scope",
        "name",
        "restapi",
        "listen",
        "postgresql",
        "authentication",
        "superuser",
        "etcd3",
        "hosts",
        "host",
        "port",
        "url",
        "bootstrap",
        "dcs",
        "initdb",
        "pg_hba",
        "parameters",
        "tags",
        "ttl",
        "loop_wait",
        "log",
        "level",
        "callbacks",
        "on_start",
        "bin_name",
        "data_dir",
        "username",
        "password",
        "connect_address",
        "maximum_lag_on_failover",
        "standby_cluster",
    ]);
    let value = prop_oneof![
        "\\PC{0,10}",
        "[-+0-9:._xeo]{0,12}",
        prop::sample::select(vec![
            "",
            "[]",
            "{}",
            "on",
            "*:5432",
            "[::1]:1",
            "a:b:c",
            "http://a",
            "~",
            "&a x",
            "*a",
            "'x",
            "[a, b]",
            "{a: b}",
            "- a",
            "12:30",
            "0644",
            "1e400",
            "-.inf",
            "99999999999999999999",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((0usize..4, key, value), 0..14).prop_map(|lines| {
        let line = |(indent, key, value)| format!("{}{key}: {value}\n", "  ".repeat(indent));
        lines.into_iter().map(line).collect()
    })
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let loaded = load_text(&bytes, &[]);
        prop_assert_eq!(loaded.config.is_none(), loaded.findings.iter().any(Finding::is_error));
    }

    #[test]
    fn no_text_is_a_panic(text in pieces(), whole in any::<bool>()) {
        let text = if whole { format!("{NODE}{text}") } else { text };
        let loaded = load_text(text.as_bytes(), &[]);
        prop_assert_eq!(loaded.config.is_none(), loaded.findings.iter().any(Finding::is_error));
    }

    #[test]
    fn no_variable_is_a_panic(
        name in prop::sample::select(vec![
            "SCOPE", "CONFIGURATION", "RESTAPI_ALLOWLIST", "ETCD3_HOSTS", "LOG_LOGGERS",
            "POSTGRESQL_LISTEN", "POSTGRESQL_BIN_", "SUPERUSER_", "RAFT_", "ETCD3_PORT",
        ]),
        value in "\\PC{0,20}"
    ) {
        let variable = format!("PATRONI_{name}");
        let loaded = load_text(NODE.as_bytes(), &[(&variable, &value)]);
        prop_assert_eq!(loaded.config.is_none(), loaded.findings.iter().any(Finding::is_error));
    }
}

#[test]
fn how_often_the_server_is_asked_for_its_statistics() {
    let interval = |line: &str| {
        let node = good(load_text(format!("{NODE}{line}").as_bytes(), &[]));
        node.pgbaton.statistics_interval.as_secs()
    };
    assert_eq!(interval(""), 10);
    assert_eq!(interval("pgbaton: {statistics_interval: 0}"), 0);
    assert_eq!(interval("pgbaton: {statistics_interval: 1min}"), 60);
    let refused =
        load_text(format!("{NODE}pgbaton: {{statistics_interval: often}}").as_bytes(), &[]);
    let said: Vec<_> = refused.findings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|one| one.contains("pgbaton.statistics_interval")), "{said:?}");
}
