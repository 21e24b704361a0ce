//! For how long nobody took a write, for each thing that can happen to a cluster.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};

use crate::figure::Figure;
use crate::rig::{BOUND, Rig, under_load};
use crate::support::cluster::{Cluster, Plan};
use crate::support::node::Node;

/// How often etcd's leader is killed.
const ETCD_KILLS: usize = 20;

/// From nothing but etcd to three nodes, both standbys streaming.
pub fn bootstrap(rig: &mut Rig) -> Vec<Figure> {
    rig.clear();
    let once = |_| {
        let mut cluster = Cluster::prepare(rig.plan());
        let started = Instant::now();
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.wait_until_whole(BOUND);
        started.elapsed()
    };
    let samples: Vec<_> = (0..rig.runs).map(once).collect();
    vec![Figure::of_times("nothing → three nodes, both standbys streaming", "≤ 8", &samples)]
}

/// A switchover to whoever is best.
pub fn switchover(rig: &mut Rig) -> Vec<Figure> {
    let runs = rig.runs;
    let cluster = rig.cluster();
    let once = |_| {
        let (gap, report) = under_load(cluster, |cluster, leader| {
            let body = format!("{{\"leader\": \"{}\"}}", cluster.nodes[leader].name);
            let answer = cluster.nodes[leader].send("POST", "/switchover", &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            cluster.wait_for_another_leader(leader, BOUND);
        });
        report.assert_nothing_lost();
        gap
    };
    let samples: Vec<_> = (0..runs).map(once).collect();
    vec![Figure::of_times("switchover, gap", "≤ 0.6", &samples)]
}

/// The server's first process dies; it is restarted in place.
pub fn postmaster_killed(rig: &mut Rig) -> Vec<Figure> {
    let runs = rig.runs;
    let cluster = rig.cluster();
    let once = |_| {
        let (gap, report) = under_load(cluster, |cluster, leader| {
            let postmaster = cluster.nodes[leader].postmaster().expect("a running server");
            kill(postmaster, Signal::SIGKILL).expect("a server of ours");
        });
        report.assert_nothing_lost();
        gap
    };
    let samples: Vec<_> = (0..runs).map(once).collect();
    vec![Figure::of_times("postmaster killed, restarted in place, gap", "≤ 1.0", &samples)]
}

/// The primary's agent is stopped: its server stops cleanly, another takes over.
pub fn agent_told_to_stop(rig: &mut Rig) -> Vec<Figure> {
    let runs = rig.runs;
    let cluster = rig.cluster();
    let once = |_| {
        let mut former = 0;
        let (gap, report) = under_load(cluster, |cluster, leader| {
            former = leader;
            cluster.nodes[leader].signal(Signal::SIGTERM);
            cluster.wait_for_another_leader(leader, BOUND);
        });
        report.assert_nothing_lost();
        cluster.nodes[former].wait_for_exit(BOUND);
        cluster.nodes[former].start();
        gap
    };
    let samples: Vec<_> = (0..runs).map(once).collect();
    vec![Figure::of_times("SIGTERM of the primary's agent, gap", "≤ 1.0", &samples)]
}

/// etcd's leader dies, again and again.
pub fn etcd_leader_killed(rig: &mut Rig) -> Vec<Figure> {
    let cluster = rig.cluster();
    let mut demotions = 0;
    let once = |_| {
        let mut former = 0;
        let (gap, report) = under_load(cluster, |cluster, leader| {
            former = leader;
            let etcd_leader = cluster.etcd.leader();
            cluster.etcd.kill(etcd_leader);
            // The cluster has to live through a whole lease after it.
            let until = Instant::now() + std::time::Duration::from_secs(cluster.plan.ttl);
            while Instant::now() < until {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            cluster.etcd.restart(etcd_leader);
        });
        report.assert_nothing_lost();
        let timelines: std::collections::BTreeSet<_> =
            report.acknowledged.iter().map(|one| one.timeline).collect();
        let stayed = timelines.len() == 1 && cluster.leader() == Some(former);
        demotions += usize::from(!stayed);
        gap
    };
    let samples: Vec<_> = (0..ETCD_KILLS).map(once).collect();
    vec![
        Figure::of_times("etcd leader killed, gap", "≤ 0.1", &samples),
        Figure::new("etcd leader killed, demotions in all runs", "", "0", vec![demotions as f64]),
    ]
}

/// The primary's host is gone: no packet is answered any more.
pub fn host_gone(rig: &mut Rig) -> Vec<Figure> {
    let runs = rig.runs;
    rig.replace(Plan { in_namespaces: true, ..rig.plan() });
    let cluster = rig.cluster();
    let mut lost = Vec::new();
    let once = |_| {
        let mut former = 0;
        let (gap, report) = under_load(cluster, |cluster, leader| {
            former = leader;
            cluster.network.as_ref().expect("a network").unplug(leader);
            cluster.nodes[leader].kill_host();
            cluster.wait_for_another_leader(leader, BOUND);
        });
        lost.push(report.lost.len() as f64);
        cluster.network.as_ref().expect("a network").plug_in(former);
        cluster.nodes[former].start();
        gap
    };
    let samples: Vec<_> = (0..runs).map(once).collect();
    vec![
        Figure::of_times("host gone, gap", "≤ ttl + 0.7", &samples),
        Figure::new("host gone, acknowledged writes lost (asynchronous)", "", "", lost),
    ]
}
