//! What the node's file and the cluster's document together mean for the PostgreSQL server. Local
//! values win, except where the whole cluster must agree. Written for PostgreSQL 13 and later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dynamic::Adjustment;
use super::guc;
use super::{Callbacks, Dynamic, NodeConfig, Program, SharedSettings};

/// The settings in force for this node's server.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectivePostgresql {
    /// Every GUC for `postgresql.conf`, the controlled ones included, by lower-case name.
    pub parameters: BTreeMap<String, String>,
    /// Those that also go on the server's command line, so that `ALTER SYSTEM` cannot change them.
    pub command_line: Vec<(String, String)>,
    /// The whole of `pg_hba.conf`, when it is managed. `None` too when `hba_file` points elsewhere.
    pub pg_hba: Option<Vec<String>>,
    /// The whole of `pg_ident.conf`, when it is managed. `None` too when `ident_file` points elsewhere.
    pub pg_ident: Option<Vec<String>>,
    /// Whether `pg_rewind` may be used.
    pub use_pg_rewind: bool,
    /// Whether members get replication slots.
    pub use_slots: bool,
    /// Whether there are permanent logical slots, and standbys can carry them along.
    pub carries_logical_slots: bool,
    /// How long PostgreSQL may take to start.
    pub pg_ctl_timeout: Duration,
    /// Commands run on events.
    pub callbacks: Callbacks,
    /// Whether a data directory that could not be rewound may be cloned anew.
    pub remove_data_directory_on_rewind_failure: bool,
    /// Whether a data directory that cannot be rewound may be cloned anew.
    pub remove_data_directory_on_diverged_timelines: bool,
    /// Directory of PostgreSQL's programs; `None` means `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// Names that replace those of PostgreSQL's programs.
    pub bin_name: BTreeMap<Program, String>,
    /// Database of the agent's own connections, and of the member's `conn_url`.
    pub database: String,
    /// What was given and is not in force, with the reason.
    pub warnings: Vec<String>,
}

impl EffectivePostgresql {
    /// The path, or the bare name, by which to run `program`.
    pub fn program(&self, program: Program) -> PathBuf {
        let name = self.bin_name.get(&program).map_or(program.name(), String::as_str);
        self.bin_dir.as_ref().map_or_else(|| PathBuf::from(name), |dir| dir.join(name))
    }
}

/// How long PostgreSQL may take to start when nothing was said.
const PG_CTL_TIMEOUT: Duration = Duration::from_secs(60);

/// Which document a setting stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The cluster's.
    Cluster,
    /// The node's file.
    Local,
}

const ONE_WITHOUT_SLOTS: &str = "commits wait for 1: without replication slots (postgresql.use_slots) a standby \
     that connects anew can confirm a commit twice";

/// What does not count, and where it stands.
pub(super) type Refused = Vec<(Side, Adjustment)>;

/// Merges the node's `postgresql` section over the cluster's.
pub fn effective_postgresql(node: &NodeConfig, dynamic: &Dynamic) -> EffectivePostgresql {
    let (mut merged, refused) = merge_sides(node, dynamic);
    merged.warnings = refused
        .into_iter()
        .map(|(side, one)| match side {
            Side::Cluster => format!("cluster's {one}"),
            Side::Local => one.to_string(),
        })
        .collect();
    merged
}

/// Merges, and leaves the warnings apart.
pub(super) fn merge_sides(node: &NodeConfig, dynamic: &Dynamic) -> (EffectivePostgresql, Refused) {
    let (shared, adjustments) = SharedSettings::read(&dynamic.postgresql);
    let mut refused: Refused = adjustments.into_iter().map(|one| (Side::Cluster, one)).collect();
    let local = &node.postgresql.local;
    let mut merged = guc::merge(node, &shared, &mut refused);
    if dynamic.manages_synchronous_standbys() {
        guc::manage_synchronous_standbys(&mut merged, &mut refused);
    }
    let use_slots = shared.use_slots.unwrap_or(true);
    let has_logical_slots = use_slots && dynamic.slots.iter().any(|one| one.logical.is_some());
    let carries_logical_slots =
        has_logical_slots && guc::can_carry_logical_slots(&merged, &mut refused);
    if dynamic.manages_synchronous_standbys() && dynamic.synchronous_node_count > 1 && !use_slots {
        refused.push((Side::Cluster, Adjustment::new("synchronous_node_count", ONE_WITHOUT_SLOTS)));
    }
    let config_dir = &node.postgresql.config_dir;
    let own_file = |guc: &str, name: &str| {
        merged
            .parameters
            .get(guc)
            .is_some_and(|path| config_dir.join(name).as_path() == Path::new(path))
    };
    let lines = |local: &Option<Vec<String>>, shared: Option<Vec<String>>| {
        local.clone().or(shared).filter(|lines| !lines.is_empty())
    };
    let effective = EffectivePostgresql {
        pg_hba: lines(&local.pg_hba, shared.pg_hba).filter(|_| own_file("hba_file", "pg_hba.conf")),
        pg_ident: lines(&local.pg_ident, shared.pg_ident)
            .filter(|_| own_file("ident_file", "pg_ident.conf")),
        use_pg_rewind: local.use_pg_rewind.or(shared.use_pg_rewind).unwrap_or(false),
        use_slots,
        carries_logical_slots,
        pg_ctl_timeout: local.pg_ctl_timeout.or(shared.pg_ctl_timeout).unwrap_or(PG_CTL_TIMEOUT),
        callbacks: local.callbacks.clone().or(shared.callbacks).unwrap_or_default(),
        remove_data_directory_on_rewind_failure: local
            .remove_data_directory_on_rewind_failure
            .or(shared.remove_data_directory_on_rewind_failure)
            .unwrap_or(false),
        remove_data_directory_on_diverged_timelines: local
            .remove_data_directory_on_diverged_timelines
            .or(shared.remove_data_directory_on_diverged_timelines)
            .unwrap_or(false),
        bin_dir: local.bin_dir.clone().or(shared.bin_dir),
        bin_name: local.bin_name.clone().or(shared.bin_name).unwrap_or_default(),
        database: local
            .database
            .clone()
            .or(shared.database)
            .unwrap_or_else(|| "postgres".to_owned()),
        parameters: merged.parameters,
        command_line: merged.command_line,
        warnings: Vec::new(),
    };
    (effective, refused)
}

#[cfg(test)]
#[path = "effective_tests.rs"]
mod tests;
