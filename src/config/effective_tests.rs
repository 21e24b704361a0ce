//! Rules of the merge of the node's `postgresql` section with the cluster's.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Floors;
use super::super::dynamic::tests::any_json;
use super::super::node::example_node;
use super::*;

fn dynamic(postgresql: Value) -> Dynamic {
    Dynamic::from_document(&json!({ "postgresql": postgresql }), Floors::Own).unwrap().0
}

fn with_local(section: Value) -> NodeConfig {
    let mut node = example_node();
    node.postgresql.local = SharedSettings::read(section.as_object().unwrap()).0;
    node
}

#[test]
fn controlled_parameters_have_defaults_and_go_on_the_command_line() {
    let merged = effective_postgresql(&example_node(), &Dynamic::default());
    let line = |name: &str| merged.command_line.iter().find(|(guc, _)| guc == name).cloned();
    for (name, value) in [
        ("listen_addresses", "10.0.0.1"),
        ("port", "5432"),
        ("cluster_name", "shop"),
        ("hot_standby", "on"),
        ("wal_level", "replica"),
        ("max_wal_senders", "10"),
        ("wal_log_hints", "on"),
    ] {
        assert_eq!(merged.parameters[name], value);
        assert_eq!(line(name), Some((name.to_owned(), value.to_owned())));
    }
    assert_eq!(merged.parameters["wal_keep_size"], "128MB");
    assert_eq!(line("wal_keep_size"), None);
    assert_eq!(merged.parameters["hba_file"], "/data/pg_hba.conf");
    assert!(merged.use_slots && !merged.use_pg_rewind && merged.warnings.is_empty());
}

#[test]
fn a_refused_value_gives_the_default_and_is_said() {
    let merged = effective_postgresql(
        &example_node(),
        &dynamic(json!({"parameters": {
            "max_connections": 10, "wal_level": "minimal", "hot_standby": "off", "port": 1,
            "max_wal_senders": "20", "wal_keep_segments": 4,
        }})),
    );
    assert_eq!(merged.parameters["max_connections"], "100");
    assert_eq!(merged.parameters["wal_level"], "replica");
    assert_eq!(merged.parameters["hot_standby"], "on");
    assert_eq!(merged.parameters["port"], "5432");
    assert_eq!(merged.parameters["max_wal_senders"], "20");
    assert_eq!(merged.parameters["wal_keep_size"], "64MB");
    assert_eq!(merged.warnings.len(), 4, "{:?}", merged.warnings);
}

#[test]
fn local_parameters_win_one_by_one_but_not_the_controlled_ones() {
    let node = with_local(json!({"parameters": {"Work_Mem": "8MB", "max_connections": 500}}));
    let merged = effective_postgresql(
        &node,
        &dynamic(json!({"parameters": {"work_mem": "4MB", "shared_buffers": "1GB"}})),
    );
    assert_eq!(merged.parameters["work_mem"], "8MB");
    assert_eq!(merged.parameters["shared_buffers"], "1GB");
    assert_eq!(merged.parameters["max_connections"], "100");
    assert!(merged.warnings[0].starts_with("postgresql.parameters.max_connections"));
}

#[test]
fn other_keys_are_replaced_as_a_whole_and_use_slots_is_the_clusters() {
    let node = with_local(json!({"pg_hba": ["local all all trust"], "use_slots": false}));
    let merged = effective_postgresql(
        &node,
        &dynamic(json!({"pg_hba": ["a", "b"], "use_pg_rewind": "on", "pg_ctl_timeout": 5})),
    );
    assert_eq!(merged.pg_hba.unwrap(), ["local all all trust"]);
    assert!(merged.use_pg_rewind && merged.use_slots);
    assert_eq!(merged.pg_ctl_timeout, Duration::from_secs(5));
}

#[test]
fn without_slots_commits_wait_for_one_standby() {
    let warned = |mode: &str, count: usize, use_slots: bool| {
        let document = json!({
            "synchronous_mode": mode,
            "synchronous_node_count": count,
            "postgresql": {"use_slots": use_slots},
        });
        let (dynamic, _) = Dynamic::from_document(&document, Floors::Own).unwrap();
        effective_postgresql(&with_local(json!({})), &dynamic).warnings
    };
    let [warning] = &warned("on", 2, false)[..] else { panic!("one warning") };
    assert!(warning.contains("synchronous_node_count: commits wait for 1"), "{warning}");
    for (mode, count, use_slots) in [("off", 2, false), ("on", 1, false), ("quorum", 2, true)] {
        assert_eq!(warned(mode, count, use_slots), [""; 0]);
    }
}

#[test]
fn pg_hba_lines_do_not_count_when_the_file_is_elsewhere() {
    let section = json!({"pg_hba": ["x"], "parameters": {"hba_file": "/etc/hba.conf"}});
    let merged = effective_postgresql(&with_local(section), &Dynamic::default());
    assert_eq!(merged.pg_hba, None);
    assert_eq!(merged.parameters["hba_file"], "/etc/hba.conf");
}

#[test]
fn what_the_agent_sets_itself_or_breaks_the_file_is_refused() {
    let node = with_local(json!({
        "parameters": {"primary_conninfo": "x", "a b": "1", "work_mem": "1\nfsync = off"},
        "recovery_conf": {"restore_command": "cp", "recovery_target_time": "now"},
    }));
    let merged = effective_postgresql(&node, &Dynamic::default());
    for name in ["primary_conninfo", "a b", "work_mem", "recovery_target_time"] {
        assert!(!merged.parameters.contains_key(name), "{name}");
    }
    assert_eq!(merged.parameters["restore_command"], "cp");
    assert_eq!(merged.warnings.len(), 4, "{:?}", merged.warnings);
}

#[test]
fn programs_have_a_directory_and_a_name() {
    let merged = effective_postgresql(
        &with_local(json!({"bin_dir": "/pg/bin", "bin_name": {"pg_ctl": "my_ctl"}})),
        &Dynamic::default(),
    );
    assert_eq!(merged.program(Program::PgCtl), PathBuf::from("/pg/bin/my_ctl"));
    assert_eq!(merged.program(Program::Initdb), PathBuf::from("/pg/bin/initdb"));
    let plain = effective_postgresql(&example_node(), &Dynamic::default());
    assert_eq!(plain.program(Program::Initdb), PathBuf::from("initdb"));
}

proptest! {
    #[test]
    fn no_section_is_a_panic(section in any_json(), local in any_json()) {
        let node = match local {
            Value::Object(_) => with_local(local),
            _ => example_node(),
        };
        let merged = effective_postgresql(&node, &dynamic(section));
        prop_assert_eq!(&merged.parameters["port"], "5432");
    }
}
