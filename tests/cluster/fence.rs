//! The fence: agent, guardian, or both are killed or stopped; the server is closed in time, and goes on
//! where it may.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::faults::BOUND;
use crate::support::cgroup::Cgroup;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::ledger::Ledger;
use crate::support::node::Node;
use crate::support::processes::{self, servers, signal};
use crate::support::sql;
use crate::support::wait::{wait_for, wait_until};

/// What is added to the ttl where a lease has to run out.
const TAKEOVER_BOUND: Duration = Duration::from_secs(4);
/// No gap: what a loaded machine makes of ten milliseconds.
const NO_GAP: Duration = Duration::from_millis(700);

/// A cluster under load, fenced as told.
struct Scene {
    cluster: Cluster,
    leader: usize,
    ledger: Ledger,
    since: Instant,
    fence: &'static str,
}

impl Scene {
    fn set(fence: &'static str) -> Scene {
        let mut cluster = Cluster::prepare(Plan::default());
        for node in &mut cluster.nodes {
            node.cgroup = (fence == "cgroup").then(Cgroup::delegated);
            node.set("/pgbaton", serde_json::json!({ "fence": fence }));
            node.start();
        }
        let leader = cluster.wait_until_whole(START_BOUND);
        assert_eq!(cluster.nodes[leader].shown_fence(), fence);
        let ledger = cluster.open_ledger();
        ledger.wait_for_writes(leader, 50, BOUND);
        Scene { cluster, leader, ledger, since: Instant::now(), fence }
    }

    fn node(&self) -> &Node {
        &self.cluster.nodes[self.leader]
    }

    fn node_mut(&mut self) -> &mut Node {
        &mut self.cluster.nodes[self.leader]
    }

    /// Another node leads and takes writes; nothing but the last moments is lost, and no two wrote at
    /// one time.
    #[track_caller]
    fn another_leads(self, what: &str) -> (Cluster, usize) {
        let now = self.cluster.wait_for_another_leader(self.leader, BOUND);
        self.ledger.wait_for_writes(now, 50, BOUND);
        let report = self.ledger.close(self.cluster.nodes[now].postgresql());
        report.print(&format!("{what} ({})", self.fence), self.since);
        report.assert_lost_at_most(Duration::from_secs(1), self.since);
        let ttl = Duration::from_secs(self.cluster.plan.ttl);
        report.assert_gap(self.since, ttl + TAKEOVER_BOUND);
        (self.cluster, self.leader)
    }

    /// The same node goes on.
    #[track_caller]
    fn goes_on(self, what: &str, gap: Duration) -> (Cluster, usize) {
        self.ledger.wait_for_writes(self.leader, 200, BOUND);
        let report = self.ledger.close(self.cluster.nodes[self.leader].postgresql());
        report.print(&format!("{what} ({})", self.fence), self.since);
        report.assert_nothing_lost();
        report.assert_gap(self.since, gap);
        (self.cluster, self.leader)
    }
}

fn guardian(node: &Node) -> Pid {
    processes::guardian(&node.dir)
}

fn postmaster(node: &Node) -> Pid {
    processes::postmaster(&node.dir)
}

fn agent_comes_back(fence: &'static str) {
    let mut scene = Scene::set(fence);
    let before = postmaster(scene.node());
    scene.node_mut().kill_agent();
    scene.node_mut().start();
    scene.node().wait_for_log("decided decision=take up the lease", BOUND);
    let (cluster, leader) = scene.goes_on("agent killed, back at once", NO_GAP);
    assert_eq!(postmaster(&cluster.nodes[leader]), before, "the server was not restarted");
    cluster.wait_until_whole(BOUND);
}

#[test]
fn a_killed_agent_that_comes_back_in_time_takes_its_lease_up_again() {
    agent_comes_back("namespace");
}

#[test]
fn the_same_below_a_subreaper() {
    agent_comes_back("subreaper");
}

#[test]
fn the_same_in_a_cgroup() {
    agent_comes_back("cgroup");
}

/// Sessions that commit in a loop: they outlive a postmaster that is killed alone.
fn keep_backends_busy(node: &Node) {
    let loops = "CREATE TABLE busy (n int); \
         CREATE PROCEDURE write_on() LANGUAGE plpgsql AS $$ BEGIN \
         LOOP INSERT INTO busy VALUES (1); COMMIT; END LOOP; END $$";
    sql::run(node.postgresql(), loops);
    for _ in 0..4 {
        let server = node.postgresql();
        std::thread::spawn(move || sql::value(server, "CALL write_on()"));
    }
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND state = 'active'";
    wait_until("backends are busy", BOUND, || {
        sql::value(node.postgresql(), busy).is_ok_and(|count| count == "4")
    });
}

fn agent_is_gone(fence: &'static str) {
    let mut scene = Scene::set(fence);
    keep_backends_busy(scene.node());
    scene.since = Instant::now();
    scene.node_mut().kill_agent();
    let dir = scene.node().dir.clone();
    let (mut cluster, leader) = scene.another_leads("agent killed, busy backends");
    assert_eq!(servers(&dir), Vec::new(), "of the former leader's server these are left");
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_for_log("the guardian fenced the server", BOUND);
    cluster.wait_until_whole(BOUND);
}

#[test]
fn the_server_of_an_agent_that_is_gone_is_closed_in_time() {
    agent_is_gone("namespace");
}

#[test]
fn so_is_one_below_a_subreaper() {
    agent_is_gone("subreaper");
}

#[test]
fn so_is_one_in_a_cgroup() {
    agent_is_gone("cgroup");
}

fn agent_is_stopped(fence: &'static str) {
    let scene = Scene::set(fence);
    scene.node().signal(Signal::SIGSTOP);
    let dir = scene.node().dir.clone();
    let (cluster, leader) = scene.another_leads("agent stopped");
    assert_eq!(servers(&dir), Vec::new(), "of the former leader's server these are left");
    cluster.nodes[leader].signal(Signal::SIGCONT);
    cluster.wait_until_whole(BOUND);
    cluster.nodes[leader].wait_for_log("the guardian fenced the server", BOUND);
}

#[test]
fn the_server_of_a_stopped_agent_is_closed_in_time() {
    agent_is_stopped("namespace");
}

#[test]
fn so_is_that_of_one_below_a_subreaper() {
    agent_is_stopped("subreaper");
}

#[test]
fn so_is_that_of_one_in_a_cgroup() {
    agent_is_stopped("cgroup");
}

fn guardian_is_killed(fence: &'static str) {
    let scene = Scene::set(fence);
    let before = guardian(scene.node());
    signal(before, Signal::SIGKILL);
    let replaced = || Some(guardian(scene.node())).filter(|pid| *pid != before);
    scene.node().wait_for_log("another guardian is in its place", BOUND);
    wait_for("another guardian", BOUND, replaced);
    let (cluster, leader) = scene.goes_on("guardian killed", Duration::from_secs(4));
    assert_eq!(cluster.nodes[leader].shown_fence(), fence);
    cluster.wait_until_whole(BOUND);
}

#[test]
fn a_killed_guardian_takes_the_server_along_and_both_are_started_again() {
    guardian_is_killed("namespace");
}

#[test]
fn the_backends_of_a_killed_subreaper_are_killed_by_the_agent() {
    guardian_is_killed("subreaper");
}

#[test]
fn the_kernel_ends_a_stopped_guardian_at_the_deadline() {
    let mut scene = Scene::set("namespace");
    let guardian = guardian(scene.node());
    signal(guardian, Signal::SIGSTOP);
    let pid = scene.node().pid();
    signal(pid, Signal::SIGSTOP);
    let dir = scene.node().dir.clone();
    let (mut cluster, leader) = {
        scene.since = Instant::now();
        scene.another_leads("guardian and agent stopped")
    };
    assert_eq!(servers(&dir), Vec::new(), "of the former leader's server these are left");
    signal(pid, Signal::SIGCONT);
    cluster.nodes[leader].wait_for_log("another guardian is in its place", BOUND);
    cluster.wait_until_whole(BOUND);
    cluster.nodes[leader].stop();
}

/// A guardian that is stopped would not close what is opened now.
#[test]
fn nothing_is_opened_under_a_stopped_guardian() {
    let mut scene = Scene::set("namespace");
    let others = scene.cluster.others(scene.leader);
    let guardians: Vec<Pid> =
        others.iter().map(|other| guardian(&scene.cluster.nodes[*other])).collect();
    guardians.iter().for_each(|guardian| signal(*guardian, Signal::SIGSTOP));
    scene.node_mut().kill_host();
    wait_until("somebody refuses to open its server", BOUND, || {
        let refused = "the guardian does not take the lease's deadline in";
        others.iter().any(|other| scene.cluster.nodes[*other].log().contains(refused))
    });
    assert!(others.iter().all(|other| !scene.cluster.nodes[*other].is_primary()));
    guardians.iter().for_each(|guardian| signal(*guardian, Signal::SIGCONT));
    let now = scene.cluster.wait_for_another_leader(scene.leader, BOUND);
    scene.ledger.wait_for_writes(now, 50, BOUND);
}

#[test]
fn a_killed_guardian_and_a_killed_agent_leave_nothing_behind() {
    let mut scene = Scene::set("namespace");
    keep_backends_busy(scene.node());
    scene.since = Instant::now();
    signal(guardian(scene.node()), Signal::SIGKILL);
    scene.node_mut().kill_agent();
    let dir = scene.node().dir.clone();
    wait_until("nothing is left", Duration::from_secs(2), || {
        processes::working_in(&dir).is_empty()
    });
    let (mut cluster, leader) = scene.another_leads("guardian and agent killed");
    cluster.nodes[leader].start();
    cluster.wait_until_whole(BOUND);
}

fn upgrade(fence: &'static str) {
    let scene = Scene::set(fence);
    let before = postmaster(scene.node());
    scene.node().signal(Signal::SIGUSR2);
    scene.node().wait_for_log("decided decision=take up the lease", BOUND);
    let (cluster, leader) = scene.goes_on("upgraded in place", NO_GAP);
    assert_eq!(postmaster(&cluster.nodes[leader]), before, "the server was not restarted");
    cluster.wait_until_whole(BOUND);
}

#[test]
fn an_agent_is_upgraded_under_the_running_server() {
    upgrade("namespace");
}

#[test]
fn and_so_it_is_below_a_subreaper() {
    upgrade("subreaper");
}

#[test]
fn a_standby_s_server_is_adopted_and_a_second_agent_is_refused() {
    let mut scene = Scene::set("subreaper");
    let standby = scene.cluster.others(scene.leader)[0];
    let before = postmaster(&scene.cluster.nodes[standby]);
    let output = {
        let node = &scene.cluster.nodes[standby];
        let mut command = node.command();
        command.arg("run").arg(node.file()).output().expect("the program that was built")
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("another agent"), "{said}");
    scene.cluster.nodes[standby].kill_agent();
    scene.cluster.nodes[standby].start();
    let (cluster, _) = scene.goes_on("a standby's agent killed", NO_GAP);
    cluster.wait_until_whole(BOUND);
    assert_eq!(postmaster(&cluster.nodes[standby]), before, "the standby was not restarted");
}

#[test]
fn an_agent_that_is_told_to_stop_leaves_no_guardian() {
    let mut scene = Scene::set("namespace");
    scene.node_mut().stop();
    let dir = scene.node().dir.clone();
    let (_cluster, _) = scene.another_leads("told to stop");
    wait_until("nothing is left", BOUND, || processes::working_in(&dir).is_empty());
}
