//! Bad input: each error names what is wrong, where, and what was expected; nothing panics.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use crate::bootstrap::pair;
use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::http::Request;
use crate::support::machine::Identity;
use crate::support::node::Node;

fn alone() -> Cluster {
    Cluster::prepare(Plan { nodes: 1, ..Plan::default() })
}

/// The agent ends by itself with exit code 1 and says all of `words`.
#[track_caller]
fn ends_saying(cluster: &mut Cluster, words: &[&str]) {
    let node = &mut cluster.nodes[0];
    let status = node.wait_for_exit(START_BOUND);
    let log = node.log();
    assert_eq!(status.code(), Some(1), "{status}: {log}");
    assert!(!log.contains("panicked"), "{log}");
    for word in words {
        assert!(log.contains(word), "nothing of {word:?}: {log}");
    }
}

/// The agent goes on, or tries again, and says all of `words`.
#[track_caller]
fn says(node: &Node, words: &[&str]) {
    for word in words {
        node.wait_for_log(word, START_BOUND);
    }
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[test]
fn yaml_that_does_not_parse() {
    let mut cluster = alone();
    fs::write(cluster.nodes[0].file(), "scope: test\nname: [\n").expect("a file");
    crate::support::machine::give_away(&cluster.nodes[0].file());
    cluster.nodes[0].start_with_the_file_as_it_is();
    ends_saying(&mut cluster, &["node.yml:"]);
}

#[test]
fn wrong_types_and_missing_keys_are_said_all_at_once() {
    let mut cluster = alone();
    cluster.nodes[0].set("/postgresql/listen", 7);
    cluster.nodes[0].set("/postgresql/data_dir", json!(null));
    cluster.nodes[0].set("/name", json!(null));
    cluster.nodes[0].start();
    ends_saying(&mut cluster, &["name", "postgresql.data_dir"]);
}

#[test]
fn no_file_at_all() {
    let mut cluster = alone();
    cluster.nodes[0].start_with_the_file_as_it_is();
    ends_saying(&mut cluster, &["node.yml"]);
}

#[test]
fn a_data_directory_that_belongs_to_somebody_else() {
    assert!(Identity::of_servers().is_some(), "run this test as root: only root can give away");
    let mut cluster = alone();
    let data = cluster.nodes[0].data_dir();
    fs::create_dir(&data).expect("a directory");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("our own");
    cluster.nodes[0].start();
    cluster.nodes[0].wait_for_log("data", START_BOUND);
    let place = data.display().to_string();
    says(&cluster.nodes[0], &[&place]);
}

#[test]
fn a_data_directory_that_others_may_read() {
    let mut cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    let standby = cluster.others(leader)[0];
    cluster.nodes[standby].stop();
    let data = cluster.nodes[standby].data_dir();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("our own");
    cluster.nodes[standby].start();
    says(&cluster.nodes[standby], &["ermission"]);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("our own");
    cluster.wait_until_whole(BOUND);
}

#[test]
fn a_port_of_the_api_that_is_taken() {
    let mut cluster = alone();
    let taken = cluster.nodes[0].rest();
    let _listener = std::net::TcpListener::bind(taken).expect("a port of ours");
    cluster.nodes[0].start();
    ends_saying(&mut cluster, &["restapi.listen", &taken.to_string()]);
}

#[test]
fn a_port_of_the_server_that_is_taken() {
    let mut cluster = alone();
    let taken = cluster.nodes[0].postgresql();
    let listener = std::net::TcpListener::bind(taken).expect("a port of ours");
    cluster.nodes[0].start();
    ends_saying(&mut cluster, &["bootstrap failed", "could not bind", "Address already in use"]);
    assert!(
        !cluster.nodes[0].data_dir().join("PG_VERSION").exists(),
        "a half-made cluster is left"
    );
    assert_eq!(crate::store::get(&cluster, "initialize"), None, "the claim is left");
    drop(listener);
    cluster.nodes[0].start();
    cluster.wait_for_leader(BOUND);
}

#[test]
fn programs_that_are_missing() {
    let mut cluster = alone();
    cluster.nodes[0].set("/postgresql/bin_dir", "/nowhere/bin");
    cluster.nodes[0].start();
    ends_saying(&mut cluster, &["postgresql.bin_dir", "/nowhere/bin"]);
}

#[test]
fn a_wrong_password_of_the_superuser() {
    let mut cluster = Cluster::start(Plan { nodes: 1, ..Plan::default() });
    cluster.nodes[0].stop();
    cluster.nodes[0].set("/postgresql/authentication/superuser/password", "forgotten");
    cluster.nodes[0].start();
    says(&cluster.nodes[0], &["password authentication failed"]);
    assert!(!cluster.nodes[0].log().contains("forgotten"), "the password is in the log");
}

#[test]
fn requests_that_are_no_requests() {
    let cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    let node = &cluster.nodes[leader];
    for path in ["/switchover", "/failover"] {
        for body in ["", "{", "[]", "7", "nonsense", "{\"leader\": 7}", "{\"candidate\": [1]}"] {
            let answer = node.send("POST", path, body);
            assert_eq!(answer.status, 400, "{path} {body:?}: {}", answer.body);
        }
    }
    for body in ["", "{", "[]", "7"] {
        for method in ["PATCH", "PUT"] {
            let answer = node.send(method, "/config", body);
            assert_eq!(answer.status, 400, "{method} {body:?}: {}", answer.body);
        }
    }
    let strange = "/switchover?%00%ff=//..";
    let answer =
        Request { within: Duration::from_secs(5), ..Request::get(strange) }.send(node.rest());
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(cluster.leader(), Some(leader));
    for node in &cluster.nodes {
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
}
