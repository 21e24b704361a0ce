//! The keys of a `postgresql` section: those of the node's file alone, and those that the cluster's
//! document may hold as well.

use super::Action::ClusterOnly;
use super::Kind::*;
use super::{Known, acted, later, later_so, other};

pub(super) const LOCAL: &[Known] = &[
    acted("listen", Listen),
    acted("connect_address", Address),
    later("proxy_address", Address),
    acted("data_dir", Path),
    acted("config_dir", Path),
    acted("pgpass", Path),
    acted("authentication", Section),
    acted("authentication.superuser", Section),
    acted("authentication.replication", Section),
    acted("authentication.rewind", Section),
    acted("name", Text),
    acted("superuser", Section),
    acted("replication", Section),
    acted("pg_rewind", Section),
    other("use_slots", Switch, ClusterOnly),
];

pub(super) const SHARED: &[Known] = &[
    acted("bin_dir", Any),
    acted("bin_name", Section),
    acted("bin_name.initdb", Text),
    acted("bin_name.pg_basebackup", Text),
    acted("bin_name.pg_controldata", Text),
    acted("bin_name.pg_ctl", Text),
    acted("bin_name.pg_isready", Text),
    acted("bin_name.pg_rewind", Text),
    acted("bin_name.postgres", Text),
    acted("database", Text),
    acted("parameters", Gucs),
    acted("pg_hba", Lines),
    acted("pg_ident", Lines),
    acted("recovery_conf", Gucs),
    acted("callbacks", Section),
    acted("callbacks.on_start", Command),
    acted("callbacks.on_stop", Command),
    acted("callbacks.on_restart", Command),
    acted("callbacks.on_reload", Command),
    acted("callbacks.on_role_change", Command),
    acted("pg_ctl_timeout", Seconds),
    acted("use_pg_rewind", Switch),
    acted("remove_data_directory_on_rewind_failure", Switch),
    acted("remove_data_directory_on_diverged_timelines", Switch),
    later("config_base_name", Text),
    later_so("custom_conf", Path, "postgresql.base.conf is included"),
    later_so("use_unix_socket", Switch, "the agent connects over TCP"),
    later_so("use_unix_socket_repl", Switch, "replication connects over TCP"),
    later("krbsrvname", Text),
    later_so("create_replica_methods", Lines, "replicas are made with pg_basebackup"),
    later_so("create_replica_method", Lines, "replicas are made with pg_basebackup"),
    later("basebackup", Any),
    later_so("pre_promote", Command, "a promotion does not ask it"),
    later_so("before_stop", Command, "a stop does not run it"),
];

pub(super) const ACCOUNT: &[Known] = &[
    acted("username", Text),
    acted("password", Text),
    acted("sslmode", Text),
    acted("sslcert", Path),
    acted("sslkey", Path),
    acted("sslpassword", Text),
    acted("sslrootcert", Path),
    acted("sslcrl", Path),
    acted("sslcrldir", Path),
    acted("gssencmode", Text),
    acted("channel_binding", Text),
    acted("sslnegotiation", Text),
];
