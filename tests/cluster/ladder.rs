//! The rungs by which a server comes back that cannot go on as it is: rewound, repeated, set aside, copied
//! anew; and what it gave up, which is written down.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::rejoin::diverged;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::write_file;
use crate::support::sql;
use crate::support::wait::{wait_for, wait_until};

/// What a node has kept aside.
fn kept_aside(cluster: &Cluster, node: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&cluster.nodes[node].dir).expect("its folder");
    let is_kept = |path: &PathBuf| path.to_string_lossy().contains("data.diverged-");
    entries.flatten().map(|entry| entry.path()).filter(is_kept).collect()
}

/// What a node says that it gave up last.
#[track_caller]
fn lost(cluster: &Cluster, node: usize) -> Value {
    let document = cluster.nodes[node].get("/patroni").expect("it answers").json();
    let lost = document["pgbaton"]["lost"].as_array().cloned().unwrap_or_default();
    lost.last().cloned().unwrap_or_else(|| panic!("nothing was lost: {document}"))
}

/// It was the bytes of one table, and all of them; the store says so, too.
#[track_caller]
fn assert_lost(cluster: &Cluster, node: usize, step: &str) {
    let lost = lost(cluster, node);
    let bytes = lost["bytes"].as_u64().expect("a number");
    assert!(bytes > 10_000 && bytes < 16 << 20, "{lost}");
    assert_eq!((&lost["step"], &lost["exact"]), (&json!(step), &json!(true)), "{lost}");
    assert!(lost["from"].is_string() && lost["at"].is_string(), "{lost}");
    println!("{step}: {bytes} bytes were lost: {lost}");
    cluster.nodes[node].wait_for_log("gives up log that the cluster does not have", BOUND);
    let key = format!("losses/{}", cluster.nodes[node].name);
    let stored = wait_for("the store has it", BOUND, || crate::store::get(cluster, &key));
    let stored: Value = serde_json::from_str(&stored).expect("JSON");
    assert_eq!(stored[0]["bytes"].as_u64(), Some(bytes), "{stored}");
}

#[test]
fn what_a_rewound_primary_lost_is_written_down() {
    let (mut cluster, former) = diverged(Plan::default());
    cluster.nodes[former].start();
    cluster.wait_until_whole(BOUND);
    assert_lost(&cluster, former, "rewind");
    assert_eq!(kept_aside(&cluster, former), Vec::<PathBuf>::new());
}

#[test]
fn a_diverged_primary_without_checksums_and_hints_is_set_aside_and_copied() {
    let dcs = json!({ "postgresql": { "parameters": { "wal_log_hints": "off" } } });
    let (mut cluster, former) = diverged(Plan { dcs, checksums: false, ..Plan::default() });
    let since = Instant::now();
    cluster.nodes[former].start();
    cluster.wait_until_whole(START_BOUND);
    println!("set aside and copied anew: whole after {:?}", since.elapsed());
    cluster.nodes[former].wait_for_log("neither data checksums nor wal_log_hints", BOUND);
    assert_lost(&cluster, former, "set aside");
    let kept = kept_aside(&cluster, former);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].join("global/pg_control").exists());
    let server = cluster.nodes[former].postgresql();
    assert!(sql::value(server, "SELECT count(*) FROM lost").is_err(), "it has what was lost");
    assert_eq!(sql::value(server, "SELECT n FROM kept").as_deref(), Ok("1"));
}

#[test]
fn a_crashed_primary_whose_own_log_is_gone_is_set_aside_and_copied() {
    let (mut cluster, former) = diverged(Plan::default());
    let pg_wal = cluster.nodes[former].data_dir().join("pg_wal");
    for entry in std::fs::read_dir(pg_wal).expect("its log").flatten() {
        if entry.file_type().expect("a type").is_file() {
            std::fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
    let since = Instant::now();
    cluster.nodes[former].start();
    cluster.wait_until_whole(START_BOUND);
    println!("recovered in vain, set aside and copied anew: whole after {:?}", since.elapsed());
    cluster.nodes[former].wait_for_log("starts failed", BOUND);
    assert_eq!(kept_aside(&cluster, former).len(), 1);
    let lost = lost(&cluster, former);
    assert_eq!((&lost["step"], &lost["exact"]), (&json!("set aside"), &json!(false)), "{lost}");
}

/// Stands in for `pg_rewind`: the first time it does all of it but the control file, and hangs there.
fn rewind_that_hangs(real: &str, mark: &str) -> String {
    format!(
        "#!/bin/sh\n\
         if [ -e {mark} ]; then exec {real} \"$@\"; fi\n\
         while [ \"$1\" != --target-pgdata ]; do set -- \"$@\" \"$1\"; shift; done\n\
         control=\"$2/global/pg_control\"\n\
         cp \"$control\" {mark}.control\n\
         {real} \"$@\" || exit 1\n\
         cp {mark}.control \"$control\"\n\
         touch {mark}\n\
         exec sleep 1000\n"
    )
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_a_rewind_comes_back() {
    let (mut cluster, former) = diverged(Plan::default());
    let node = &mut cluster.nodes[former];
    let (mark, script) = (node.dir.join("rewind-mark"), node.dir.join("pg_rewind"));
    let bin_dir = PathBuf::from(node.config["postgresql"]["bin_dir"].as_str().expect("a path"));
    let real = bin_dir.join("pg_rewind");
    let text = rewind_that_hangs(&real.display().to_string(), &mark.display().to_string());
    write_file(&script, &text);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).expect("ours");
    node.config["postgresql"]["bin_name"] = json!({ "pg_rewind": script.display().to_string() });
    node.start();
    wait_until("the rewind has changed everything but the control file", BOUND, || mark.exists());
    node.kill_host();
    let journal = node.dir.join("data.pgbaton/journal.json");
    let journal = std::fs::read_to_string(journal).expect("a journal");
    assert!(journal.contains("\"unfinished\":\"rewind\""), "{journal}");
    node.start();
    cluster.wait_until_whole(START_BOUND);
    cluster.nodes[former].wait_for_log("repeat the rewind that broke off", BOUND);
    let server = cluster.nodes[former].postgresql();
    assert!(sql::value(server, "SELECT count(*) FROM lost").is_err(), "it has what was lost");
    assert_eq!(sql::value(server, "SELECT n FROM after").as_deref(), Ok("1"));
    // What has overwritten its log may leave nothing to rewind by; then the next rung is taken.
    let kept = kept_aside(&cluster, former).len();
    let step = if kept > 0 { "set aside" } else { "rewind" };
    assert_lost(&cluster, former, step);
    println!("killed in the middle of a rewind: {kept} old directories kept aside");
}

#[test]
fn a_standby_whose_log_was_recycled_copies_itself_anew() {
    let parameters = json!({ "wal_keep_size": "16MB", "max_wal_size": "32MB" });
    let dcs = json!({ "postgresql": { "use_slots": false, "parameters": parameters } });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    let away = cluster.others(leader)[0];
    cluster.nodes[away].kill_host();
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "CREATE TABLE later AS SELECT 1 AS n");
    for _ in 0..6 {
        sql::run(server, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000))");
        sql::run(server, "SELECT pg_switch_wal()");
        sql::run(server, "CHECKPOINT");
    }
    let since = Instant::now();
    cluster.nodes[away].start();
    cluster.nodes[away].wait_for_log("the log that it needs is gone", START_BOUND);
    cluster.wait_until_whole(START_BOUND);
    println!("a standby whose log was recycled: whole after {:?}", since.elapsed());
    let server = cluster.nodes[away].postgresql();
    assert_eq!(sql::value(server, "SELECT n FROM later").as_deref(), Ok("1"));
}

const SLOTS: &str =
    "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";

/// Changes the cluster's configuration through the agent.
#[track_caller]
fn configure(cluster: &Cluster, node: usize, more: &str) {
    let output = cluster.nodes[node].ctl(&["edit-config", "--force", "-s", more]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_consumer_of_a_permanent_slot_goes_on_after_a_failover() {
    let dcs = json!({ "slots": { "archive": { "type": "physical" } } });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    let place = "SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = 'archive'";
    for node in 0..cluster.nodes.len() {
        let server = cluster.nodes[node].postgresql();
        wait_until("every node has the slot", BOUND, || sql::value(server, place).is_ok());
    }
    // The consumer has got everything up to here.
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 100000))");
    sql::run(server, "SELECT pg_switch_wal()");
    let moved = "SELECT end_lsn::text FROM pg_replication_slot_advance('archive', \
                 pg_current_wal_flush_lsn())";
    let reached = sql::value(server, moved).expect("it is there");
    for standby in cluster.others(leader) {
        let follows = format!(
            "SELECT restart_lsn >= '{reached}'::pg_lsn FROM pg_replication_slots \
             WHERE slot_name = 'archive'"
        );
        let server = cluster.nodes[standby].postgresql();
        wait_until("the standbys' slots move on", BOUND, || {
            sql::value(server, &follows).as_deref() == Ok("t")
        });
    }
    cluster.nodes[leader].kill_host();
    let now = cluster.wait_for_another_leader(leader, BOUND);
    let server = cluster.nodes[now].postgresql();
    let kept = format!(
        "SELECT restart_lsn <= pg_current_wal_lsn() AND restart_lsn >= '{reached}'::pg_lsn \
         AND wal_status <> 'lost' FROM pg_replication_slots WHERE slot_name = 'archive'"
    );
    assert_eq!(sql::value(server, &kept).as_deref(), Ok("t"), "{:?}", sql::query(server, place));
    println!("permanent slot: {reached} before, {:?} on the new leader", sql::value(server, place));
    cluster.nodes[leader].start();
    cluster.wait_until_whole(START_BOUND);
    // The former primary may lead again: it has the others' slots, too, and moves them on.
    let others = cluster.others(leader).into_iter();
    let mut wanted: Vec<String> =
        others.map(|other| cluster.nodes[other].name.replace('-', "_")).collect();
    wanted.push("archive".to_owned());
    wanted.sort_unstable();
    let server = cluster.nodes[leader].postgresql();
    wait_until("it has the slots that it will need", BOUND, || {
        sql::value(server, SLOTS).is_ok_and(|slots| slots == wanted.join(","))
    });
}

/// A member that is behind finds its log at the next leader, too.
#[test]
fn a_member_that_is_behind_finds_its_log_at_the_next_leader() {
    let settings = json!({ "wal_keep_size": 0, "max_wal_size": "64MB", "min_wal_size": "32MB" });
    let dcs = json!({ "postgresql": { "parameters": settings } });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    let [next, behind] = cluster.others(leader)[..] else { panic!("three nodes") };
    let slot = cluster.nodes[behind].name.replace('-', "_");
    let kept = format!(
        "SELECT pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), restart_lsn)::bigint \
         FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    let server = |of: usize| cluster.nodes[of].postgresql();
    wait_until("the standby has its slot", BOUND, || sql::value(server(next), &kept).is_ok());
    let copies =
        |cluster: &Cluster| cluster.nodes[behind].log().matches("copy the leader's data").count();
    let before = copies(&cluster);
    let receiver = cluster.nodes[behind].receiver();
    nix::sys::signal::kill(receiver, nix::sys::signal::Signal::SIGSTOP).expect("ours");
    for _ in 0..8 {
        sql::run(server(leader), "SELECT pg_logical_emit_message(true, 'fill', 'x')");
        sql::run(server(leader), "SELECT pg_switch_wal()");
    }
    sql::run(server(leader), "CHECKPOINT");
    let reached = sql::value(server(leader), "SELECT pg_current_wal_lsn()").expect("it runs");
    let has_all = format!("SELECT pg_last_wal_replay_lsn() >= '{reached}'::pg_lsn");
    wait_until("the other standby has it all", BOUND, || {
        sql::value(server(next), &has_all).as_deref() == Ok("t")
    });
    // Restart points, after which a standby removes what nobody needs.
    for _ in 0..3 {
        sql::run(server(next), "CHECKPOINT");
    }
    let bytes = sql::value(server(next), &kept).expect("a slot").parse::<i64>().expect("a number");
    assert!(bytes > 100 << 20, "only {bytes} bytes are kept for the one that is behind");
    cluster.nodes[leader].kill_host();
    nix::sys::signal::kill(receiver, nix::sys::signal::Signal::SIGCONT).expect("ours");
    let now = cluster.wait_for_another_leader(leader, BOUND);
    assert_eq!(now, next, "the other one is far behind");
    let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait_until("the one that was behind streams", BOUND, || {
        sql::value(cluster.nodes[now].postgresql(), streams).as_deref() == Ok("1")
    });
    assert_eq!(copies(&cluster), before, "its log was gone");
    println!("a member behind: {bytes} bytes of log kept at the standby that leads next");
}

#[test]
fn a_full_table_of_slots_keeps_nobody_from_being_promoted() {
    let parameters = json!({ "max_replication_slots": 4 });
    let dcs = json!({ "member_slots_ttl": 0, "postgresql": { "parameters": parameters } });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    cluster.wait_until_whole(START_BOUND);
    for standby in cluster.others(leader) {
        let own = "SELECT pg_create_physical_replication_slot('own_' || n) FROM generate_series(1, 4) AS n";
        sql::run(cluster.nodes[standby].postgresql(), own);
    }
    cluster.nodes[leader].kill_host();
    let now = cluster.wait_for_another_leader(leader, BOUND);
    wait_until("the new leader takes writes", BOUND, || {
        let write = "CREATE TABLE IF NOT EXISTS after AS SELECT 1 AS n";
        sql::query(cluster.nodes[now].postgresql(), write).is_ok()
    });
    let log = cluster.nodes[now].log();
    assert!(log.contains("failed step=\"arrange slots\""), "the slots were to be full: {log}");
    println!("full table of slots: promoted all the same");
}

/// The default `wal_level` is too low for it.
#[test]
fn a_logical_slot_that_cannot_be_made_holds_up_no_other_side_work() {
    let slot = json!({ "type": "logical", "database": "postgres", "plugin": "test_decoding" });
    let dcs = json!({ "slots": { "cdc": slot } });
    let cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_for_leader(START_BOUND);
    cluster.nodes[leader].wait_for_log("side work could not be finished", START_BOUND);
    cluster.wait_until_whole(START_BOUND);
    cluster.wait_until_listed(leader);
    wait_until("the status is written", BOUND, || crate::store::get(&cluster, "status").is_some());
    let server = cluster.nodes[leader].postgresql();
    let made = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'cdc'";
    assert_eq!(sql::value(server, made).as_deref(), Ok("0"), "it was to be impossible");
}

#[test]
fn the_slot_of_a_member_that_is_gone_is_kept_and_then_dropped() {
    let mut cluster = Cluster::start(Plan::default());
    let leader = cluster.wait_for_leader(START_BOUND);
    let gone = cluster.others(leader)[0];
    let slot = cluster.nodes[gone].name.replace('-', "_");
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "SELECT pg_create_physical_replication_slot('somebodys_own')");
    let has = |name: &str| {
        sql::value(server, SLOTS).is_ok_and(|slots| slots.split(',').any(|one| one == name))
    };
    cluster.nodes[gone].kill_host();
    let name = cluster.nodes[gone].name.clone();
    wait_until("the member is gone", START_BOUND, || {
        let document = cluster.nodes[leader].get("/cluster").map(|answer| answer.json());
        let members = document.and_then(|document| document["members"].as_array().cloned());
        members.is_some_and(|members| members.iter().all(|member| member["name"] != name.as_str()))
    });
    let status = wait_for("the store says that it is kept", BOUND, || {
        let status = crate::store::get(&cluster, "status")?;
        status.contains(&format!("\"retain_slots\":[\"{slot}\"]")).then_some(status)
    });
    assert!(has(&slot), "{status}");
    configure(&cluster, leader, "member_slots_ttl=1");
    wait_until("its slot is dropped", BOUND, || !has(&slot));
    assert!(has("somebodys_own"), "a slot that nobody knows was dropped");
    let status = crate::store::get(&cluster, "status").expect("it is there");
    println!("member_slots_ttl: dropped after the ttl was made short; {status}");
}
