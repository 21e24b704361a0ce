//! PostgreSQL's parameters: which ones the agent controls, what it accepts for them, and how those of
//! the node's file and of the cluster's document become one list.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dynamic::Adjustment;
use super::effective::{Refused, Side};
use super::scalar_rules::{Unit, parse_bool, parse_int};
use super::{NodeConfig, SharedSettings};

/// The parameters in force.
pub(super) struct Merged {
    pub parameters: BTreeMap<String, String>,
    pub command_line: Vec<(String, String)>,
}

/// What the cluster may say about a controlled parameter.
enum Accepts {
    /// Nothing: the agent knows it.
    Nothing,
    /// `on` only.
    OnlyOn,
    /// On or off.
    Switch,
    /// A level that standbys can live on.
    WalLevel,
    /// A whole number of at least this.
    AtLeast(i64),
}

/// Name, default, and what is accepted; local values never count. The default of the first three is
/// filled in from the node's own configuration.
const CONTROLLED: [(&str, &str, Accepts); 13] = [
    ("listen_addresses", "", Accepts::Nothing),
    ("port", "", Accepts::Nothing),
    ("cluster_name", "", Accepts::Nothing),
    ("hot_standby", "on", Accepts::OnlyOn),
    ("wal_level", "replica", Accepts::WalLevel),
    ("max_connections", "100", Accepts::AtLeast(25)),
    ("max_wal_senders", "10", Accepts::AtLeast(3)),
    ("max_prepared_transactions", "0", Accepts::AtLeast(0)),
    ("max_locks_per_transaction", "64", Accepts::AtLeast(32)),
    ("max_replication_slots", "10", Accepts::AtLeast(4)),
    ("max_worker_processes", "8", Accepts::AtLeast(2)),
    ("track_commit_timestamp", "off", Accepts::Switch),
    ("wal_log_hints", "on", Accepts::Switch),
];

/// Controlled, but changed by a reload, so it stays off the command line.
const WAL_KEEP_SIZE: &str = "wal_keep_size";
const WAL_KEEP_SEGMENTS: &str = "wal_keep_segments";
const WAL_KEEP_SIZE_DEFAULT: &str = "128MB";
/// PostgreSQL lets slots keep log without bound, and a member or consumer that is gone then fills the
/// disk of the primary. With this much it can be away for hours, and the disk of a server holds it.
pub const MAX_SLOT_WAL_KEEP_SIZE: &str = "max_slot_wal_keep_size";
pub const MAX_SLOT_WAL_KEEP_SIZE_DEFAULT: &str = "8GB";
/// The default, in bytes.
pub const MAX_SLOT_WAL_KEEP_BYTES_DEFAULT: u64 = 8 << 30;

/// A value of that parameter in bytes; `None` for one without a bound, or none at all.
pub fn slot_wal_bytes(text: &str) -> Option<u64> {
    let megabytes = parse_int(&Value::from(text), Unit::Mebibytes)?;
    u64::try_from(megabytes).ok()?.checked_mul(1 << 20)
}

/// Smallest `wal_keep_size` and the size of a WAL segment, in MB.
const WAL_SEGMENT_MB: i64 = 16;

/// Whether the agent controls this parameter, so that a node's own value does not count.
pub(super) fn is_controlled(name: &str) -> bool {
    CONTROLLED.iter().any(|(controlled, ..)| *controlled == name)
        || matches!(name, WAL_KEEP_SIZE | WAL_KEEP_SEGMENTS)
}

/// Whether the agent sets this one itself on standbys, or the setting is gone from PostgreSQL 13+.
fn is_managed(name: &str) -> bool {
    matches!(name, "primary_conninfo" | "primary_slot_name" | "standby_mode" | "data_directory")
        || matches!(name, "trigger_file" | "promote_trigger_file" | "config_file")
        || name.starts_with("recovery_target")
}

/// Merges both sides; `refused` learns what does not count.
pub(super) fn merge(node: &NodeConfig, shared: &SharedSettings, refused: &mut Refused) -> Merged {
    let local = &node.postgresql.local;
    let mut parameters = BTreeMap::new();
    let mut take = |side: Side, section: &str, given: &BTreeMap<String, String>| {
        for (name, value) in given {
            let is_clusters_own = side == Side::Cluster && section == "parameters";
            let reason = match is_controlled(name) {
                true if is_clusters_own => continue,
                true => Some("does not count: only the cluster's value does"),
                false => refusal(name, value),
            };
            match reason {
                Some(reason) => {
                    let key = format!("postgresql.{section}.{name}");
                    refused.push((side, Adjustment::new(key, reason)));
                }
                None => {
                    parameters.insert(name.clone(), value.clone());
                }
            }
        }
    };
    take(Side::Cluster, "parameters", &shared.parameters);
    take(Side::Local, "parameters", &local.parameters);
    match (&local.recovery_conf, &shared.recovery_conf) {
        (Some(recovery), _) => take(Side::Local, "recovery_conf", recovery),
        (None, Some(recovery)) => take(Side::Cluster, "recovery_conf", recovery),
        (None, None) => {}
    }
    let command_line = controlled(node, &shared.parameters, refused);
    parameters.extend(command_line.iter().cloned());
    parameters.insert(WAL_KEEP_SIZE.to_owned(), wal_keep_size(&shared.parameters, refused));
    for (guc, file) in [("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")] {
        let path = parameters.get(guc).map_or(file, String::as_str);
        let path = node.postgresql.config_dir.join(path).to_string_lossy().into_owned();
        parameters.insert(guc.to_owned(), path);
    }
    Merged { parameters, command_line }
}

/// What a server waits for that was not told otherwise, while the agents manage synchronous replication:
/// somebody who never comes. No member has this name.
/// The number is never reached either, whoever else a walsender may still count.
pub const CLOSED_NAMES: &str = "1000000 (\"pgbaton: no synchronous standby yet\")";

/// Takes over what synchronous replication needs of the server. One that restarts itself after a crash
/// would let clients in before its standbys have what it had.
pub(super) fn manage_synchronous_standbys(merged: &mut Merged, refused: &mut Refused) {
    for (name, managed) in
        [("synchronous_standby_names", CLOSED_NAMES), ("restart_after_crash", "off")]
    {
        let own = merged.parameters.insert(name.to_owned(), managed.to_owned());
        if own.is_some_and(|own| own != managed) {
            let key = format!("postgresql.parameters.{name}");
            let message = "the agent sets this one itself while synchronous_mode is on";
            refused.push((Side::Cluster, Adjustment::new(key, message)));
        }
    }
    let name = "synchronous_commit";
    let is_weak = |level: &String| {
        parse_bool(&level.as_str().into()) == Some(false)
            || ["local", "remote_write"].contains(&level.to_ascii_lowercase().as_str())
    };
    if merged.parameters.get(name).is_some_and(is_weak) {
        let key = format!("postgresql.parameters.{name}");
        let message = "in force, and so commits are acknowledged before a standby has them on its disk: \
                       synchronous_mode keeps only those of sessions that set it to on or remote_apply";
        refused.push((Side::Cluster, Adjustment::new(key, message)));
    }
}

/// A standby tells its primary what its logical slots need: else rows go that they cannot do without.
pub const HOT_STANDBY_FEEDBACK: &str = "hot_standby_feedback";

/// Whether standbys can carry logical slots along with these parameters; `refused` learns why not.
pub(super) fn can_carry_logical_slots(merged: &Merged, refused: &mut Refused) -> bool {
    let own = |name: &str| merged.parameters.get(name).map(String::as_str);
    let is_told = own(HOT_STANDBY_FEEDBACK).is_none_or(|own| parse_bool(&own.into()) == Some(true));
    if !is_told {
        let key = format!("postgresql.parameters.{HOT_STANDBY_FEEDBACK}");
        let message = "logical slots are carried over to the next leader only where it is on";
        refused.push((Side::Cluster, Adjustment::new(key, message)));
    }
    is_told && own("wal_level") == Some("logical")
}

/// Why a parameter that is not controlled does not go into the file.
fn refusal(name: &str, value: &str) -> Option<&'static str> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c));
    if !starts_well || !goes_on_well {
        return Some("this is not a parameter's name");
    }
    if value.contains(['\n', '\r', '\0']) {
        return Some("a value has one line");
    }
    is_managed(name).then_some("the agent sets this one itself")
}

/// The controlled parameters in the order of the table.
fn controlled(
    node: &NodeConfig,
    given: &BTreeMap<String, String>,
    refused: &mut Refused,
) -> Vec<(String, String)> {
    CONTROLLED
        .iter()
        .map(|(name, default, accepts)| {
            let own = match *name {
                "listen_addresses" => node.postgresql.listen_addresses.clone(),
                "port" => node.postgresql.port.to_string(),
                "cluster_name" => node.scope.clone(),
                _ => (*default).to_owned(),
            };
            let value = match given.get(*name) {
                None => own,
                Some(given) => accepts.read(given).unwrap_or_else(|expected| {
                    let message =
                        format!("expected {expected}, found {given:?}: {own} is in force");
                    let key = format!("postgresql.parameters.{name}");
                    refused.push((Side::Cluster, Adjustment::new(key, message)));
                    own
                }),
            };
            ((*name).to_owned(), value)
        })
        .collect()
}

impl Accepts {
    /// The value as it is written, or what was expected instead.
    fn read(&self, given: &str) -> Result<String, String> {
        let value = Value::from(given);
        match self {
            Accepts::Nothing => Err("nothing here, as each node's own value counts".to_owned()),
            Accepts::OnlyOn => match parse_bool(&value) {
                Some(true) => Ok("on".to_owned()),
                _ => Err("on".to_owned()),
            },
            Accepts::Switch => parse_bool(&value)
                .map(|on| if on { "on" } else { "off" }.to_owned())
                .ok_or_else(|| "on or off".to_owned()),
            Accepts::WalLevel => match given.to_ascii_lowercase().as_str() {
                "hot_standby" | "replica" => Ok("replica".to_owned()),
                "logical" => Ok("logical".to_owned()),
                _ => Err("replica or logical".to_owned()),
            },
            Accepts::AtLeast(least) => parse_int(&value, Unit::None)
                .filter(|number| number >= least)
                .map(|number| number.to_string())
                .ok_or_else(|| format!("a whole number of at least {least}")),
        }
    }
}

/// The cluster's `wal_keep_size`, or what its older `wal_keep_segments` comes to.
fn wal_keep_size(given: &BTreeMap<String, String>, refused: &mut Refused) -> String {
    let mut read = |name: &str, unit: Unit, least: i64| {
        let text = given.get(name)?;
        let number = parse_int(&Value::from(text.as_str()), unit).filter(|n| *n >= least);
        if number.is_none() {
            let message = format!(
                "expected at least {least}, found {text:?}: {WAL_KEEP_SIZE_DEFAULT} is in force"
            );
            let key = format!("postgresql.parameters.{name}");
            refused.push((Side::Cluster, Adjustment::new(key, message)));
        }
        number
    };
    if given.contains_key(WAL_KEEP_SIZE) {
        let size = read(WAL_KEEP_SIZE, Unit::Mebibytes, WAL_SEGMENT_MB);
        return size.map_or_else(|| WAL_KEEP_SIZE_DEFAULT.to_owned(), |mb| format!("{mb}MB"));
    }
    read(WAL_KEEP_SEGMENTS, Unit::None, 1)
        .and_then(|segments| segments.checked_mul(WAL_SEGMENT_MB))
        .map_or_else(|| WAL_KEEP_SIZE_DEFAULT.to_owned(), |mb| format!("{mb}MB"))
}
