//! Every key of the local file and of the dynamic document: its type, and whether pgbaton acts on it.
//! The tables answer three questions: is this key known, does its value fit, does it do anything.

mod cluster;
mod node;
mod postgresql;

/// One key, by its dotted path below the prefix of its table.
pub(super) struct Known {
    pub path: &'static str,
    pub kind: Kind,
    pub action: Action,
}

/// What may stand under a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A mapping whose keys are in the tables.
    Section,
    /// A mapping with keys of the tables and others beside.
    OpenSection,
    /// A mapping with any keys.
    Mapping,
    /// A mapping of names to texts and numbers.
    Scalars,
    Any,
    Text,
    Path,
    Switch,
    /// As Python takes it: any text that is not empty is true.
    TagSwitch,
    Int(i64, i64),
    /// Seconds; a fraction is fine, a unit is not.
    Seconds,
    /// A whole number of seconds without a unit: the three times.
    Time,
    /// A duration in seconds, or with a unit.
    Duration,
    /// A whole number of at least this, in any of PostgreSQL's spellings.
    Number(i64),
    Address,
    Listen,
    OneOf(&'static [&'static str]),
    Level,
    /// A mapping of loggers to levels.
    Loggers,
    /// A list of texts.
    Lines,
    /// A list of texts, or one text with commas.
    HostList,
    Command,
    /// `on`, `off` or `quorum`.
    SynchronousMode,
    /// `off`, `automatic` or `required`.
    WatchdogMode,
    InitdbOptions,
    Gucs,
}

/// What pgbaton does with a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Acted,
    /// Nothing yet; the text says what that means, and is empty when nothing more is to say.
    Later(&'static str),
    /// Nothing, ever; the text says why.
    Never(&'static str),
    /// It counts only in the cluster's document.
    ClusterOnly,
    /// It counts only in the node's file.
    NodeOnly,
    /// Going on without it would do something else than what was meant.
    Refused(&'static str),
}

const fn acted(path: &'static str, kind: Kind) -> Known {
    Known { path, kind, action: Action::Acted }
}

const fn later(path: &'static str, kind: Kind) -> Known {
    Known { path, kind, action: Action::Later("") }
}

const fn later_so(path: &'static str, kind: Kind, meanwhile: &'static str) -> Known {
    Known { path, kind, action: Action::Later(meanwhile) }
}

const fn never(path: &'static str, kind: Kind, reason: &'static str) -> Known {
    Known { path, kind, action: Action::Never(reason) }
}

const fn other(path: &'static str, kind: Kind, action: Action) -> Known {
    Known { path, kind, action }
}

/// The tables and where each hangs; the first that knows a path answers.
const TABLES: &[(&str, &[Known])] = &[
    ("", node::TOP),
    ("log.", node::LOG),
    ("restapi.", node::RESTAPI),
    ("ctl.", node::CTL),
    ("etcd3.", node::ETCD),
    ("etcd.", node::ETCD),
    ("bootstrap.", node::BOOTSTRAP),
    ("watchdog.", node::WATCHDOG),
    ("tags.", node::TAGS),
    ("citus.", node::CITUS),
    ("pgbaton.", node::OWN),
    ("postgresql.", postgresql::LOCAL),
    ("postgresql.", postgresql::SHARED),
    ("postgresql.authentication.superuser.", postgresql::ACCOUNT),
    ("postgresql.authentication.replication.", postgresql::ACCOUNT),
    ("postgresql.authentication.rewind.", postgresql::ACCOUNT),
    ("postgresql.superuser.", postgresql::ACCOUNT),
    ("postgresql.replication.", postgresql::ACCOUNT),
    ("postgresql.pg_rewind.", postgresql::ACCOUNT),
    ("bootstrap.dcs.", cluster::DYNAMIC),
    ("bootstrap.dcs.standby_cluster.", cluster::STANDBY_CLUSTER),
    ("bootstrap.dcs.pgbaton.", cluster::OWN),
    ("bootstrap.dcs.postgresql.", cluster::POSTGRESQL),
    ("bootstrap.dcs.postgresql.", postgresql::SHARED),
    ("bootstrap.dcs.postgresql.", cluster::POSTGRESQL_OF_THE_NODE),
];

/// What is known of a dotted path.
pub(super) fn find(path: &str) -> Option<&'static Known> {
    TABLES.iter().find_map(|(prefix, keys)| {
        let rest = path.strip_prefix(prefix)?;
        keys.iter().find(|known| known.path == rest)
    })
}

/// The known keys directly below a dotted path (empty for the top level).
fn children(parent: &str) -> impl Iterator<Item = &'static str> {
    let parent = if parent.is_empty() { String::new() } else { format!("{parent}.") };
    TABLES.iter().flat_map(move |(prefix, keys)| {
        let parent = parent.clone();
        keys.iter().filter_map(move |known| {
            // The part of the parent's path that lies within this table's paths.
            let within = parent.strip_prefix(prefix)?;
            let child = known.path.strip_prefix(within)?;
            (!child.contains('.')).then_some(child)
        })
    })
}

/// The known key below `parent` that `key` was probably meant to be.
pub(super) fn nearest(parent: &str, key: &str) -> Option<&'static str> {
    let key = key.to_lowercase().replace('-', "_");
    let distance_max = match key.chars().count() {
        0..4 => 1,
        4..8 => 2,
        _ => 3,
    };
    let by_letters = children(parent)
        .map(|known| (strsim::damerau_levenshtein(known, &key), known))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, known)| known);
    // Beside tags of the user's own, a common beginning says too little.
    let by_beginning = || {
        let is_begun = |known: &&str| key.len() >= 4 && known.starts_with(&key);
        children(parent).filter(|_| parent != "tags").find(is_begun)
    };
    by_letters.or_else(by_beginning)
}

/// The path that an environment variable's words mean within a section: `CONNECT_ADDRESS`.
pub(super) fn in_section(section: &str, words: &str) -> Option<(String, Kind)> {
    let path = format!("{section}.{}", words.to_lowercase());
    find(&path).map(|known| (path, known.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_stands_twice_in_its_tables() {
        let mut seen = BTreeSet::new();
        for (prefix, keys) in TABLES {
            for known in *keys {
                assert!(seen.insert(format!("{prefix}{}", known.path)), "{prefix}{}", known.path);
            }
        }
    }

    #[test]
    fn every_nested_key_has_a_section_above_it() {
        for (prefix, keys) in TABLES {
            for known in *keys {
                let path = format!("{prefix}{}", known.path);
                let Some((parent, _)) = path.rsplit_once('.') else { continue };
                let parent = find(parent).unwrap_or_else(|| panic!("nothing above {path}"));
                assert!(matches!(parent.kind, Kind::Section | Kind::OpenSection), "{path}");
            }
        }
    }

    #[test]
    fn the_nearest_key_is_one_of_the_same_section() {
        assert_eq!(nearest("", "postgres"), Some("postgresql"));
        assert_eq!(nearest("", "scoop"), Some("scope"));
        assert_eq!(nearest("postgresql.authentication.superuser", "user"), Some("username"));
        assert_eq!(nearest("tags", "clone"), None);
        assert_eq!(nearest("postgresql", "data-dir"), Some("data_dir"));
        assert_eq!(nearest("postgresql.authentication.superuser", "pasword"), Some("password"));
        assert_eq!(nearest("bootstrap.dcs", "loop_wiat"), Some("loop_wait"));
        assert_eq!(nearest("restapi", "frobnicate"), None);
    }
}
