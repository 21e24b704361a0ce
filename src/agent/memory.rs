//! What the loop remembers between its turns.

use std::sync::Arc;

use crate::cluster::{Cluster, Listed, Member, Standing, State};
use crate::decide::{Failure, JobKind, Memory, Seat};
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
        self.diverged_since = keep(self.diverged_since, is_diverged(server, cluster));
        self.ladder.observe(now, server);
        self.slots.observe(now, me, cluster);
        self.request_since = pending(cluster).map(|request| match self.request_since {
            Some((known, since)) if known == request => (known, since),
            _ => (request, now),
        });
        self.symptoms.observe(now, seat, server, cluster);
        if !matches!(seat, Seat::Vacant(_)) {
            self.ballot = None;
        }
        if let Some(cluster) = cluster.filter(|cluster| cluster.baton.is_some()) {
            let at = |one: &Member| Some((one.name.clone(), one.api_url.clone()?));
            let members: Listed = cluster.members.values().filter_map(at).collect();
            if *self.known_members != members {
                self.known_members = Arc::new(members);
            }
        }
    }

    /// A job of this kind ended well.
    pub fn succeeded(&mut self, kind: JobKind) {
        if self.failure.as_ref().is_some_and(|failure| failure.kind == kind) {
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
        let before = self.failure.as_ref().filter(|failure| failure.kind == kind);
        let times = before.map_or(1, |failure| failure.times.saturating_add(1));
        if kind == JobKind::HandOver
            && let Some(request) = request
        {
            self.request_tried = Some((request, reason.clone()));
        }
        if kind == JobKind::Start {
            self.ladder.start_failed(&reason);
        }
        self.failure = Some(Failure { kind, at, reason, times });
    }
}

fn pending(cluster: Option<&Cluster>) -> Option<Revision> {
    let request = cluster?.request.as_ref()?;
    request.value.is_some().then_some(request.revision)
}

fn is_diverged(server: &State, cluster: Option<&Cluster>) -> bool {
    let (State::Standby(facts), Some(cluster)) = (server, cluster) else { return false };
    let standing = cluster.lineage().standing(facts.position());
    !facts.is_streaming() && matches!(standing, Standing::OffPath | Standing::PastTheFork { .. })
}
