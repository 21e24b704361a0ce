//! The keys of the dynamic document, as `bootstrap.dcs` and the store hold it.

use super::Action::{NodeOnly, Refused};
use super::Kind::*;
use super::{Known, acted, later, other};

pub(super) const DYNAMIC: &[Known] = &[
    acted("ttl", Time),
    acted("loop_wait", Time),
    acted("retry_timeout", Time),
    acted("maximum_lag_on_failover", Number(0)),
    acted("primary_start_timeout", Duration),
    acted("master_start_timeout", Duration),
    acted("postgresql", OpenSection),
    acted("maximum_lag_on_syncnode", Number(-1)),
    acted("max_timelines_history", Number(0)),
    later("primary_stop_timeout", Duration),
    later("master_stop_timeout", Duration),
    acted("synchronous_mode", SynchronousMode),
    acted("synchronous_mode_strict", Switch),
    acted("synchronous_node_count", Number(0)),
    acted("failsafe_mode", Switch),
    later("check_timeline", Switch),
    acted("member_slots_ttl", Duration),
    later("pause", Switch),
    acted("slots", Mapping),
    acted("permanent_slots", Mapping),
    acted("permanent_replication_slots", Mapping),
    acted("ignore_slots", Any),
    acted("standby_cluster", Section),
    acted("pgbaton", Section),
];

/// Keys of the cluster's that are ours alone.
pub(super) const OWN: &[Known] = &[acted("primary_stall_timeout", Duration)];

const NO_STANDBY_CLUSTER: &str = "pgbaton cannot run a standby cluster yet, and would make an \
                                  independent one";

pub(super) const STANDBY_CLUSTER: &[Known] = &[
    other("host", Text, Refused(NO_STANDBY_CLUSTER)),
    other("port", Int(1, 65535), Refused(NO_STANDBY_CLUSTER)),
    other("restore_command", Text, Refused(NO_STANDBY_CLUSTER)),
    later("primary_slot_name", Text),
    later("create_replica_methods", Lines),
    later("archive_cleanup_command", Text),
    later("recovery_min_apply_delay", Any),
];

pub(super) const POSTGRESQL: &[Known] = &[acted("use_slots", Switch)];

/// Keys that each node says for itself.
pub(super) const POSTGRESQL_OF_THE_NODE: &[Known] = &[
    other("listen", Any, NodeOnly),
    other("connect_address", Any, NodeOnly),
    other("proxy_address", Any, NodeOnly),
    other("config_dir", Any, NodeOnly),
    other("data_dir", Any, NodeOnly),
    other("pgpass", Any, NodeOnly),
    other("authentication", Any, NodeOnly),
    other("name", Any, NodeOnly),
];
