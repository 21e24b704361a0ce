//! The text of PostgreSQL's configuration files. Knows no I/O.

use std::collections::BTreeMap;

use crate::config::{
    EffectivePostgresql, HOT_STANDBY_FEEDBACK, MAX_SLOT_WAL_KEEP_SIZE,
    MAX_SLOT_WAL_KEEP_SIZE_DEFAULT,
};

/// How a generated file begins.
const HEADER: &str = "# Written by pgbaton. What is changed here is overwritten: change the \
                      cluster's configuration instead.";

/// Always written: a target would keep a standby from following, and some need a restart to change.
const RECOVERY_TARGETS: [(&str, &str); 6] = [
    ("recovery_target", ""),
    ("recovery_target_lsn", ""),
    ("recovery_target_name", ""),
    ("recovery_target_time", ""),
    ("recovery_target_timeline", "latest"),
    ("recovery_target_xid", ""),
];

/// How long a standby waits before it tries its upstream again. PostgreSQL's own five seconds would be
/// most of a failover.
const RETRY: (&str, &str) = ("wal_retrieve_retry_interval", "200ms");

/// What belongs to recovery. None of it may stand in `postgresql.auto.conf`, where a copy or a rewind
/// can bring another server's.
const RECOVERY: [&str; 6] = [
    "archive_cleanup_command",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "restore_command",
];

/// Where a server gets its log from, as PostgreSQL's settings say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// `primary_conninfo`; empty for a server that receives nothing.
    pub conninfo: String,
    /// `primary_slot_name`; empty for none.
    pub slot: String,
    /// Whether `restore_command` is kept empty: a standby that is settled gets nothing more.
    pub is_settled: bool,
}

/// The settings that a `postgresql.conf` says besides those of the configuration.
fn source_settings(source: &Source, settings: &EffectivePostgresql) -> BTreeMap<String, String> {
    let mut all = settings.parameters.clone();
    for (name, value) in RECOVERY_TARGETS {
        all.insert(name.to_owned(), value.to_owned());
    }
    all.entry(RETRY.0.to_owned()).or_insert_with(|| RETRY.1.to_owned());
    all.insert("primary_conninfo".to_owned(), source.conninfo.clone());
    all.insert("primary_slot_name".to_owned(), source.slot.clone());
    if source.is_settled {
        all.insert("restore_command".to_owned(), String::new());
        // What was received has to be replayed now.
        all.insert("recovery_min_apply_delay".to_owned(), "0".to_owned());
    }
    all
}

/// Has a standby keep logical slots like its primary's.
pub(super) const SYNC_SLOTS: &str = "sync_replication_slots";

/// What stands where nobody says anything; `syncs`: the server knows that setting.
fn defaults(settings: &EffectivePostgresql, syncs: bool) -> Vec<(&'static str, &'static str)> {
    let mut defaults = vec![(MAX_SLOT_WAL_KEEP_SIZE, MAX_SLOT_WAL_KEEP_SIZE_DEFAULT)];
    if settings.carries_logical_slots {
        defaults.push((HOT_STANDBY_FEEDBACK, "on"));
        if syncs {
            defaults.push((SYNC_SLOTS, "on"));
        }
    }
    defaults
}

/// The whole `postgresql.conf`, which includes the file that was there first.
pub(super) fn postgresql_conf(
    settings: &EffectivePostgresql,
    source: &Source,
    base: &str,
    syncs: bool,
) -> String {
    let mut text = format!("{HEADER}\n\n");
    // Before the user's own file, whose values stand if it has any.
    for (name, default) in defaults(settings, syncs) {
        if !settings.parameters.contains_key(name) {
            text.push_str(&format!("{name} = {}\n\n", quoted(default)));
        }
    }
    text.push_str(&format!("include {}\n\n", quoted(base)));
    for (name, value) in source_settings(source, settings) {
        text.push_str(&format!("{name} = {}\n", quoted(&value)));
    }
    text
}

/// Whether a `postgresql.conf` was generated, by us or by Patroni: then it is not the original one.
pub(super) fn is_generated(conf: &str) -> bool {
    conf.starts_with(HEADER)
        || conf.lines().any(|line| line.starts_with("include 'postgresql.base"))
}

/// The source that a `postgresql.conf` says.
pub(super) fn source_in(conf: &str) -> Source {
    let value = |name: &str| setting_in(conf, name);
    Source {
        conninfo: value("primary_conninfo").unwrap_or_default(),
        slot: value("primary_slot_name").unwrap_or_default(),
        is_settled: false,
    }
}

/// What a `postgresql.conf` of ours says of one setting.
pub(super) fn setting_in(conf: &str, name: &str) -> Option<String> {
    conf.lines().rev().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == name).then(|| unquoted(value.trim()))
    })
}

/// A whole `pg_hba.conf` or `pg_ident.conf`.
pub(super) fn lines_file(lines: &[String]) -> String {
    let mut text = format!("{HEADER}\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// `postgresql.auto.conf` without what belongs to recovery.
pub(super) fn without_recovery(auto_conf: &str) -> String {
    let is_recovery = |line: &&str| {
        let name = line.split(['=', ' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        RECOVERY.contains(&name.as_str()) || name.starts_with("recovery_target")
    };
    auto_conf.lines().filter(|line| !is_recovery(line)).map(|line| format!("{line}\n")).collect()
}

/// A name in a list of standbys.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

pub(super) fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next()),
            '\'' => {
                letters.next_if_eq(&'\'');
                text.push('\'');
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(parameters: &[(&str, &str)]) -> EffectivePostgresql {
        let pairs = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        EffectivePostgresql {
            parameters: pairs.collect(),
            command_line: Vec::new(),
            pg_hba: None,
            pg_ident: None,
            use_pg_rewind: false,
            use_slots: true,
            carries_logical_slots: false,
            pg_ctl_timeout: Duration::from_secs(60),
            callbacks: Default::default(),
            remove_data_directory_on_rewind_failure: false,
            remove_data_directory_on_diverged_timelines: false,
            bin_dir: None,
            bin_name: Default::default(),
            database: "postgres".into(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_value_survives_its_quotes() {
        for value in ["", "plain", "it's", "back\\slash", "host='a b' password='x\\'y'", "''"] {
            assert_eq!(unquoted(&quoted(value)), value, "{}", quoted(value));
        }
        assert_eq!(unquoted("on"), "on");
    }

    #[test]
    fn the_file_says_where_the_log_comes_from() {
        let source =
            Source { conninfo: "user=r host='a b'".into(), slot: "a".into(), is_settled: false };
        let conf = postgresql_conf(&settings(&[]), &source, "postgresql.base.conf", false);
        assert_eq!(source_in(&conf), source);
        assert!(is_generated(&conf));
        assert!(conf.contains("recovery_target_timeline = 'latest'\n"));
        assert_eq!(source_in("# nothing\n"), Source::default());
    }

    #[test]
    fn the_bound_of_slots_is_a_default_that_the_users_own_file_overrides() {
        let conf = postgresql_conf(&settings(&[]), &Source::default(), "base.conf", false);
        let at = |what: &str| conf.find(what).unwrap();
        assert!(at("max_slot_wal_keep_size = '8GB'\n") < at("include 'base.conf'\n"));
        let own = settings(&[("max_slot_wal_keep_size", "-1")]);
        let conf = postgresql_conf(&own, &Source::default(), "base.conf", false);
        assert!(conf.contains("max_slot_wal_keep_size = '-1'\n") && !conf.contains("8GB"));
    }

    #[test]
    fn a_server_that_can_keeps_logical_slots_by_itself_unless_the_user_says_otherwise() {
        let says = |own: &[(&str, &str)], carries_logical_slots, syncs| {
            let own = EffectivePostgresql { carries_logical_slots, ..settings(own) };
            let conf = postgresql_conf(&own, &Source::default(), "base.conf", syncs);
            setting_in(&conf, "sync_replication_slots")
        };
        assert_eq!(says(&[], true, true).as_deref(), Some("on"));
        assert_eq!(says(&[("sync_replication_slots", "off")], true, true).as_deref(), Some("off"));
        assert_eq!(says(&[], true, false), None, "a server that does not know it does not start");
        assert_eq!(says(&[], false, true), None);
    }

    #[test]
    fn a_settled_standby_has_no_way_to_get_more() {
        let own = settings(&[("restore_command", "cp /archive/%f %p"), ("work_mem", "8MB")]);
        let settled = Source { is_settled: true, ..Source::default() };
        let conf = postgresql_conf(&own, &settled, "base.conf", false);
        assert!(conf.contains("restore_command = ''\n") && conf.contains("work_mem = '8MB'\n"));
        assert!(conf.contains("recovery_min_apply_delay = '0'\n"), "or it would wait that long");
        let conf = postgresql_conf(&own, &Source::default(), "base.conf", false);
        assert!(conf.contains("restore_command = 'cp /archive/%f %p'\n"));
    }

    #[test]
    fn the_users_own_retry_interval_counts() {
        let own = settings(&[("wal_retrieve_retry_interval", "3s")]);
        let conf = postgresql_conf(&own, &Source::default(), "base.conf", false);
        assert!(conf.contains("wal_retrieve_retry_interval = '3s'\n"));
    }

    #[test]
    fn another_servers_recovery_settings_leave_the_auto_conf() {
        let auto =
            "# comment\nprimary_conninfo = 'host=a'\nwork_mem = '8MB'\nRestore_Command='x'\n";
        assert_eq!(without_recovery(auto), "# comment\nwork_mem = '8MB'\n");
    }
}
