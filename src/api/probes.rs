//! Health checks: which path is true of a status at one moment. No question goes to PostgreSQL or
//! etcd, and every claim runs out by the clock.
//!
//! Paths, their order and their matching are Patroni's, quirks included. Ours is what makes `/primary`
//! true: a primary whose deadline lies ahead, where Patroni answers for whoever took the key less than
//! `ttl` ago.

use crate::cluster::Role;
use crate::publish::Status;
use crate::values::{Lsn, Monotonic};

use super::query::Query;
use super::shown::Shown;

/// Whether a health check of `path` passes.
pub fn passes(status: &Status, now: Monotonic, path: &str, query: &Query) -> bool {
    let probe = Probe { shown: Shown { status, now }, query };
    match Check::of(path) {
        Check::StandbyLeader => probe.is_standby_leader(),
        Check::Leader => probe.is_writable() || probe.is_standby_leader(),
        Check::Primary => probe.is_writable(),
        other => probe.passes_for_reads(other) && query.tags_match(&status.tags),
    }
}

/// Whether the loop has turned lately enough that the agent should be left running.
pub fn is_alive(status: &Status, now: Monotonic) -> bool {
    let leads = status.role == Role::Primary && Shown { status, now }.is_running();
    let limit = if leads { status.times.ttl } else { status.times.ttl * 2 };
    status.dynamic.pause || now.since(status.turned_at) < limit
}

/// Whether this node serves its part of the cluster: it leads, or streams and is not far behind.
pub fn is_ready(status: &Status, now: Monotonic, query: &Query) -> bool {
    let shown = Shown { status, now };
    if status.holds_lease(now) {
        return true;
    }
    if !shown.is_fresh() || !shown.is_running() || !shown.is_streaming() {
        return false;
    }
    if shown.cluster().is_none() && shown.latest_end().is_none() {
        return false;
    }
    let limit = query.lag_bytes_max().unwrap_or(status.dynamic.maximum_lag_on_failover);
    let counted = if query.counts_received() { shown.received() } else { shown.replayed() };
    counted.unwrap_or_default().bytes_behind(shown.leader_lsn()) <= limit
}

/// What a path asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    StandbyLeader,
    Leader,
    Primary,
    Replica,
    ReadOnly,
    Health,
    Sync,
    Quorum,
    Async,
    ReadOnlyQuorum,
    ReadOnlySync,
    Nothing,
}

impl Check {
    /// Evaluated from top to bottom; the later ones need the exact path.
    fn of(path: &str) -> Check {
        let has = |part: &str| path.contains(part);
        if has("standby_leader") || has("standby-leader") {
            Check::StandbyLeader
        } else if has("leader") {
            Check::Leader
        } else if path == "/" || has("master") || has("primary") || has("read-write") {
            Check::Primary
        } else if has("replica") {
            Check::Replica
        } else if has("read-only") && !has("sync") && !has("quorum") {
            Check::ReadOnly
        } else if has("health") {
            Check::Health
        } else {
            match path {
                "/sync" | "/synchronous" => Check::Sync,
                "/quorum" => Check::Quorum,
                "/async" | "/asynchronous" => Check::Async,
                "/read-only-quorum" => Check::ReadOnlyQuorum,
                "/read-only-sync" | "/read-only-synchronous" => Check::ReadOnlySync,
                _ => Check::Nothing,
            }
        }
    }
}

struct Probe<'a> {
    shown: Shown<'a>,
    query: &'a Query,
}

impl Probe<'_> {
    fn is_writable(&self) -> bool {
        let status = self.shown.status;
        status.is_writable(self.shown.now) && !status.dynamic.is_standby_cluster()
    }

    fn is_standby_leader(&self) -> bool {
        let status = self.shown.status;
        status.dynamic.is_standby_cluster()
            && status.holds_lease(self.shown.now)
            && self.shown.is_fresh()
            && matches!(status.role, Role::Replica | Role::StandbyLeader)
    }

    fn leads(&self) -> bool {
        self.is_writable() || self.is_standby_leader()
    }

    /// Whether this is a replica that may be read from and does not lag.
    fn is_replica(&self) -> bool {
        let status = self.shown.status;
        let leads_a_standby_cluster =
            status.dynamic.is_standby_cluster() && status.holds_lease(self.shown.now);
        status.takes_reads
            && !status.stopping
            && !leads_a_standby_cluster
            && self.shown.is_fresh()
            && self.shown.is_running()
            && self.shown.role() == "replica"
            && !self.lags()
    }

    fn lags(&self) -> bool {
        let Some(lag_bytes_max) = self.query.lag_bytes_max() else { return false };
        let Some(leader_lsn) = self.shown.leader_lsn().known() else { return false };
        let replayed = self.shown.replayed().unwrap_or(Lsn::ZERO);
        replayed.bytes_behind(leader_lsn) > lag_bytes_max
    }

    fn passes_for_reads(&self, check: Check) -> bool {
        let shown = self.shown;
        match check {
            Check::Replica => self.is_replica(),
            Check::ReadOnly => self.leads() || self.is_replica(),
            Check::Health => shown.is_running() && shown.is_fresh(),
            _ if shown.cluster().is_none() => false,
            Check::Sync => shown.is_sync_standby() && self.is_replica(),
            Check::Quorum => shown.is_quorum_standby() && self.is_replica(),
            Check::Async => shown.listed_standby().is_none() && self.is_replica(),
            Check::ReadOnlyQuorum => self.leads() || shown.is_quorum_standby() && self.is_replica(),
            Check::ReadOnlySync => self.leads() || shown.is_sync_standby() && self.is_replica(),
            Check::StandbyLeader | Check::Leader | Check::Primary | Check::Nothing => false,
        }
    }
}
