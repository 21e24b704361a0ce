//! How a cluster comes to be, and how nodes come and go.

use std::time::Duration;

use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::sql;

#[test]
fn three_nodes_make_one_cluster() {
    let cluster = Cluster::start(Plan::default());
    let inits = cluster.nodes.iter().filter(|node| node.log().contains("initdb")).count();
    assert_eq!(inits, 1, "exactly one node makes the cluster");
}
