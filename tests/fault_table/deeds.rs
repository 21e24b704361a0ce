//! What is done to the primary, its host, its lines and its store, and how each is undone.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::scene::Scene;
use crate::support::network::Network;
use crate::support::processes::{self, signal, signal_all};
use crate::support::sql;
use crate::support::volume::write_until_the_server_ends;
use crate::support::wait::wait_until;

/// A stepped clock is read at once; this is for a slow machine.
const CLOCK_BOUND: Duration = Duration::from_secs(10);
/// How far a clock is stepped.
const STEP_SECONDS: i64 = 86_400;

pub fn nothing(_: &mut Scene) {}

// The agent and the guardian.

pub fn kill_agent(scene: &mut Scene) {
    scene.node_mut().kill_agent();
    scene.dead.push(scene.leader);
}

pub fn kill_and_start_agent(scene: &mut Scene) {
    scene.node_mut().kill_agent();
    scene.node_mut().start();
}

pub fn stop_agent(scene: &mut Scene) {
    scene.node().signal(Signal::SIGSTOP);
}

pub fn upgrade(scene: &mut Scene) {
    scene.node().signal(Signal::SIGUSR2);
}

pub fn kill_guardian(scene: &mut Scene) {
    signal(processes::guardian(&scene.node().dir), Signal::SIGKILL);
}

pub fn stop_guardian(scene: &mut Scene) {
    signal(processes::guardian(&scene.node().dir), Signal::SIGSTOP);
}

pub fn kill_both(scene: &mut Scene) {
    kill_guardian(scene);
    kill_agent(scene);
}

pub fn stop_both(scene: &mut Scene) {
    stop_guardian(scene);
    stop_agent(scene);
}

/// Agents that are dead are started again.
pub fn start(scene: &mut Scene) {
    for index in std::mem::take(&mut scene.dead) {
        scene.cluster.nodes[index].start();
    }
}

/// Whatever was stopped and is still there goes on; an agent that ended for it is started again.
pub fn resume(scene: &mut Scene) {
    signal_all(&scene.node().dir, Signal::SIGCONT);
    scene.node_mut().start_if_it_ended();
}

// The server and the host.

pub fn kill_postmaster(scene: &mut Scene) {
    signal(processes::postmaster(&scene.node().dir), Signal::SIGKILL);
}

pub fn stop_backends(scene: &mut Scene) {
    for pid in &scene.node().server_processes()[1..] {
        signal(*pid, Signal::SIGSTOP);
    }
}

pub fn stop_server(scene: &mut Scene) {
    for pid in scene.node().server_processes() {
        signal(pid, Signal::SIGSTOP);
    }
}

pub fn stop_host(scene: &mut Scene) {
    signal_all(&scene.node().dir, Signal::SIGSTOP);
}

pub fn kill_host(scene: &mut Scene) {
    scene.node_mut().kill_host();
    scene.dead.push(scene.leader);
}

// Lines.

fn network(scene: &Scene) -> &Network {
    scene.cluster.network.as_ref().expect("a network")
}

fn etcd_ports(scene: &Scene) -> Vec<u16> {
    let port = |host: &String| host.rsplit_once(':').and_then(|it| it.1.parse().ok());
    scene.cluster.etcd_hosts().iter().map(|host| port(host).expect("a port")).collect()
}

pub fn unplug(scene: &mut Scene) {
    network(scene).unplug(scene.leader);
}

pub fn plug_in(scene: &mut Scene) {
    network(scene).plug_in(scene.leader);
}

/// All but the clients: what it acknowledges meanwhile is seen.
pub fn part_from_all(scene: &mut Scene) {
    deafen(scene);
    mute(scene);
}

pub fn join_all(scene: &mut Scene) {
    undeafen(scene);
    unmute(scene);
}

pub fn part_from_etcd(scene: &mut Scene) {
    network(scene).part_from_etcd(scene.leader, &etcd_ports(scene));
}

pub fn join_etcd(scene: &mut Scene) {
    network(scene).join_etcd(scene.leader, &etcd_ports(scene));
}

/// Its renewals arrive and are not answered: the others count from later than it does.
pub fn cut_answers_of_etcd(scene: &mut Scene) {
    network(scene).cut_replies_of_etcd(scene.leader);
}

pub fn mend_answers_of_etcd(scene: &mut Scene) {
    network(scene).mend_replies_of_etcd(scene.leader);
}

pub fn part_from_peers(scene: &mut Scene) {
    network(scene).part_from_peers(scene.leader);
}

pub fn join_peers(scene: &mut Scene) {
    network(scene).join_peers(scene.leader);
}

pub fn deafen(scene: &mut Scene) {
    network(scene).deafen(scene.leader);
}

pub fn undeafen(scene: &mut Scene) {
    network(scene).undeafen(scene.leader);
}

pub fn mute(scene: &mut Scene) {
    network(scene).mute(scene.leader, &etcd_ports(scene));
}

pub fn unmute(scene: &mut Scene) {
    network(scene).unmute(scene.leader, &etcd_ports(scene));
}

// The store.

fn kill_members(scene: &mut Scene, members: Vec<usize>) {
    for member in &members {
        scene.cluster.etcd.kill(*member);
    }
    scene.sick = members;
}

pub fn kill_etcd_leader(scene: &mut Scene) {
    let leader = scene.cluster.etcd.leader();
    scene.since = Instant::now();
    kill_members(scene, vec![leader]);
}

pub fn kill_etcd_quorum(scene: &mut Scene) {
    kill_members(scene, vec![0, 1]);
}

pub fn kill_etcd(scene: &mut Scene) {
    kill_members(scene, vec![0, 1, 2]);
}

pub fn kill_etcd_and_a_standby(scene: &mut Scene) {
    let standby = scene.cluster.others(scene.leader)[0];
    scene.cluster.nodes[standby].kill_host();
    scene.dead.push(standby);
    kill_etcd(scene);
}

pub fn restart_etcd(scene: &mut Scene) {
    let members = std::mem::take(&mut scene.sick);
    scene.cluster.etcd.restart_these(&members);
}

pub fn restart_etcd_and_standby(scene: &mut Scene) {
    restart_etcd(scene);
    start(scene);
}

pub fn freeze_etcd_leader(scene: &mut Scene) {
    let leader = scene.cluster.etcd.leader();
    scene.since = Instant::now();
    scene.cluster.etcd.freeze(leader);
    scene.sick.push(leader);
}

pub fn thaw_etcd(scene: &mut Scene) {
    for member in std::mem::take(&mut scene.sick) {
        scene.cluster.etcd.thaw(member);
    }
}

pub fn slow_etcd(scene: &mut Scene) {
    scene.lines.iter().for_each(|line| line.delay(Duration::from_millis(500)));
}

pub fn quick_etcd(scene: &mut Scene) {
    scene.lines.iter().for_each(|line| line.delay(Duration::ZERO));
}

// The disk.

pub fn fill_disk(scene: &mut Scene) {
    scene.filler = scene.volume.as_ref().map(|volume| volume.fill());
    scene.since = write_until_the_server_ends(scene.node().postgresql());
}

pub fn empty_disk(scene: &mut Scene) {
    let filler = scene.filler.take().expect("a full disk");
    fs::remove_file(filler).expect("our own file");
}

pub fn freeze_disk(scene: &mut Scene) {
    scene.frozen = scene.volume.as_ref().map(|volume| volume.freeze());
}

pub fn thaw_disk(scene: &mut Scene) {
    scene.frozen = None;
}

// The wall clock.

pub fn clock_forward(scene: &mut Scene) {
    step_clock(scene, STEP_SECONDS);
}

pub fn clock_back(scene: &mut Scene) {
    step_clock(scene, -STEP_SECONDS);
}

pub fn clock_right(scene: &mut Scene) {
    step_clock(scene, 0);
}

/// Steps the clock of the node that led, and sees that its server goes by it.
fn step_clock(scene: &mut Scene, seconds: i64) {
    scene.clock.as_ref().expect("a clock").set_ahead(seconds);
    let now = "SELECT extract(epoch FROM clock_timestamp())::bigint - ";
    wait_until("the server reads another time", CLOCK_BOUND, || {
        let right = jiff::Timestamp::now().as_second();
        let shown = sql::value(scene.node().postgresql(), &format!("{now}{right}"));
        let off = shown.ok().and_then(|text| text.parse::<i64>().ok());
        off.is_some_and(|off| (off - seconds).abs() < 60)
    });
}
