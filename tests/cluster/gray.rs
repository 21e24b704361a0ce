//! The primary's server is alive and of no use: stopped, on a disk that does not answer, on one that is full.
//! And a server that only looks so: loaded to the brim, and not failed over.
//!
//! All of this with `primary_stall_timeout: 3` instead of its default of 10 seconds.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::faults::{BOUND, Scenario, under_load};
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::Postgres;
use crate::support::processes::signal;
use crate::support::sql;
use crate::support::volume::{Volume, write_until_the_server_ends};
use crate::support::wait::{wait_for, wait_until};

/// Seconds.
const STALL_TIMEOUT: u64 = 3;
/// What is found within the timeout is over so much later.
const MORE: Duration = Duration::from_secs(2);
/// Longer than a leader must have led to be replaced for a stall.
const LED: Duration = Duration::from_secs(3 * STALL_TIMEOUT);

fn bound() -> Duration {
    Duration::from_secs(STALL_TIMEOUT) + MORE
}

fn plan() -> Plan {
    let dcs = json!({ "pgbaton": { "primary_stall_timeout": STALL_TIMEOUT } });
    Plan { dcs, ..Plan::default() }
}

/// What the node says of its probes.
fn own(cluster: &Cluster, node: usize) -> Value {
    cluster.nodes[node].get("/patroni").map_or(Value::Null, |it| it.json()["pgbaton"].clone())
}

/// The server's processes; the postmaster is the first.
fn processes(cluster: &Cluster, node: usize) -> Vec<Pid> {
    cluster.nodes[node].server_processes()
}

fn stop(pids: &[Pid]) {
    pids.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
}

/// A fault that comes when the leader has led for long enough.
#[track_caller]
fn later(mut fault: impl FnMut(&mut Cluster, usize)) -> Scenario {
    let mut began = Instant::now();
    let mut scenario = under_load(plan(), |cluster, leader| {
        let whole = Instant::now();
        wait_until("the leader has led for a while", BOUND, || whole.elapsed() > LED);
        began = Instant::now();
        fault(cluster, leader);
    });
    scenario.since = began;
    scenario
}

#[track_caller]
fn assert_handed_over(scenario: &Scenario, what: &str) {
    scenario.report.print(what, scenario.since);
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, bound());
    assert_ne!(scenario.leader_now(), scenario.leader, "another node leads");
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn a_server_whose_processes_are_all_stopped_is_handed_over() {
    let scenario = later(|cluster, leader| {
        stop(&processes(cluster, leader));
        cluster.wait_for_another_leader(leader, BOUND);
    });
    assert_handed_over(&scenario, "all processes of the server stopped");
}

#[test]
fn a_server_whose_postmaster_is_stopped_is_handed_over() {
    let scenario = later(|cluster, leader| {
        stop(&processes(cluster, leader)[..1]);
        let since = Instant::now();
        cluster.wait_for_another_leader(leader, BOUND);
        println!("postmaster stopped: handed over after {:?}", since.elapsed());
        assert!(since.elapsed() <= bound(), "handed over after {:?}", since.elapsed());
    });
    assert_handed_over(&scenario, "postmaster stopped, sessions go on");
}

/// The postmaster goes on, and lets new sessions in, which write: a handover would lose what they wrote, as
/// the senders are stopped, too. So the server is restarted where it is.
#[test]
fn a_server_whose_sessions_are_stopped_is_replaced_or_restarted_without_loss() {
    let scenario = later(|cluster, leader| {
        stop(&processes(cluster, leader)[1..]);
        let log = || cluster.nodes[leader].log();
        wait_until("the stopped sessions are found", BOUND, || {
            log().contains("sessions are stopped")
        });
    });
    scenario.report.print("all sessions stopped, postmaster alive", scenario.since);
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, bound());
    scenario.cluster.wait_until_whole(BOUND);
}

/// A cluster whose first node has everything of its own (data, log and journal) on a volume, and leads.
struct OnVolume {
    cluster: Cluster,
    volume: Volume,
}

impl OnVolume {
    #[track_caller]
    fn start(plan: Plan, megabytes: u64) -> OnVolume {
        let mut cluster = Cluster::prepare(plan);
        let volume = Volume::mount(&cluster.nodes[0].dir, megabytes);
        cluster.nodes[0].start();
        assert_eq!(cluster.wait_for_leader(START_BOUND), 0);
        (1..cluster.nodes.len()).for_each(|node| cluster.nodes[node].start());
        cluster.wait_until_whole(START_BOUND);
        OnVolume { cluster, volume }
    }
}

#[test]
fn a_frozen_disk_is_handed_over_with_the_agents_log_and_journal_on_it() {
    let OnVolume { cluster, volume } = OnVolume::start(plan(), 600);
    let ledger = cluster.open_ledger();
    let whole = Instant::now();
    wait_until("the leader has led for a while", BOUND, || whole.elapsed() > LED);
    let since = Instant::now();
    let frozen = volume.freeze();
    let now = cluster.wait_for_another_leader(0, BOUND);
    ledger.wait_for_writes(now, 50, BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.print("disk frozen", since);
    report.assert_lost_at_most(Duration::from_secs(1), since);
    report.assert_gap(since, bound());
    let unfit = own(&cluster, 0)["unfit"].clone();
    assert_eq!(unfit, "its disk does not answer", "the agent goes on answering");
    drop(frozen);
    cluster.wait_until_whole(BOUND);
    drop(cluster);
    drop(volume);
}

#[test]
fn a_full_disk_is_handed_over() {
    let mut plan = plan();
    plan.dcs["postgresql"] =
        json!({ "parameters": { "min_wal_size": "32MB", "max_wal_size": "32MB" } });
    let OnVolume { cluster, volume } = OnVolume::start(plan, 400);
    let ledger = cluster.open_ledger();
    let whole = Instant::now();
    wait_until("the leader has led for a while", BOUND, || whole.elapsed() > LED);
    let filler = volume.fill();
    let since = write_until_the_server_ends(cluster.nodes[0].postgresql());
    let now = cluster.wait_for_another_leader(0, BOUND);
    ledger.wait_for_writes(now, 50, BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    report.print("disk full", since);
    report.assert_lost_at_most(Duration::from_secs(1), since);
    report.assert_gap(since, bound());
    fs::remove_file(filler).expect("our own file");
    cluster.wait_until_whole(BOUND);
    drop(cluster);
    drop(volume);
}

#[test]
fn a_standby_whose_disk_does_not_answer_says_so_and_is_not_chosen() {
    let mut cluster = Cluster::prepare(plan());
    let volume = Volume::mount(&cluster.nodes[1].dir, 600);
    cluster.nodes[0].start();
    assert_eq!(cluster.wait_for_leader(START_BOUND), 0);
    [1, 2].into_iter().for_each(|node| cluster.nodes[node].start());
    cluster.wait_until_whole(START_BOUND);
    let frozen = volume.freeze();
    wait_until("the standby says so", BOUND, || {
        own(&cluster, 1)["unfit"] == "its disk does not answer"
    });
    let metrics = cluster.nodes[1].get("/metrics").expect("an agent that answers").body;
    assert!(metrics.lines().any(|it| it.starts_with("pgbaton_unfit{") && it.ends_with(" 1")));
    let names = (&cluster.nodes[0].name, &cluster.nodes[1].name);
    let body = json!({ "leader": names.0, "candidate": names.1 }).to_string();
    let refused = wait_for("the leader knows it", BOUND, || {
        let answer = cluster.nodes[0].send("POST", "/switchover", &body);
        (answer.status != 200 && answer.body.contains("is not well")).then_some(answer)
    });
    println!("a switchover to a standby on a frozen disk: {} {}", refused.status, refused.body);
    drop(frozen);
    wait_until("it is well again", BOUND, || own(&cluster, 1)["unfit"].is_null());
    drop(cluster);
    drop(volume);
}

/// A child that is killed with the value.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pgbench(cluster: &Cluster, node: usize, arguments: &[&str]) -> Load {
    let mut command = Command::new("pgbench");
    command.env("PGPASSWORD", sql::SUPERUSER_PASSWORD).stdout(Stdio::null()).stderr(Stdio::null());
    let server = cluster.nodes[node].postgresql();
    command.args(["-h", &server.ip().to_string(), "-p", &server.port().to_string()]);
    command.args(["-U", "postgres"]).args(arguments).arg("postgres");
    Load(command.spawn().expect("pgbench (Debian: postgresql-contrib)"))
}

#[test]
fn a_server_under_two_hundred_clients_without_a_free_connection_is_left_alone() {
    let mut plan = plan();
    plan.dcs["postgresql"] = json!({ "parameters": { "max_connections": 230 } });
    plan.postgres = Postgres::Installed;
    let mut cluster = Cluster::start(plan);
    let leader = cluster.wait_until_whole(START_BOUND);
    let server = cluster.nodes[leader].postgresql();
    let mut made = pgbench(&cluster, leader, &["-i", "-q", "-s", "10"]);
    assert!(made.0.wait().expect("our own child").success(), "the tables are made");
    let ledger = cluster.open_ledger();
    let mut load = pgbench(&cluster, leader, &["-c", "200", "-j", "4", "-T", "20"]);
    wait_until("all clients of pgbench are in", BOUND, || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'";
        sql::query(server, count).is_ok_and(|rows| rows[0][0] == "200")
    });
    // The rest of the connections, those for superusers included.
    let runtime = sql::runtime();
    let mut held = Vec::new();
    let mut refused = false;
    let mut checkpoints = 0;
    let since = Instant::now();
    let ended = wait_for("the load ends", BOUND, || {
        if held.len() < 40 {
            let config = sql::superuser(server, Duration::from_secs(5));
            let made = runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(5), sql::connect(&config)).await
            });
            match made {
                Ok(Ok(client)) => held.push(client),
                Ok(Err(error)) => {
                    refused |= error.to_string().contains("db error")
                        || error.as_db_error().is_some_and(|it| it.message().contains("too many"));
                }
                Err(_) => {}
            }
        }
        if let Some(client) = held.first()
            && checkpoints < 3
        {
            let done = runtime.block_on(client.simple_query("CHECKPOINT"));
            checkpoints += u32::from(done.is_ok());
        }
        load.0.try_wait().expect("our own child")
    });
    println!(
        "pgbench: {ended}; {} more held; refused: {refused}; {checkpoints} checkpoints",
        held.len()
    );
    assert!(refused, "all connections were in use for a while");
    assert!(checkpoints > 0);
    drop(held);
    ledger.wait_for_writes(leader, 20, BOUND);
    let report = ledger.close(server);
    report.print("200 clients, no free connection", since);
    report.assert_nothing_lost();
    assert_eq!(cluster.wait_for_leader(BOUND), leader, "the same node leads");
    let timelines = report.acknowledged.iter().map(|it| it.timeline);
    assert_eq!(timelines.max(), Some(1), "nobody was promoted");
    let log = cluster.nodes[leader].log();
    for label in ["hand over: the", "sessions are stopped"] {
        assert!(!log.contains(label), "the log has {label:?}");
    }
    cluster.nodes[leader].stop();
}
