//! What the tags `clonefrom`, `replicatefrom` and `nostream` change, on real servers.

use serde_json::json;

use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::sql;
use crate::support::wait::wait_until;

/// Who streams from a node's server, by name.
fn streams(cluster: &Cluster, from: usize) -> Vec<String> {
    let names = "SELECT application_name FROM pg_stat_replication
                 WHERE state = 'streaming' ORDER BY application_name";
    let rows = sql::query(cluster.nodes[from].postgresql(), names).unwrap_or_default();
    rows.into_iter().flatten().collect()
}

fn slots(cluster: &Cluster, of: usize) -> Vec<String> {
    let names = "SELECT slot_name FROM pg_replication_slots ORDER BY slot_name";
    let rows = sql::query(cluster.nodes[of].postgresql(), names).unwrap_or_default();
    rows.into_iter().flatten().collect()
}

#[test]
fn a_member_is_copied_from_one_standby_and_streams_through_it() {
    let mut cluster = Cluster::prepare(Plan { nodes: 2, ..Plan::default() });
    for node in &mut cluster.nodes {
        node.set("/tags/clonefrom", true);
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    let between = cluster.others(leader)[0];
    let feeder = cluster.nodes[between].name.clone();
    cluster.add_node();
    let fed = 2;
    let name = cluster.nodes[fed].name.clone();
    let slot = name.replace('-', "_");
    cluster.nodes[fed].set("/tags/replicatefrom", feeder.as_str());
    cluster.nodes[fed].start();
    wait_until("the third one streams through the second", BOUND, || {
        streams(&cluster, between) == [name.as_str()]
    });
    let log = cluster.nodes[fed].log();
    assert!(log.contains(&format!("copy a standby's data: {feeder}")), "{log}");
    wait_until("its slot is where it streams from, and with the leader", BOUND, || {
        slots(&cluster, between).contains(&slot) && slots(&cluster, leader).contains(&slot)
    });
    // Nobody uses the leader's one, and all the same it does not keep log for ever.
    let keeps = format!("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'");
    let keeps = || sql::value(cluster.nodes[leader].postgresql(), &keeps).expect("a slot");
    let before = keeps();
    for _ in 0..3 {
        let server = cluster.nodes[leader].postgresql();
        sql::run(server, "SELECT pg_logical_emit_message(true, 'test', 'one more segment')");
        sql::run(server, "SELECT pg_switch_wal()");
    }
    wait_until("the leader's slot moves on", BOUND, || keeps() != before);
    sql::run(cluster.nodes[leader].postgresql(), "CREATE TABLE passed_on AS SELECT 1 AS n");
    wait_until("what the leader writes arrives through it", BOUND, || {
        sql::value(cluster.nodes[fed].postgresql(), "SELECT n FROM passed_on").is_ok()
    });
    let shown = cluster.nodes[leader].ctl(&["topology"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("  + {name}")), "{shown}");

    // Without the one in between, the leader feeds it, and takes its slot back.
    cluster.nodes[between].kill_host();
    wait_until("the third one streams from the leader", BOUND, || {
        streams(&cluster, leader) == [name.as_str()]
    });
}

#[test]
fn a_member_tagged_nostream_replays_the_archive_alone() {
    let mut cluster = Cluster::prepare(Plan::default());
    let archive = cluster.dir().join("archive");
    crate::support::machine::make_dir(&archive);
    let archive = archive.display();
    let fed = 2;
    for node in &mut cluster.nodes {
        let archived = format!("cp %p {archive}/%f");
        node.set("/postgresql/parameters/archive_mode", "on");
        node.set("/postgresql/parameters/archive_command", archived);
        let restored = format!("cp {archive}/%f %p");
        node.set("/postgresql/recovery_conf", json!({"restore_command": restored}));
    }
    cluster.nodes[fed].set("/tags/nostream", true);
    cluster.nodes[fed].set("/tags/nofailover", true);
    for node in &mut cluster.nodes {
        node.start();
    }
    let leader = cluster.wait_for_leader(START_BOUND);
    let name = cluster.nodes[fed].name.clone();
    cluster.nodes[fed].wait_for_log("from the archive: tagged nostream", START_BOUND);
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "CREATE TABLE archived AS SELECT 1 AS n");
    sql::run(server, "SELECT pg_switch_wal()");
    wait_until("what was archived is replayed", BOUND, || {
        sql::value(cluster.nodes[fed].postgresql(), "SELECT n FROM archived").is_ok()
    });
    assert!(!streams(&cluster, leader).contains(&name), "it streams from nobody");
    assert!(!slots(&cluster, leader).contains(&name.replace('-', "_")), "and needs no slot");
}
