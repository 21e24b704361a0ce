//! The one list of the metrics that are ours alone: name, type, labels and meaning. Whatever is
//! recorded, rendered or documented is looked up here.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the agent restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution: `_bucket`, `_sum`, `_count`.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric, as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels besides `scope` and `name`.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

pub(super) const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, labels, help }
}

pub(super) const TURN: Family = family(
    "pgbaton_turn_duration_seconds",
    Kind::Histogram,
    &["stage"],
    "How long each stage of the agent's turns took.",
);
pub(super) const WAKES: Family =
    family("pgbaton_wakes_total", Kind::Counter, &["cause"], "What started the agent's turns.");
pub(super) const DECISIONS: Family = family(
    "pgbaton_decision_changes_total",
    Kind::Counter,
    &["reason"],
    "Changes of the decision in force, by the new one's reason.",
);
pub(super) const PROMOTIONS: Family = family(
    "pgbaton_promotions_total",
    Kind::Counter,
    &["reason"],
    "Promotions of this node's server, by the reason of the decision.",
);
pub(super) const DEMOTIONS: Family = family(
    "pgbaton_demotions_total",
    Kind::Counter,
    &["reason"],
    "How often this node's primary was taken down, by the reason of the decision.",
);
pub(super) const RENEWALS: Family = family(
    "pgbaton_lease_renewals_total",
    Kind::Counter,
    &["outcome"],
    "Tries to renew the lease, by outcome: renewed, late, lost, unanswered, stuck.",
);
pub(super) const STORE: Family = family(
    "pgbaton_store_request_duration_seconds",
    Kind::Histogram,
    &["operation", "outcome"],
    "How long requests to the store took, by what they were for and outcome (ok, error).",
);
pub(super) const FENCED: Family = family(
    "pgbaton_guardian_kills_total",
    Kind::Counter,
    &[],
    "Kills of the server at its deadline by the guardian that this agent learned of.",
);
/// What is left of the lease.
pub const LEASE_LEFT: Family = family(
    "pgbaton_lease_left_seconds",
    Kind::Gauge,
    &[],
    "What is left until this node's deadline; 0 when it does not hold the lease.",
);
/// The term of the lease.
pub const TERM: Family = family(
    "pgbaton_term",
    Kind::Gauge,
    &[],
    "The term of the lease that this node holds, else of the last holder that it saw; 0 for none.",
);
/// Whether writes are accepted.
pub const WRITABLE: Family = family(
    "pgbaton_writable",
    Kind::Gauge,
    &[],
    "1 while this node is a primary whose deadline lies ahead: what /primary answers.",
);
/// How old the decision is.
pub const DECISION_AGE: Family = family(
    "pgbaton_seconds_since_decision_change",
    Kind::Gauge,
    &[],
    "How long the decision in force has been the same.",
);
/// How old the status is.
pub const TURN_AGE: Family = family(
    "pgbaton_seconds_since_turn",
    Kind::Gauge,
    &[],
    "How long ago the agent's loop turned last.",
);
/// The job.
pub const JOB: Family = family(
    "pgbaton_job_running",
    Kind::Gauge,
    &["job"],
    "1 for the job that runs beside the loop.",
);
/// How far a copy is.
pub const COPIED: Family = family(
    "pgbaton_copied_bytes",
    Kind::Gauge,
    &[],
    "How much of the leader's data has been copied so far; 0 while no copy is made.",
);
/// What was given up.
pub const GIVEN_UP: Family = family(
    "pgbaton_given_up_wal_bytes",
    Kind::Gauge,
    &["step"],
    "How much log of its own this node gave up when it last came back, by what became of it.",
);
/// What slots keep.
pub const SLOT_KEEPS: Family = family(
    "pgbaton_slot_wal_bytes",
    Kind::Gauge,
    &["slot"],
    "How much log each replication slot of this node's server keeps.",
);
/// Which slots are in use.
pub const SLOT_ACTIVE: Family = family(
    "pgbaton_slot_active",
    Kind::Gauge,
    &["slot"],
    "1 for each replication slot of this node's server that somebody streams from, else 0.",
);
/// Which slots are of no use any more.
pub const SLOT_AT_RISK: Family = family(
    "pgbaton_slot_wal_at_risk",
    Kind::Gauge,
    &["slot", "status"],
    "1 for each replication slot whose log is about to go (unreserved) or gone (lost).",
);
/// How old a probe's last good answer is.
pub const PROBE_AGE: Family = family(
    "pgbaton_probe_answer_age_seconds",
    Kind::Gauge,
    &["probe"],
    "How long ago the question was asked that was answered well last (commit, connection, disk); \
     without a sample while the probe has no such answer.",
);
/// How long a probe's last good answer took.
pub const PROBE_TOOK: Family = family(
    "pgbaton_probe_answer_seconds",
    Kind::Gauge,
    &["probe"],
    "How long the last good answer took.",
);
/// For how long an answer is owed.
pub const PROBE_SILENT: Family = family(
    "pgbaton_probe_silent_seconds",
    Kind::Gauge,
    &["probe"],
    "For how long a probe has had no answer to its question, or only that it does not work; 0 while \
     it is answered.",
);
/// How often a probe was not answered in time.
pub const PROBE_FAILURES: Family = family(
    "pgbaton_probe_failures_total",
    Kind::Counter,
    &["probe"],
    "Questions that were not answered in time, or answered with what does not work.",
);
/// Whether the leader's server is of no use.
pub const STALLED: Family = family(
    "pgbaton_primary_stalled",
    Kind::Gauge,
    &[],
    "1 while this node leads with a server that two signs say is hung, stalled or out of space.",
);
/// Whether this node should not be chosen.
pub const UNFIT: Family = family(
    "pgbaton_unfit",
    Kind::Gauge,
    &[],
    "1 while something is wrong with this node as a candidate: its disk, its replay, its receiving.",
);
/// What is free on the log's volume.
pub const LOG_VOLUME_FREE: Family = family(
    "pgbaton_wal_volume_free_bytes",
    Kind::Gauge,
    &[],
    "What is free on the log's volume, as the disk probe told last; without a sample before that.",
);
/// Events that are in memory only.
pub const EVENTS_UNWRITTEN: Family = family(
    "pgbaton_events_unwritten_total",
    Kind::Counter,
    &[],
    "Events that did not get to this node's disk: it stalls, is full, or cannot be written.",
);
/// Who enforces the deadline.
pub const FENCE: Family = family(
    "pgbaton_fence_info",
    Kind::Gauge,
    &["strength"],
    "Always 1; the label says how the server is fenced: container, namespace, cgroup, subreaper, none.",
);
/// How synchronous replication is asked for.
pub const SYNCHRONOUS: Family = family(
    "pgbaton_synchronous_mode_info",
    Kind::Gauge,
    &["mode"],
    "Always 1; the label says what the cluster's settings ask for: off, on, quorum.",
);
/// Whether a watchdog device is armed.
pub const WATCHDOG: Family = family(
    "pgbaton_watchdog_armed",
    Kind::Gauge,
    &[],
    "1 while a watchdog device is armed for this node's server, else 0.",
);
/// What runs.
pub const BUILD: Family = family(
    "pgbaton_build_info",
    Kind::Gauge,
    &["version"],
    "Always 1; the label says which pgbaton runs.",
);

/// All of them: first what is read from the status, then what is counted.
pub const OURS: &[Family] = &[
    BUILD,
    FENCE,
    SYNCHRONOUS,
    WATCHDOG,
    WRITABLE,
    TERM,
    LEASE_LEFT,
    DECISION_AGE,
    TURN_AGE,
    JOB,
    COPIED,
    GIVEN_UP,
    SLOT_KEEPS,
    SLOT_ACTIVE,
    SLOT_AT_RISK,
    STALLED,
    UNFIT,
    PROBE_AGE,
    PROBE_TOOK,
    PROBE_SILENT,
    PROBE_FAILURES,
    LOG_VOLUME_FREE,
    EVENTS_UNWRITTEN,
    TURN,
    WAKES,
    DECISIONS,
    PROMOTIONS,
    DEMOTIONS,
    RENEWALS,
    STORE,
    FENCED,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::SERVERS;

    fn all() -> impl Iterator<Item = &'static Family> {
        OURS.iter().chain(SERVERS)
    }

    #[test]
    fn names_follow_prometheus_habits() {
        for family in all() {
            assert!(family.name.starts_with("pgbaton_"), "{}", family.name);
            let is_counter = family.kind == Kind::Counter;
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
        }
    }

    #[test]
    fn no_name_is_declared_twice() {
        let mut names: Vec<_> = all().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }
}
