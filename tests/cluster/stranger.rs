//! Somebody who may replicate and goes under a member's name: what it confirms, no member need have.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::store::get;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::Postgres;
use crate::support::sql::{self, REPLICATION_PASSWORD};
use crate::support::wait::wait_until;
use crate::synchronous::{names, standbys, wait_for_probe, wait_until_a_write_waits};

/// `pg_receivewal`, which confirms whatever it gets; ended with the value.
struct Stranger(Child);

impl Stranger {
    fn under_the_name_of(cluster: &Cluster, leader: usize, member: usize) -> Stranger {
        let (server, name) = (cluster.nodes[leader].postgresql(), &cluster.nodes[member].name);
        let folder: PathBuf = cluster.dir().join("stranger");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut program = Command::new(Postgres::Installed.bin_dir().join("pg_receivewal"));
        program.args(["--synchronous", "--no-password", "-D"]).arg(folder);
        let (host, port) = (server.ip(), server.port());
        let conninfo = format!("host={host} port={port} user=replicator application_name={name}");
        program.args(["-d", &conninfo]).env("PGPASSWORD", REPLICATION_PASSWORD);
        let child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Stranger(child.expect("pg_receivewal is there"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TWICE: &str = "two connections with one name are no synchronous standby";
const STRANGE: &str = "a connection that does not hold its member's slot is no synchronous standby";

#[test]
fn it_is_never_waited_for_and_neither_is_the_member_meanwhile() {
    let dcs = json!({ "synchronous_mode": true });
    let mut cluster = Cluster::start(Plan { dcs, ..Plan::default() });
    let leader = cluster.wait_until_whole(START_BOUND);
    let (standby, other) = standbys(&cluster, leader);
    let _stranger = Stranger::under_the_name_of(&cluster, leader, standby);
    wait_until("the other one is waited for", BOUND, || cluster.nodes[other].answers("/sync", 200));
    assert!(!names(&cluster, leader).contains(&cluster.nodes[standby].name));
    cluster.nodes[leader].wait_for_log(TWICE, BOUND);
    cluster.nodes[standby].kill_host();
    cluster.nodes[leader].wait_for_log(STRANGE, BOUND);
    cluster.nodes[other].kill_host();
    wait_until("commits wait for nobody", BOUND, || names(&cluster, leader).is_empty());
    let record: Value = get(&cluster, "sync").expect("a record").parse().expect("JSON");
    assert_eq!(record["sync_standby"], Value::Null, "only the leader may lead");
}

#[test]
fn in_strict_mode_it_lets_no_waiting_write_go() {
    let dcs = json!({ "synchronous_mode": true, "synchronous_mode_strict": true });
    let cluster = Cluster::start(Plan { nodes: 2, dcs, ..Plan::default() });
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_for_probe(&cluster, "/sync", 1);
    let server = cluster.nodes[leader].postgresql();
    sql::run(server, "CREATE TABLE strict (id int)");
    let member = cluster.others(leader)[0];
    let stranger = Stranger::under_the_name_of(&cluster, leader, member);
    cluster.nodes[leader].wait_for_log(TWICE, BOUND);
    wait_until("nobody is waited for by name", BOUND, || {
        !names(&cluster, leader).contains(&cluster.nodes[member].name)
    });
    let write = std::thread::spawn(move || sql::query(server, "INSERT INTO strict VALUES (1)"));
    wait_until_a_write_waits(server);
    let confirmed =
        "SELECT bool_and(flush_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication";
    wait_until("both have it", BOUND, || sql::value(server, confirmed).as_deref() == Ok("t"));
    assert!(!write.is_finished(), "what waits is not let go by a stranger");
    drop(stranger);
    write.join().expect("the writer's thread").expect("the write is done once the member is alone");
    assert_eq!(sql::value(server, "SELECT count(*) FROM strict").as_deref(), Ok("1"));
}
