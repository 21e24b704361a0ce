//! How a cluster comes to be, and how nodes join it.

use std::process::Command;
use std::time::Duration;

use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::{Identity, Postgres};
use crate::support::node::{Node, STOP_BOUND};
use crate::support::sql;

/// What two nodes in one cluster are enough for.
pub fn pair() -> Plan {
    Plan { nodes: 2, ..Plan::default() }
}

fn system_id(node: &Node) -> String {
    let id = sql::value(node.postgresql(), "SELECT system_identifier FROM pg_control_system()");
    id.expect("the server answers")
}

#[test]
fn three_nodes_at_once_make_one_cluster() {
    let cluster = Cluster::start(Plan::default());
    let ids: Vec<String> = cluster.nodes.iter().map(system_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the nodes hold different clusters: {ids:?}");
    let ledger = cluster.open_ledger();
    let leader = cluster.wait_for_leader(START_BOUND);
    ledger.wait_for_writes(leader, 50, Duration::from_secs(20));
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("three nodes at once", std::time::Instant::now());
    report.assert_nothing_lost();
    let roles = "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolcanlogin";
    let roles = sql::value(cluster.nodes[leader].postgresql(), roles);
    assert_eq!(roles.as_deref(), Ok("postgres,replicator,rewinder"));
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE active";
    assert_eq!(sql::value(cluster.nodes[leader].postgresql(), slots).as_deref(), Ok("2"));
}

#[test]
fn a_node_is_added_to_a_running_cluster() {
    let mut cluster = Cluster::start(pair());
    let ledger = cluster.open_ledger();
    cluster.add_node();
    cluster.nodes[2].start();
    let leader = cluster.wait_until_whole(START_BOUND);
    let since = std::time::Instant::now();
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("a node is added", since);
    report.assert_nothing_lost();
    let gap = report.gap();
    assert!(gap < Duration::from_secs(2), "writes stood still for {gap:?} during the copy");
    let count = "SELECT count(*) FROM ledger";
    let expected = sql::value(cluster.nodes[leader].postgresql(), count);
    let bound = Duration::from_secs(10);
    crate::support::wait::wait_until("the new node has every row", bound, || {
        sql::value(cluster.nodes[2].postgresql(), count) == expected
    });
}

/// Makes a data directory as somebody without an agent would.
fn initdb(node: &Node) {
    let mut command = Command::new(Postgres::Installed.bin_dir().join("initdb"));
    let password = node.dir.join("password");
    crate::support::machine::write_file(&password, sql::SUPERUSER_PASSWORD);
    command.arg("-D").arg(node.data_dir()).args(["-U", "postgres", "-A", "scram-sha-256"]);
    command.arg("--pwfile").arg(&password).args(["-E", "UTF8", "--locale=C", "--no-sync"]);
    run_as_owner(command);
}

fn run_as_owner(mut command: Command) {
    use std::os::unix::process::CommandExt;
    if let Some(Identity { uid, gid }) = Identity::of_servers() {
        command.uid(uid).gid(gid);
    }
    let output = command.output().expect("PostgreSQL's own program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_standalone_server_becomes_the_first_leader() {
    let mut cluster = Cluster::prepare(pair());
    initdb(&cluster.nodes[0]);
    let mut write = Command::new(Postgres::Installed.bin_dir().join("postgres"));
    write.arg("--single").arg("-D").arg(cluster.nodes[0].data_dir()).arg("postgres");
    // Accounts of an existing server are its owner's to make; the agent takes them as they are.
    let replication = sql::REPLICATION_PASSWORD;
    let statements = format!(
        "CREATE TABLE mine AS SELECT 42 AS answer\n\
         CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{replication}'\n"
    );
    write.stdin(std::fs::File::from(statement(&statements)));
    run_as_owner(write);
    cluster.nodes[0].start();
    cluster.wait_for_leader(START_BOUND);
    cluster.nodes[1].start();
    let leader = cluster.wait_until_whole(START_BOUND);
    assert_eq!(leader, 0, "the node that has the data leads");
    for node in &cluster.nodes {
        let kept = sql::value(node.postgresql(), "SELECT answer FROM mine");
        assert_eq!(kept.as_deref(), Ok("42"), "{} has the user's data", node.name);
    }
}

/// Something to read from.
fn statement(text: &str) -> std::os::fd::OwnedFd {
    use std::io::Write;
    let (read, mut write) = std::io::pipe().expect("a pipe");
    write.write_all(text.as_bytes()).expect("a short text fits");
    read.into()
}

#[test]
fn data_of_another_cluster_is_refused_and_left_alone() {
    let mut cluster = Cluster::prepare(pair());
    cluster.nodes[0].start();
    cluster.wait_for_leader(START_BOUND);
    initdb(&cluster.nodes[1]);
    let control = cluster.nodes[1].data_dir().join("global/pg_control");
    let before = std::fs::read(&control).expect("a control file");
    cluster.nodes[1].start();
    let status = cluster.nodes[1].wait_for_exit(START_BOUND);
    assert_eq!(status.code(), Some(1), "{}", cluster.nodes[1].log_end());
    let log = cluster.nodes[1].log();
    let ours = system_id(&cluster.nodes[0]);
    assert!(log.contains("system identifier") && log.contains(&ours), "{log}");
    assert_eq!(std::fs::read(&control).expect("still there"), before);
}

#[test]
fn a_node_comes_back_with_its_old_data_to_a_new_agent() {
    let mut cluster = Cluster::start(pair());
    let leader = cluster.wait_for_leader(START_BOUND);
    let standby = cluster.others(leader)[0];
    cluster.nodes[standby].stop();
    // What the agent keeps beside the data is gone, as after a move to another machine.
    let state = cluster.nodes[standby].dir.join("data.pgbaton");
    let _ = std::fs::remove_dir_all(state);
    let marker = cluster.nodes[standby].data_dir().join("not-copied");
    std::fs::write(&marker, "").expect("a file");
    cluster.nodes[standby].start();
    cluster.wait_until_whole(START_BOUND);
    assert!(marker.exists(), "the data directory was copied again");
}

#[test]
fn a_node_that_is_told_to_stop_early_leaves_no_half_made_cluster() {
    let mut cluster = Cluster::prepare(pair());
    cluster.nodes[0].start();
    cluster.nodes[0].wait_for_log("initdb", START_BOUND);
    cluster.nodes[0].kill_host();
    // The other may have to wait until the first one's claim has run out.
    cluster.nodes[1].start();
    let another = cluster.wait_for_another_leader(0, START_BOUND + STOP_BOUND);
    assert_eq!(another, 1);
    cluster.nodes[0].start();
    let ids = || cluster.nodes.iter().map(system_id).collect::<Vec<_>>();
    cluster.wait_until_whole(START_BOUND);
    let ids = ids();
    assert_eq!(ids[0], ids[1], "both belong to one cluster");
}

#[test]
fn the_users_programs_are_called() {
    let mut cluster = Cluster::prepare(pair());
    let calls = cluster.dir().join("calls");
    crate::support::machine::write_file(&calls, "");
    let script = cluster.dir().join("call");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n", calls.display());
    crate::support::machine::write_file(&script, &text);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).expect("our own file");
    let script = script.display().to_string();
    for node in &mut cluster.nodes {
        node.set("/bootstrap/post_bootstrap", format!("{script} made"));
        for event in ["on_start", "on_stop", "on_role_change"] {
            node.set(&format!("/postgresql/callbacks/{event}"), format!("{script} {}", node.name));
        }
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    let heard = |line: &str| std::fs::read_to_string(&calls).is_ok_and(|text| text.contains(line));
    let wait_for = |line: String| {
        let what = format!("the user's program is called with {line:?}");
        crate::support::wait::wait_until(&what, STOP_BOUND, || heard(&line));
    };
    wait_for("made ".to_owned());
    let (first, other) = (&cluster.nodes[leader], &cluster.nodes[cluster.others(leader)[0]]);
    wait_for(format!("{} on_start primary test", first.name));
    wait_for(format!("{} on_start replica test", other.name));
    let body = format!("{{\"leader\": \"{}\"}}", first.name);
    let answer = first.send("POST", "/switchover", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    wait_for(format!("{} on_role_change primary test", other.name));
    wait_for(format!("{} on_role_change replica test", first.name));
}
