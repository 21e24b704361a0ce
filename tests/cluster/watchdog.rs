//! Agents with a watchdog device, which says in words what it is told and restarts no machine.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::give_away;
use crate::support::node::Node;
use crate::support::wait::wait_until;
use crate::support::watchdog_device::Device;

/// The device of a node, which is told to use it.
fn device_of(node: &mut Node) -> Device {
    let device = Device::new(&node.dir);
    give_away(&device.path);
    node.set("/watchdog", settings(&device.path.to_string_lossy()));
    device
}

/// Half of the ttl is its timeout.
fn settings(device: &str) -> Value {
    json!({ "mode": "required", "device": device, "safety_margin": -1, "driver": "testing" })
}

fn shows_it_armed(node: &Node) -> Option<bool> {
    node.get("/patroni")?.json()["pgbaton"]["watchdog"]["armed"].as_bool()
}

#[test]
fn a_leader_keeps_it_quiet_and_one_that_is_stopped_does_not() {
    let mut cluster = Cluster::prepare(Plan { ttl: 4, ..Plan::default() });
    let mut devices: Vec<Device> = cluster.nodes.iter_mut().map(device_of).collect();
    cluster.nodes.iter_mut().for_each(Node::start);
    let leader = cluster.wait_until_whole(START_BOUND);
    wait_until("signs of life", BOUND, || devices[leader].signs() > 3);
    assert!(devices[leader].said().starts_with("timeout 2\n"), "{:?}", devices[leader].said());
    assert_eq!(shows_it_armed(&cluster.nodes[leader]), Some(true));
    for other in cluster.others(leader) {
        assert_eq!(devices[other].signs(), 0, "it has nothing to be watched for");
        assert_eq!(shows_it_armed(&cluster.nodes[other]), Some(false));
    }
    cluster.nodes[leader].signal(Signal::SIGSTOP);
    let next = cluster.wait_for_another_leader(leader, BOUND);
    wait_until("it is disarmed: nothing is left", BOUND, || devices[leader].is_disarmed());
    wait_until("the next leader's is kept quiet", BOUND, || devices[next].signs() > 3);
    let before = devices[leader].signs();
    cluster.nodes[leader].signal(Signal::SIGCONT);
    cluster.wait_until_whole(BOUND);
    assert_eq!(devices[leader].signs(), before, "it does not lead any more");
}

#[test]
fn where_it_is_required_and_not_there_a_node_does_not_lead() {
    let mut cluster = Cluster::prepare(Plan { nodes: 2, ttl: 4, ..Plan::default() });
    let mut device = device_of(&mut cluster.nodes[0]);
    cluster.nodes[1].set("/watchdog", settings("/no/such/device"));
    cluster.nodes.iter_mut().for_each(Node::start);
    assert_eq!(cluster.wait_until_whole(START_BOUND), 0);
    cluster.nodes[0].kill_host();
    cluster.nodes[1].wait_for_log("this node cannot be fenced: ", BOUND);
    let shown = cluster.nodes[1].get("/patroni").expect("an answer").json();
    assert_eq!(shown["watchdog_failed"], true, "{shown}");
    assert!(!cluster.nodes[1].is_primary());
    assert!(device.signs() > 0 && !device.is_disarmed(), "its guardian is gone: it acts");
    cluster.nodes[0].start();
    assert_eq!(cluster.wait_until_whole(BOUND), 0);
}
