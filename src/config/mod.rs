//! One validated value from YAML, environment and the cluster's dynamic configuration.
//!
//! [`NodeConfig`] is what this node was told locally, [`Dynamic`] what the whole cluster was told
//! through the store, [`effective_postgresql`] what both together mean for the server. The names of
//! Patroni's YAML end here.

mod address;
mod build;
mod check;
mod dynamic;
mod effective;
mod env;
mod etcd;
mod finding;
mod guc;
mod host;
mod kept;
mod known;
mod listen;
mod load;
mod node;
mod patch;
mod postgresql;
mod rules;
mod scalar_rules;
mod shared;
mod slots;
mod tags;
mod timing;
mod value_kinds;
mod watchdog;
mod yaml;

pub use address::{HostPort, InvalidHostPort};
pub use dynamic::{Adjustment, DocumentError, Dynamic, Floors, SynchronousMode};
pub use effective::{EffectivePostgresql, effective_postgresql};
pub use finding::{Finding, Severity};
pub use guc::{
    CLOSED_NAMES, HOT_STANDBY_FEEDBACK, MAX_SLOT_WAL_KEEP_BYTES_DEFAULT, MAX_SLOT_WAL_KEEP_SIZE,
    MAX_SLOT_WAL_KEEP_SIZE_DEFAULT, slot_wal_bytes,
};
pub use host::{check_host, check_ports};
pub use load::{Loaded, ToolConfig, environment, load, load_tool, merged};
pub use node::{
    Bootstrap, Credentials, CtlConfig, DivergedData, EtcdConfig, KEEP_ASIDE_DEFAULT, LogConfig,
    LogLevel, NodeConfig, OwnConfig, RestApi, STATISTICS_INTERVAL_DEFAULT, Source, key_prefix,
};
pub use patch::{SetPathError, merge_patch, parse_yaml, set_path};
pub use postgresql::{
    Account, Authentication, Callbacks, PostgresqlConfig, Program, SharedSettings,
};
pub use scalar_rules::{parse_duration, parse_size_bytes};
pub use slots::{PermanentSlot, SlotMatcher};
pub use tags::Tags;
pub use watchdog::WatchdogConfig;
