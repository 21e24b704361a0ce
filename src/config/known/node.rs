//! The keys of the node's file outside of its `postgresql` section.

use super::Action::{ClusterOnly, Refused};
use super::Kind::*;
use super::{Known, acted, later, later_so, never, other};
use crate::values::FenceChoice;

const OTHER_STORE: &str = "pgbaton keeps its state in etcd, section etcd3";
const PLAIN_HTTP: &str = "the REST API answers over plain HTTP";
const INT: super::Kind = Int(0, i64::MAX);
const OWN_THREADS: &str = "pgbaton has no such threads";

pub(super) const TOP: &[Known] = &[
    acted("scope", Text),
    acted("name", Text),
    acted("namespace", Text),
    never("thread_pool_size", INT, OWN_THREADS),
    never("thread_stack_size", Any, OWN_THREADS),
    acted("log", Section),
    acted("restapi", Section),
    acted("ctl", Section),
    acted("postgresql", OpenSection),
    acted("bootstrap", OpenSection),
    acted("watchdog", Section),
    acted("tags", OpenSection),
    acted("citus", Section),
    acted("pgbaton", Section),
    acted("etcd3", Section),
    acted("etcd", Section),
    never("consul", Mapping, OTHER_STORE),
    never("zookeeper", Mapping, OTHER_STORE),
    never("exhibitor", Mapping, OTHER_STORE),
    never("kubernetes", Mapping, OTHER_STORE),
    never("raft", Mapping, OTHER_STORE),
    other("ttl", Any, ClusterOnly),
    other("loop_wait", Any, ClusterOnly),
    other("retry_timeout", Any, ClusterOnly),
    other("maximum_lag_on_failover", Any, ClusterOnly),
    other("maximum_lag_on_syncnode", Any, ClusterOnly),
    other("max_timelines_history", Any, ClusterOnly),
    other("primary_start_timeout", Any, ClusterOnly),
    other("primary_stop_timeout", Any, ClusterOnly),
    other("master_start_timeout", Any, ClusterOnly),
    other("master_stop_timeout", Any, ClusterOnly),
    other("synchronous_mode", Any, ClusterOnly),
    other("synchronous_mode_strict", Any, ClusterOnly),
    other("synchronous_node_count", Any, ClusterOnly),
    other("failsafe_mode", Any, ClusterOnly),
    other("check_timeline", Any, ClusterOnly),
    other("member_slots_ttl", Any, ClusterOnly),
    other("pause", Any, ClusterOnly),
    other("slots", Any, ClusterOnly),
    other("permanent_slots", Any, ClusterOnly),
    other("permanent_replication_slots", Any, ClusterOnly),
    other("ignore_slots", Any, ClusterOnly),
    other("standby_cluster", Any, ClusterOnly),
];

pub(super) const LOG: &[Known] = &[
    acted("type", OneOf(&["plain", "json"])),
    acted("level", Level),
    acted("static_fields", Mapping),
    acted("dir", Path),
    acted("file_num", Int(0, u32::MAX as i64)),
    acted("file_size", Int(0, i64::MAX)),
    acted("mode", Int(0, 0o777)),
    acted("loggers", Loggers),
    never("traceback_level", Text, "there are no tracebacks"),
    never("format", Any, "it is a format of Python's"),
    never("dateformat", Text, "times are written as RFC 3339"),
    acted("max_queue_size", Int(1, 1_000_000)),
    never("deduplicate_heartbeat_logs", Switch, "there are no heartbeat lines"),
];

pub(super) const RESTAPI: &[Known] = &[
    acted("listen", Address),
    acted("connect_address", Address),
    acted("authentication", Section),
    acted("authentication.username", Text),
    acted("authentication.password", Text),
    acted("http_extra_headers", Scalars),
    later_so("https_extra_headers", Scalars, PLAIN_HTTP),
    later_so("certfile", Path, PLAIN_HTTP),
    later_so("keyfile", Path, PLAIN_HTTP),
    later_so("keyfile_password", Text, PLAIN_HTTP),
    later_so("cafile", Path, PLAIN_HTTP),
    later_so("ciphers", Text, PLAIN_HTTP),
    later_so("verify_client", OneOf(&["none", "optional", "required"]), PLAIN_HTTP),
    later_so("allowlist", HostList, "every address may ask"),
    later_so("allowlist_include_members", Switch, "every address may ask"),
    never("request_queue_size", INT, OWN_THREADS),
    never("thread_pool_size", INT, OWN_THREADS),
    later("server_tokens", Text),
];

pub(super) const CTL: &[Known] = &[
    acted("authentication", Section),
    acted("authentication.username", Text),
    acted("authentication.password", Text),
    later_so("insecure", Switch, PLAIN_HTTP),
    later_so("cacert", Path, PLAIN_HTTP),
    later_so("certfile", Path, PLAIN_HTTP),
    later_so("keyfile", Path, PLAIN_HTTP),
    later_so("keyfile_password", Text, PLAIN_HTTP),
];

pub(super) const ETCD: &[Known] = &[
    acted("host", Text),
    acted("hosts", HostList),
    acted("port", Int(1, 65535)),
    acted("url", Text),
    acted("protocol", OneOf(&["http", "https"])),
    acted("username", Text),
    acted("password", Text),
    acted("cacert", Path),
    acted("cert", Path),
    acted("key", Path),
    later("proxy", Text),
    later("use_proxies", Switch),
    later("srv", Text),
    later("srv_suffix", Text),
    later("discovery_srv", Text),
    later("srv_domain", Text),
];

pub(super) const BOOTSTRAP: &[Known] = &[
    acted("dcs", Section),
    acted("initdb", InitdbOptions),
    acted("pg_hba", Lines),
    acted("post_bootstrap", Command),
    acted("post_init", Command),
    acted("method", Text),
    never("users", Any, "make roles in bootstrap.post_bootstrap"),
];

pub(super) const WATCHDOG: &[Known] = &[
    acted("mode", WatchdogMode),
    acted("device", Path),
    acted("safety_margin", Int(-1, i64::MAX)),
    acted("driver", OneOf(&["default", "testing"])),
];

pub(super) const TAGS: &[Known] = &[
    acted("nofailover", TagSwitch),
    acted("failover_priority", Int(i64::MIN, i64::MAX)),
    acted("noloadbalance", TagSwitch),
    later_so("clonefrom", TagSwitch, "base backups come from the leader"),
    acted("nosync", TagSwitch),
    acted("sync_priority", Int(i64::MIN, i64::MAX)),
    later_so("replicatefrom", Text, "the node streams from the leader"),
    later_so("nostream", Switch, "the node streams from the leader"),
];

const NO_CITUS: &str = "pgbaton cannot run a Citus cluster yet";

pub(super) const CITUS: &[Known] =
    &[other("group", INT, Refused(NO_CITUS)), other("database", Text, Refused(NO_CITUS))];

pub(super) const OWN: &[Known] = &[
    acted("state_dir", Path),
    acted("fence", OneOf(&FenceChoice::WORDS)),
    acted("diverged_data", OneOf(&crate::config::DivergedData::WORDS)),
    acted("keep_aside", Int(1, 100)),
    acted("statistics_interval", Duration),
];
