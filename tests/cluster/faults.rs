//! The primary's server, agent or host dies, or is told to stop: what was lost, and for how long nobody took
//! a write.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::Postgres;
use crate::support::report::Report;

/// What a handover may take here at most: these are loaded machines with debug builds. The real figures
/// are measured by `make bench`.
pub const HANDOVER_BOUND: Duration = Duration::from_secs(5);
/// What is added to the ttl where a lease has to run out.
const TAKEOVER_BOUND: Duration = Duration::from_secs(4);
/// How long writes may take to come back before the test fails for that reason alone.
pub const BOUND: Duration = Duration::from_secs(60);

/// Runs a fault on a whole cluster under load. `fault` gets the leader and says who must take writes
/// afterwards, as far as that is certain.
pub struct Scenario {
    pub cluster: Cluster,
    pub leader: usize,
    pub since: Instant,
    pub report: Report,
}

/// See [`Scenario`].
#[track_caller]
pub fn under_load(plan: Plan, fault: impl FnOnce(&mut Cluster, usize)) -> Scenario {
    let mut cluster = Cluster::start(plan);
    let leader = cluster.wait_until_whole(START_BOUND);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, 50, BOUND);
    let since = Instant::now();
    fault(&mut cluster, leader);
    ledger.wait_for_writes_anywhere(50, BOUND);
    let now = cluster.wait_for_leader(BOUND);
    let report = ledger.close(cluster.nodes[now].postgresql());
    Scenario { cluster, leader, since, report }
}

impl Scenario {
    /// Who leads now.
    #[track_caller]
    pub fn leader_now(&self) -> usize {
        self.cluster.wait_for_leader(BOUND)
    }

    /// The timelines that were written, oldest first.
    pub fn timelines(&self) -> Vec<i32> {
        let mut found: Vec<i32> = self.report.acknowledged.iter().map(|it| it.timeline).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

pub fn kill_postmaster(cluster: &Cluster, node: usize) {
    let postmaster = cluster.nodes[node].postmaster().expect("a running server");
    kill(postmaster, Signal::SIGKILL).expect("a server of ours");
}

#[test]
fn a_killed_postmaster_is_restarted_in_place() {
    let scenario = under_load(Plan::default(), |cluster, leader| kill_postmaster(cluster, leader));
    scenario.report.print("postmaster killed, restarted in place", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, HANDOVER_BOUND);
    assert_eq!(scenario.leader_now(), scenario.leader, "the same node goes on");
    assert_eq!(scenario.timelines().len(), 1, "nobody was promoted");
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn with_no_time_to_start_a_killed_postmaster_is_handed_over() {
    let plan = Plan { dcs: json!({ "primary_start_timeout": 0 }), ..Plan::default() };
    let scenario = under_load(plan, |cluster, leader| kill_postmaster(cluster, leader));
    scenario.report.print("postmaster killed, handed over", scenario.since);
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, HANDOVER_BOUND);
    assert_ne!(scenario.leader_now(), scenario.leader, "another node leads");
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn an_agent_that_is_told_to_stop_hands_over_without_loss() {
    let mut scenario = under_load(Plan::default(), |cluster, leader| {
        cluster.nodes[leader].stop();
    });
    scenario.report.print("agent told to stop", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, HANDOVER_BOUND);
    let former = scenario.leader;
    assert_ne!(scenario.leader_now(), former);
    let marker = scenario.cluster.nodes[former].data_dir().join("not-copied");
    std::fs::write(&marker, "").expect("a file");
    scenario.cluster.nodes[former].start();
    scenario.cluster.wait_until_whole(BOUND);
    assert!(marker.exists(), "the former primary was copied again");
    let log = scenario.cluster.nodes[former].log();
    assert!(!log.contains("pg_rewind"), "after a clean stop there is nothing to rewind");
}

#[test]
fn a_killed_agent_is_replaced_and_its_server_is_closed_before() {
    let mut scenario = under_load(Plan::default(), |cluster, leader| {
        cluster.nodes[leader].kill_agent();
        cluster.wait_for_another_leader(leader, BOUND);
    });
    let ttl = Duration::from_secs(scenario.cluster.plan.ttl);
    scenario.report.print("agent killed", scenario.since);
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, ttl + TAKEOVER_BOUND);
    let former = scenario.leader;
    let left = crate::support::processes::servers(&scenario.cluster.nodes[former].dir);
    assert!(left.is_empty(), "of the killed agent's server these are left: {left:?}");
    scenario.cluster.nodes[former].start();
    scenario.cluster.wait_until_whole(BOUND);
}

/// Everything of the primary's node dies at once.
#[track_caller]
pub fn lose_the_host(postgres: Postgres) {
    let plan = Plan { postgres, ..Plan::default() };
    let mut scenario = under_load(plan, |cluster, leader| {
        cluster.nodes[leader].kill_host();
        cluster.wait_for_another_leader(leader, BOUND);
    });
    let ttl = Duration::from_secs(scenario.cluster.plan.ttl);
    scenario.report.print(&format!("host lost ({postgres:?})"), scenario.since);
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, ttl + TAKEOVER_BOUND);
    let former = scenario.leader;
    scenario.cluster.nodes[former].start();
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn a_lost_host_is_replaced_and_comes_back() {
    lose_the_host(Postgres::Installed);
}

#[test]
fn a_host_behind_a_pulled_plug_is_replaced_and_stops_by_itself() {
    let plan = Plan { in_namespaces: true, ..Plan::default() };
    let scenario = under_load(plan, |cluster, leader| {
        cluster.network.as_ref().expect("a network").unplug(leader);
        cluster.wait_for_another_leader(leader, BOUND);
    });
    let ttl = Duration::from_secs(scenario.cluster.plan.ttl);
    scenario.report.print("plug pulled", scenario.since);
    // Its own client is cut off too, so what it acknowledges in the dark is seen by nobody.
    scenario.report.assert_lost_at_most(Duration::from_secs(1), scenario.since);
    scenario.report.assert_gap(scenario.since, ttl + TAKEOVER_BOUND);
    let former = &scenario.cluster.nodes[scenario.leader];
    let servers = || {
        let pid = former.postmaster().map(|pid| format!("/proc/{pid}"));
        pid.is_some_and(|path| std::path::Path::new(&path).exists())
    };
    let is_standby = || former.data_dir().join("standby.signal").exists();
    let what = "the cut-off primary stops";
    crate::support::wait::wait_until(what, ttl, || !servers() || is_standby());
    scenario.cluster.network.as_ref().expect("a network").plug_in(scenario.leader);
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn a_standby_that_dies_costs_no_write() {
    let mut down = 0;
    let mut scenario = under_load(Plan::default(), |cluster, leader| {
        down = cluster.others(leader)[0];
        cluster.nodes[down].kill_host();
    });
    scenario.report.print("standby lost", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, Duration::from_secs(2));
    assert_eq!(scenario.leader_now(), scenario.leader);
    scenario.cluster.nodes[down].start();
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn a_second_signal_does_no_harm() {
    let mut scenario = under_load(Plan::default(), |cluster, leader| {
        for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGINT] {
            cluster.nodes[leader].signal(signal);
        }
        cluster.wait_for_another_leader(leader, BOUND);
    });
    scenario.report.print("told to stop three times", scenario.since);
    scenario.report.assert_nothing_lost();
    let former = scenario.leader;
    let status = scenario.cluster.nodes[former].wait_for_exit(BOUND);
    assert!(status.success(), "{status}");
    let left = crate::support::processes::working_in(&scenario.cluster.nodes[former].dir);
    assert!(left.is_empty(), "these are left: {left:?}");
    scenario.cluster.nodes[former].start();
    scenario.cluster.wait_until_whole(BOUND);
}
