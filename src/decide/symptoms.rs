//! What has to last before it means something: remembered from turn to turn, and judged for standbys.

use std::time::Duration;

use crate::cluster::{Cluster, MemberState, Role, StandbyFacts, State};
use crate::values::{Lsn, Monotonic};

use super::view::{Seat, View};

/// What has lasted since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symptoms {
    /// Since when this node has held the lead.
    pub led_since: Option<Monotonic>,
    /// Since when the server has owed an answer to the loop's question.
    pub silent_since: Option<Monotonic>,
    /// Where the primary's log ends, and since when it has ended there.
    pub log: Option<(Lsn, Monotonic)>,
    /// Since when the standby has had no receiver although the leader's server runs.
    pub dry_since: Option<Monotonic>,
    /// Where the standby's replay stands while log waits to be replayed, and since when.
    pub stuck: Option<(Lsn, Monotonic)>,
}

impl Symptoms {
    /// Takes in what this turn found.
    pub fn observe(
        &mut self,
        now: Monotonic,
        seat: Seat,
        server: &State,
        cluster: Option<&Cluster>,
    ) {
        let keep = |since: Option<Monotonic>, holds: bool| holds.then(|| since.unwrap_or(now));
        let leads = matches!(seat, Seat::Mine(_));
        self.led_since = keep(self.led_since, leads);
        self.silent_since = keep(self.silent_since, *server == State::Silent);
        match server {
            State::Primary(facts) => {
                let lsn = facts.position.lsn;
                let kept = self.log.filter(|(before, _)| *before == lsn);
                self.log = Some(kept.unwrap_or((lsn, now)));
            }
            // It may still be the same server, which only does not answer.
            State::Silent => {}
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Stopping
            | State::Standby(_) => self.log = None,
        }
        let standby = match server {
            State::Standby(facts) => Some(facts),
            _ => None,
        };
        let dry = standby.is_some_and(|facts| facts.receiver.is_none());
        let leader_runs = matches!(seat, Seat::Held { .. }) && cluster.is_some_and(leader_runs);
        self.dry_since = keep(self.dry_since, dry && leader_runs);
        self.stuck = standby.filter(|facts| has_more_to_replay(facts)).map(|facts| {
            let kept = self.stuck.filter(|(before, _)| *before == facts.replayed);
            kept.unwrap_or((facts.replayed, now))
        });
    }
}

fn has_more_to_replay(facts: &StandbyFacts) -> bool {
    facts.received.is_some_and(|received| received > facts.replayed)
}

fn leader_runs(cluster: &Cluster) -> bool {
    let holder = cluster.baton.as_ref().map(|baton| &baton.value.holder);
    let member = holder.and_then(|holder| cluster.members.get(holder));
    member.is_some_and(|one| one.state == MemberState::Running && one.role == Role::Primary)
}

/// How long anything has to last before it is called so.
pub fn stall_basis(view: &View) -> Duration {
    let timeout = view.settings.dynamic.primary_stall_timeout;
    if timeout.is_zero() { Duration::from_secs(10) } else { timeout }
}

/// Why a standby should not be chosen: it does not replay what it has.
pub fn of_replay(view: &View) -> Option<String> {
    let State::Standby(facts) = &*view.server else { return None };
    if facts.replay_paused {
        return Some("its replay is paused".to_owned());
    }
    let (lsn, since) = view.memory.symptoms.stuck?;
    (view.now.since(since) >= stall_basis(view))
        .then(|| format!("its replay stands at {lsn}, and log waits"))
}

/// That a standby does not receive.
pub fn of_receiving(view: &View) -> Option<String> {
    // Nobody is to send it anything.
    if view.me.nostream {
        return None;
    }
    let since = view.memory.symptoms.dry_since?;
    (view.now.since(since) >= stall_basis(view))
        .then(|| "it receives no log, and the leader runs".to_owned())
}
