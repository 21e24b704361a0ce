//! What the loop remembers between its turns.

use std::sync::Arc;

use crate::cluster::{Cluster, Standing, State};
use crate::decide::{Failure, JobKind, Memory, Seat, observe_keyless};
use crate::values::{MemberName, Monotonic, Revision};

impl Memory {
    /// Takes in what this turn found.
    pub fn observe(
        &mut self,
        now: Monotonic,
        seat: Seat,
        server: &State,
        me: &MemberName,
        cluster: Option<&Cluster>,
    ) {
        let keep = |since: Option<Monotonic>, holds: bool| holds.then(|| since.unwrap_or(now));
        self.vacant_since = keep(self.vacant_since, matches!(seat, Seat::Vacant(_)));
        let serves = matches!(server, State::Primary(_));
        let unserved = matches!(seat, Seat::Mine(_)) && !serves;
        self.unserved_since = keep(self.unserved_since, unserved);
        if let Some(diverged) = is_diverged(server, cluster) {
            self.diverged_since = keep(self.diverged_since, diverged);
        }
        self.ladder.observe(now, server);
        self.slots.observe(now, me, cluster);
        self.carried.observe(now, server, me, cluster);
        self.request_since = pending(cluster).map(|request| match self.request_since {
            Some((known, since)) if known == request => (known, since),
            _ => (request, now),
        });
        self.symptoms.observe(now, seat, server, cluster);
        if !matches!(seat, Seat::Vacant(_)) {
            self.ballot = None;
        }
        observe_keyless(&mut self.keyless, server, cluster);
        if let Some(cluster) = cluster.filter(|cluster| cluster.baton.is_some()) {
            let there = || {
                cluster.members.values().filter_map(|one| Some((&one.name, one.api_url.as_ref()?)))
            };
            if !there().eq(self.known_members.iter()) {
                let members = there().map(|(name, url)| (name.clone(), url.clone()));
                self.known_members = Arc::new(members.collect());
            }
        }
    }

    /// A job of this kind ended well. What failed before a promotion holds up nothing that the new leader does.
    pub fn succeeded(&mut self, kind: JobKind) {
        let is_over = |failure: &Failure| failure.kind == kind || kind == JobKind::Promote;
        if self.failure.as_ref().is_some_and(is_over) {
            self.failure = None;
        }
    }

    /// A job of this kind failed.
    pub fn failed(
        &mut self,
        kind: JobKind,
        at: Monotonic,
        reason: String,
        request: Option<Revision>,
    ) {
        // Another trouble than before begins with the shortest pause again.
        let is_as_before = |failure: &&Failure| {
            failure.kind == kind && is_same_but_for_numbers(&failure.reason, &reason)
        };
        let before = self.failure.as_ref().filter(is_as_before);
        let times = before.map_or(1, |failure| failure.times.saturating_add(1));
        if kind == JobKind::HandOver
            && let Some(request) = request
        {
            self.request_tried = Some((request, reason.clone()));
        }
        // A recovery by itself reads the same log.
        if matches!(kind, JobKind::Start | JobKind::Rewind) {
            self.ladder.start_failed(&reason);
        }
        self.failure = Some(Failure { kind, at, reason, times });
    }
}

fn is_same_but_for_numbers(one: &str, other: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_hexdigit()).collect::<String>();
    words(one) == words(other)
}

fn pending(cluster: Option<&Cluster>) -> Option<Revision> {
    let request = cluster?.request.as_ref()?;
    request.value.is_some().then_some(request.revision)
}

/// Whether a standby does not fit the history; where it does not run, nothing new is known of that.
fn is_diverged(server: &State, cluster: Option<&Cluster>) -> Option<bool> {
    let facts = match server {
        State::Standby(facts) => facts,
        State::Down(_) | State::Stopping | State::Starting | State::Silent => return None,
        State::Primary(_) | State::Empty | State::Unusable(_) => return Some(false),
    };
    let standing = cluster?.lineage().standing(facts.position());
    let off = matches!(standing, Standing::OffPath | Standing::PastTheFork { .. });
    Some(!facts.is_streaming() && off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_that_finds_damage_counts_as_a_start_that_does() {
        let mut memory = Memory::default();
        let why = "postgres failed: PANIC:  could not locate a valid checkpoint record";
        memory.failed(JobKind::Rewind, Monotonic::ZERO, why.into(), None);
        memory.failed(JobKind::Rewind, Monotonic::ZERO, "it was killed".into(), None);
        assert_eq!(memory.ladder.damaged.0, 1);
    }

    #[test]
    fn what_failed_before_a_promotion_does_not_hold_up_the_leader() {
        let mut memory = Memory::default();
        for _ in 0..9 {
            memory.failed(JobKind::Other, Monotonic::ZERO, "the baton has changed".into(), None);
        }
        memory.succeeded(JobKind::Start);
        assert_eq!(memory.failure.as_ref().map(|failure| failure.times), Some(9));
        memory.succeeded(JobKind::Promote);
        assert_eq!(memory.failure, None);
    }
}
