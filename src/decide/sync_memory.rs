//! What a leader knows of whom its commits wait for, from one turn to the next.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Downstream, PrimaryFacts, State, SyncNames};
use crate::values::{Lsn, MemberName, Monotonic};

use super::view::{Settings, SyncMemory};

/// What a stream has to show for a commit to count on it.
#[derive(Clone, Copy, Debug)]
pub struct StandbyRules {
    /// Whether a commit waits until it is replayed there.
    pub remote_apply: bool,
    /// Whether members hold their slots.
    pub use_slots: bool,
}

impl StandbyRules {
    /// Those that this node's settings make.
    pub fn of(settings: &Settings) -> Self {
        Self { remote_apply: settings.remote_apply, use_slots: settings.use_slots }
    }

    /// Up to where a stream counts.
    pub fn reached(self, row: &Downstream) -> Lsn {
        if self.remote_apply { row.replayed } else { row.flushed }
    }
}

impl SyncMemory {
    /// Takes in what this turn found at the server.
    pub fn observe(
        &mut self,
        server: &State,
        cluster: Option<&Cluster>,
        rules: StandbyRules,
        now: Monotonic,
    ) {
        match server {
            State::Primary(facts) => self.observe_primary(facts, cluster, rules, now),
            State::Silent | State::Stopping => {}
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Standby(_) => *self = Self::default(),
        }
    }

    fn observe_primary(
        &mut self,
        facts: &PrimaryFacts,
        cluster: Option<&Cluster>,
        rules: StandbyRules,
        now: Monotonic,
    ) {
        if self.in_force_at.is_some() && facts.sync_names.as_ref() != self.possible.last() {
            // Somebody else has changed them: what was acknowledged since, and by whom, is not known.
            *self = Self { admits: self.admits, ..Self::default() };
        }
        let last = self.possible.last().cloned();
        if let (Some(at), Some(names)) = (self.in_force_at, &last)
            && !self.caught_up
            && have(facts, names, at, rules)
        {
            self.possible = vec![names.clone()];
            self.caught_up = true;
        }
        let streams = |name: &MemberName| {
            let mut rows = facts.downstreams.iter();
            rows.any(|row| row.name == name.as_str() && row.state == "streaming")
        };
        let names = last.or_else(|| facts.sync_names.clone());
        let lonely = names.is_some_and(|names| !names.members().any(streams));
        self.lonely_since = lonely.then(|| self.lonely_since.unwrap_or(now));
        // What was not read yet may be a record.
        let is_recorded = cluster.is_none_or(|cluster| {
            cluster.sync.as_ref().is_some_and(|sync| sync.value.leader.is_some())
        });
        self.admits |= !is_recorded || self.caught_up;
    }

    /// The server runs since then, and that one was admitted by this agent or an earlier one.
    pub fn recall(&mut self, runs_since: Option<i64>, admitted: Option<i64>) {
        self.admits |= runs_since.is_some() && runs_since == admitted;
        self.admitted = runs_since.filter(|_| self.admits);
    }

    /// Commits are being told to wait for the last of these.
    pub fn told(&mut self, possible: Vec<SyncNames>) {
        let (admits, lonely_since) = (self.admits, self.lonely_since);
        *self = Self { possible, admits, lonely_since, ..Self::default() };
    }

    /// They do so everywhere since the log ended there.
    pub fn is_in_force(&mut self, names: &SyncNames, at: Lsn) {
        if self.possible.last() == Some(names) {
            self.in_force_at = Some(at);
        }
    }
}

/// Whether enough of those named have everything up to a position.
fn have(facts: &PrimaryFacts, names: &SyncNames, at: Lsn, rules: StandbyRules) -> bool {
    match names {
        SyncNames::Nobody => true,
        SyncNames::Closed => false,
        SyncNames::AnyOf { count, of } => {
            let rows = by_name(facts);
            let has = |name: &&MemberName| {
                let row = rows.get(name.as_str()).and_then(|rows| of_member(name, rows, rules));
                row.is_some_and(|row| row.state == "streaming" && rules.reached(row) >= at)
            };
            of.iter().filter(has).count() >= *count
        }
    }
}

/// The stream of a member, among all that go under its name; `None` where a commit could be acknowledged by
/// another: PostgreSQL goes by the name alone, which whoever may replicate can give itself. The member's slot is
/// held by one connection at a time, and all agents have their server use its own.
pub fn of_member<'a>(
    name: &MemberName,
    rows: &[&'a Downstream],
    rules: StandbyRules,
) -> Option<&'a Downstream> {
    let [row] = rows else { return None };
    let is_proven = !rules.use_slots || row.slot == Some(name.slot_name());
    is_proven.then_some(*row)
}

/// The streams, by the names they go under.
pub fn by_name(facts: &PrimaryFacts) -> BTreeMap<&str, Vec<&Downstream>> {
    let mut rows: BTreeMap<&str, Vec<&Downstream>> = BTreeMap::new();
    for row in &facts.downstreams {
        rows.entry(row.name.as_str()).or_default().push(row);
    }
    rows
}
