//! What should be said about the etcd at hand, once, when the agent starts. Nothing of it is refused.

use std::time::Duration;

use tracing::{debug, warn};

use crate::dcs::{EtcdStore, election_timeout_max};
use crate::publish::Published;
use crate::values::LeaseTimes;

/// How long etcd may take to answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Warns about old members, a history that is never compacted, and a `ttl` that does not outlive an
/// election of etcd's.
pub async fn warn_about(store: EtcdStore, published: Published) {
    match store.findings(WITHIN).await {
        Ok(findings) => findings.iter().for_each(|finding| warn!(%finding, "about etcd")),
        Err(error) => debug!(error = &error as &dyn std::error::Error, "etcd was not examined"),
    }
    let Ok(granted) = store.probe_minimum_ttl(WITHIN).await else { return };
    let ttl = published.get().times.ttl;
    let floor = LeaseTimes::floor(election_timeout_max(granted));
    if ttl < floor {
        warn!(
            ?ttl,
            ?floor,
            "ttl may not outlive an election of etcd's: raise it, or lower etcd's \
            --heartbeat-interval and --election-timeout"
        );
    }
}
