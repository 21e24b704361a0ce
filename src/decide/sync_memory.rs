//! What a leader knows of whom its commits wait for, from one turn to the next.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Downstream, PrimaryFacts, State, SyncNames};
use crate::values::{Lsn, MemberName, Monotonic};

use super::view::SyncMemory;

impl SyncMemory {
    /// Takes in what this turn found at the server.
    pub fn observe(
        &mut self,
        server: &State,
        cluster: Option<&Cluster>,
        remote_apply: bool,
        now: Monotonic,
    ) {
        match server {
            State::Primary(facts) => self.observe_primary(facts, cluster, remote_apply, now),
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
        remote_apply: bool,
        now: Monotonic,
    ) {
        if self.in_force_at.is_some() && facts.sync_names.as_ref() != self.possible.last() {
            // Somebody else has changed them: what was acknowledged since, and by whom, is not known.
            *self = Self { admits: self.admits, ..Self::default() };
        }
        let last = self.possible.last().cloned();
        if let (Some(at), Some(names)) = (self.in_force_at, &last)
            && !self.caught_up
            && have(facts, names, at, remote_apply)
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
fn have(facts: &PrimaryFacts, names: &SyncNames, at: Lsn, remote_apply: bool) -> bool {
    match names {
        SyncNames::Nobody => true,
        SyncNames::Closed => false,
        SyncNames::AnyOf { count, of } => {
            let rows = by_name(facts);
            let has = |name: &&MemberName| {
                rows.get(name.as_str()).is_some_and(|rows| match rows.as_slice() {
                    [row] => {
                        let reached = if remote_apply { row.replayed } else { row.flushed };
                        row.state == "streaming" && reached >= at
                    }
                    _ => false,
                })
            };
            of.iter().filter(has).count() >= *count
        }
    }
}

/// The streams, by the names they go under.
pub fn by_name(facts: &PrimaryFacts) -> BTreeMap<&str, Vec<&Downstream>> {
    let mut rows: BTreeMap<&str, Vec<&Downstream>> = BTreeMap::new();
    for row in &facts.downstreams {
        rows.entry(row.name.as_str()).or_default().push(row);
    }
    rows
}
