//! The configuration of a simulated node.

use std::path::PathBuf;

use pgbaton::config::{
    Account, Authentication, Bootstrap, CtlConfig, EtcdConfig, HostPort, LogConfig, NodeConfig,
    OwnConfig, PostgresqlConfig, RestApi, SharedSettings, Source, Tags, WatchdogConfig,
};
use serde_json::json;

use crate::plan::Plan;
use crate::world::World;

/// The configuration of one node.
pub fn of(world: &World, node: usize) -> NodeConfig {
    let address = |port| HostPort { host: format!("n{node}"), port };
    let account = |name: &str| Account { username: name.to_owned(), ..Account::default() };
    let plan = &world.plan;
    let dcs = dynamic(plan);
    let tags = match plan.tags[node].as_ref() {
        Some((name, value)) => json!({ *name: value }),
        None => json!({}),
    };
    let map = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    NodeConfig {
        scope: "sim".to_owned(),
        namespace: "service".to_owned(),
        name: world.hosts[node].name.clone(),
        restapi: RestApi {
            listen: address(8008),
            connect_address: address(8008),
            authentication: None,
            http_extra_headers: Vec::new(),
        },
        etcd: EtcdConfig {
            endpoints: vec!["http://store:2379".to_owned()],
            credentials: None,
            cacert: None,
            cert: None,
            key: None,
        },
        bootstrap: Some(Bootstrap {
            dcs: map(dcs),
            initdb: Vec::new(),
            pg_hba: Vec::new(),
            post_bootstrap: None,
        }),
        postgresql: PostgresqlConfig {
            listen_addresses: format!("n{node}"),
            port: 5432,
            connect_address: address(5432),
            data_dir: PathBuf::from("/data"),
            config_dir: PathBuf::from("/data"),
            pgpass: PathBuf::from("/pgpass"),
            authentication: Authentication {
                superuser: account("postgres"),
                replication: account("replicator"),
                rewind: None,
            },
            local: SharedSettings {
                use_pg_rewind: Some(plan.use_pg_rewind),
                remove_data_directory_on_diverged_timelines: Some(plan.remove_diverged),
                remove_data_directory_on_rewind_failure: Some(plan.remove_after_failed_rewind),
                ..SharedSettings::default()
            },
        },
        tags: Tags::from_map(&map(tags)).0,
        log: LogConfig::default(),
        ctl: CtlConfig::default(),
        watchdog: WatchdogConfig::default(),
        pgbaton: OwnConfig { diverged_data: plan.diverged_data, ..OwnConfig::default() },
        source: Source::default(),
    }
}

/// What the cluster begins with.
fn dynamic(plan: &Plan) -> serde_json::Value {
    let mut dcs = json!({
        "ttl": plan.ttl.as_secs(),
        "loop_wait": 1,
        "retry_timeout": 1,
        "maximum_lag_on_failover": plan.lag_bytes_max,
        "failsafe_mode": plan.failsafe,
        "primary_start_timeout": plan.primary_start_timeout_seconds,
        "pgbaton": { "primary_stall_timeout": plan.stall_timeout_seconds },
    });
    if plan.sync.is_on() {
        dcs["synchronous_mode"] = plan.sync.mode.clone();
        dcs["synchronous_mode_strict"] = plan.sync.strict.into();
        dcs["synchronous_node_count"] = plan.sync.count.into();
    }
    dcs
}
