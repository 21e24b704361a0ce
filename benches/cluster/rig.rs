//! The cluster that is measured: made when it is first needed, and whole again before each measurement.

use std::time::Duration;

use crate::Options;
use crate::support::cluster::{Cluster, Plan};
use crate::support::etcd::EtcdSettings;
use crate::support::node::{Agent, Node};
use crate::support::report::Report;

/// How long anything may take before the measurement is given up.
pub const BOUND: Duration = Duration::from_secs(180);
/// What the clients are given before and after a fault.
const WRITES: u64 = 100;

/// The lease of the measured cluster, in seconds. Patroni does not take less than 20; its default is 30.
fn ttl(agent: Agent) -> u64 {
    match agent {
        Agent::Pgbaton => 5,
        Agent::Patroni => 30,
    }
}

/// Where measurements run.
pub struct Rig {
    pub runs: usize,
    agent: Agent,
    cluster: Option<Cluster>,
}

impl Rig {
    pub fn new(options: &Options) -> Rig {
        Rig { runs: options.runs, agent: options.agent, cluster: None }
    }

    /// How a cluster is laid out here.
    pub fn plan(&self) -> Plan {
        Plan {
            agent: self.agent,
            etcd_members: 3,
            ttl: ttl(self.agent),
            etcd: EtcdSettings::default(),
            ..Plan::default()
        }
    }

    /// The cluster, whole.
    pub fn cluster(&mut self) -> &mut Cluster {
        let plan = self.plan();
        let cluster = self.cluster.get_or_insert_with(|| prepare(plan));
        cluster.wait_until_whole(BOUND);
        cluster
    }

    /// Ends the cluster, so that another has the machine for itself.
    pub fn clear(&mut self) {
        self.cluster = None;
    }

    /// Makes a cluster of another kind, in the place of the one there is.
    pub fn replace(&mut self, plan: Plan) {
        self.clear();
        self.cluster = Some(prepare(plan));
    }
}

fn prepare(plan: Plan) -> Cluster {
    let mut cluster = Cluster::prepare(plan);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster
}

/// What a fault does to the clients: `fault` gets the cluster and its leader; afterwards writes go on.
pub fn under_load(
    cluster: &mut Cluster,
    fault: impl FnOnce(&mut Cluster, usize),
) -> (Duration, Report) {
    let leader = cluster.wait_until_whole(BOUND);
    let ledger = cluster.open_ledger();
    ledger.wait_for_writes(leader, WRITES, BOUND);
    let since = std::time::Instant::now();
    fault(cluster, leader);
    ledger.wait_for_writes_anywhere(WRITES, BOUND);
    let leader = cluster.wait_for_leader(BOUND);
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.assert_one_writer();
    (report.gap_since(since), report)
}
