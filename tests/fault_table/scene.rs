//! The cluster that a fault is played on, and what the fault has left to be undone.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::Fault;
use super::play::{How, Mode};
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::etcd::EtcdSettings;
use crate::support::node::Node;
use crate::support::slow_line::SlowLine;
use crate::support::volume::{Frozen, Volume};
use crate::support::wait::wait_until;
use crate::support::wall_clock::WallClock;

/// What a fault needs of the place where its cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Plain,
    /// Each node in a network namespace.
    Network,
    /// The first node, which leads, on a volume of its own.
    Volume {
        megabytes: u64,
    },
    /// Lines to etcd that can be slowed down.
    SlowEtcd,
    /// The first node, which leads, with a wall clock of its own.
    OwnClock,
}

/// etcd's default timing is for leases of this length or more.
const TTL_OF_DEFAULT_ETCD: u64 = 5;

/// The order of the fields is the order in which they end: a frozen disk is thawed first, and nobody uses
/// a volume or a line any more when it goes.
pub struct Scene {
    pub(super) frozen: Option<Frozen>,
    pub cluster: Cluster,
    pub(super) volume: Option<Volume>,
    pub(super) lines: Vec<SlowLine>,
    pub(super) clock: Option<WallClock>,
    pub leader: usize,
    /// When the fault began.
    pub since: Instant,
    /// Nodes without an agent, and etcd members that do not run or do not answer, because of the fault.
    pub(super) dead: Vec<usize>,
    pub(super) sick: Vec<usize>,
    pub(super) filler: Option<PathBuf>,
}

impl Scene {
    /// A whole cluster, fenced and replicating as told.
    #[track_caller]
    pub fn set(fault: &Fault, how: &How) -> Scene {
        let cluster = Cluster::prepare(plan(fault, how));
        let mut scene = Scene {
            frozen: None,
            cluster,
            volume: None,
            lines: Vec::new(),
            clock: None,
            leader: 0,
            since: Instant::now(),
            dead: Vec::new(),
            sick: Vec::new(),
            filler: None,
        };
        for node in &mut scene.cluster.nodes {
            node.set("/pgbaton", json!({ "fence": fault.fence }));
        }
        scene.furnish(fault.place);
        scene.cluster.nodes[0].start();
        assert_eq!(scene.cluster.wait_for_leader(START_BOUND), 0);
        scene.cluster.nodes[1..].iter_mut().for_each(Node::start);
        let whole = Instant::now();
        scene.leader = scene.cluster.wait_until_whole(START_BOUND);
        if fault.failsafe {
            scene.cluster.wait_until_listed(scene.leader);
        }
        if how.mode == Mode::Quorum {
            scene.wait_for_quorum();
        }
        if fault.settled {
            let led = how.stall_timeout * 3;
            wait_until("the leader has led for a while", led * 2, || whole.elapsed() > led);
        }
        scene
    }

    fn furnish(&mut self, place: Place) {
        match place {
            Place::Plain | Place::Network => {}
            Place::Volume { megabytes } => {
                self.volume = Some(Volume::mount(&self.cluster.nodes[0].dir, megabytes));
            }
            Place::SlowEtcd => {
                for node in &mut self.cluster.nodes {
                    let line = |host: String| {
                        SlowLine::open(node.ip, host.parse().expect("an address of etcd"))
                    };
                    let lines: Vec<SlowLine> =
                        etcd_hosts(&self.cluster.etcd).into_iter().map(line).collect();
                    let hosts: Vec<String> =
                        lines.iter().map(|line| line.entry.to_string()).collect();
                    node.set("/etcd3/hosts", json!(hosts));
                    self.lines.extend(lines);
                }
            }
            Place::OwnClock => {
                let dir = self.cluster.dir();
                let node = &mut self.cluster.nodes[0];
                let clock = WallClock::make(&dir.join("clock"));
                node.environment = clock.environment();
                self.clock = Some(clock);
            }
        }
    }

    #[track_caller]
    fn wait_for_quorum(&self) {
        let others = self.cluster.nodes.len() - 1;
        wait_until("the standbys are of the quorum", START_BOUND, || {
            let votes = |node: &&Node| node.answers("/quorum", 200);
            self.cluster.nodes.iter().filter(votes).count() == others
        });
    }

    /// The node that led when the fault began.
    pub fn node(&self) -> &Node {
        &self.cluster.nodes[self.leader]
    }

    pub(super) fn node_mut(&mut self) -> &mut Node {
        &mut self.cluster.nodes[self.leader]
    }
}

fn etcd_hosts(etcd: &crate::support::etcd::Etcd) -> Vec<String> {
    let host = |url: String| url.trim_start_matches("http://").to_owned();
    etcd.endpoints().into_iter().map(host).collect()
}

fn plan(fault: &Fault, how: &How) -> Plan {
    let mut dcs = json!({
        "failsafe_mode": fault.failsafe,
        "pgbaton": { "primary_stall_timeout": how.stall_timeout.as_secs() },
    });
    if how.mode == Mode::Quorum {
        dcs["synchronous_mode"] = json!("quorum");
    }
    if matches!(fault.place, Place::Volume { .. }) {
        dcs["postgresql"] =
            json!({ "parameters": { "min_wal_size": "32MB", "max_wal_size": "32MB" } });
    }
    let timing_millis = (how.ttl < TTL_OF_DEFAULT_ETCD).then_some((25, 250));
    Plan {
        etcd_members: 3,
        ttl: how.ttl,
        in_namespaces: fault.place == Place::Network,
        etcd: EtcdSettings { timing_millis, ..EtcdSettings::default() },
        dcs,
        ..Plan::default()
    }
}
