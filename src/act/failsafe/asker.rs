//! The task that asks the listed members while the store does not renew the lease. Runs beside the
//! lease's own task, which must not wait for a member, and tells it what came of each round.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::{Carried, FailsafeLists};
use crate::act::Wanted;
use crate::act::lease::{Exposure, Fence, Pulse};
use crate::cluster::{Cluster, FailsafeAsk, Listed, NotAccepted, acceptances_needed};
use crate::decide::{HeldLease, LeaseSight, Sight};
use crate::mutants::{Mutant, planted};
use crate::observe::{Peer, PeerError, Peers};
use crate::values::{Clock, Incarnation, LeaseDeadline, LeaseTimes, MemberName, Monotonic};

/// What the task is made of.
pub struct AskerParts<E, C, F> {
    /// The way to the other members, with nothing shared.
    pub peers: E,
    /// The clock.
    pub clock: C,
    /// This member.
    pub name: MemberName,
    /// This start of its agent.
    pub incarnation: Incarnation,
    /// The durations in force.
    pub times: watch::Receiver<LeaseTimes>,
    /// Whether the cluster's settings want this.
    pub wanted: watch::Receiver<bool>,
    /// What this member says of itself.
    pub member: watch::Receiver<Option<Arc<Wanted>>>,
    /// The loop's sign of life.
    pub pulse: Pulse,
    /// What the store showed.
    pub sight: watch::Receiver<Option<Arc<Sight>>>,
    /// The lease.
    pub lease: watch::Receiver<LeaseSight>,
    /// Whether there is anything to carry.
    pub exposure: Exposure<F>,
    /// The lists that may be in force.
    pub lists: FailsafeLists,
    /// Where the lease's task is told.
    pub carried: mpsc::UnboundedSender<Carried>,
}

/// The task that asks.
pub struct Asker<E, C, F> {
    parts: AskerParts<E, C, F>,
    next_round_at: Monotonic,
    active: bool,
    said: Option<String>,
}

/// One round of asking.
struct Round {
    lease: HeldLease,
    sent_at: Monotonic,
    times: LeaseTimes,
    accepted: BTreeSet<MemberName>,
    refused: Vec<String>,
}

impl<E: Peers, C: Clock, F: Fence> Asker<E, C, F> {
    /// A task that has not asked yet.
    pub fn new(parts: AskerParts<E, C, F>) -> Self {
        Self { parts, next_round_at: Monotonic::ZERO, active: false, said: None }
    }

    /// Asks whenever it is time, until the agent ends.
    pub async fn run(mut self) {
        loop {
            let held = self.parts.lease.borrow_and_update().held;
            let due = held.map(|held| held.ask_from.max(self.next_round_at));
            let now = self.parts.clock.now();
            let in_store = held.is_none_or(|held| now < held.ask_from);
            if in_store && self.active {
                self.ends(held.is_some());
            }
            match (held, due) {
                (Some(held), Some(due)) if due <= now => self.round(held).await,
                (_, due) => {
                    let pause =
                        due.map_or(std::time::Duration::from_secs(3600), |due| due.since(now));
                    tokio::select! {
                        biased;
                        changed = self.parts.lease.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    fn ends(&mut self, held: bool) {
        self.active = false;
        self.said = None;
        if held {
            let carried_by = self.parts.lists.carried_by();
            let accepted = carried_by.iter().map(MemberName::as_str).collect::<Vec<_>>().join(", ");
            info!(accepted, "failsafe ends: the store has renewed the lease");
        } else {
            warn!("failsafe ends: the lease is not held any more");
        }
    }

    /// Why nobody is to be asked now; `None` when they are.
    fn hindered(&self, held: &HeldLease, cluster: &Cluster, now: Monotonic) -> Option<String> {
        let times = *self.parts.times.borrow();
        let list = cluster.failsafe.as_ref();
        let why = if !*self.parts.wanted.borrow() {
            "failsafe_mode is off"
        } else if held.deadline.has_passed(now) || !self.parts.exposure.is_exposed() {
            "no server is open to writes"
        } else if now.since(self.parts.pulse.last()) > times.proof_of_life {
            "the loop shows no sign of life"
        } else if cluster.revision < held.since {
            "the store was not read since this lease began"
        } else if !list.is_some_and(|list| list.value.contains_key(&self.parts.name)) {
            "the cluster's failsafe key does not list this member"
        } else {
            return None;
        };
        Some(why.to_owned())
    }

    async fn round(&mut self, held: HeldLease) {
        let times = *self.parts.times.borrow();
        let sent_at = self.parts.clock.now();
        let sight = self.parts.sight.borrow().clone();
        let cluster = sight.map(|sight| Arc::clone(&sight.cluster)).unwrap_or_default();
        if let Some(why) = self.hindered(&held, &cluster, sent_at) {
            self.next_round_at = sent_at + times.heartbeat / 2;
            debug!(why, "the members are not asked to carry the lease");
            return;
        }
        let accepted = BTreeSet::from([self.parts.name.clone()]);
        let mut round = Round { lease: held, sent_at, times, accepted, refused: Vec::new() };
        let carried = self.ask_all(&mut round, &cluster).await;
        if carried {
            self.next_round_at = sent_at + times.renewal_period;
        } else {
            self.failed(&round, &cluster);
            self.next_round_at = self.parts.clock.now() + times.renewal_period / 8;
        }
    }

    /// Asks all listed members at once; the first answers that are enough carry the lease, the others
    /// are heard until the next round.
    async fn ask_all(&mut self, round: &mut Round, cluster: &Cluster) -> bool {
        let mut carried = self.count(round, cluster);
        let Some(ask) = self.question(round) else { return carried };
        let peers = self.peers(cluster);
        let within = round.times.one_try;
        let asked = &self.parts.peers;
        let mut questions = FuturesUnordered::new();
        for peer in &peers {
            let ask = &ask;
            questions.push(async move { (peer, asked.failsafe(peer, ask, within).await) });
        }
        let until = round.sent_at + round.times.renewal_period;
        let mut news = Vec::new();
        loop {
            let left = until.since(self.parts.clock.now());
            let answer = tokio::select! {
                biased;
                answer = questions.next() => answer,
                () = tokio::time::sleep(left), if carried => None,
            };
            let Some((peer, answer)) = answer else { break };
            news.push((peer.name.clone(), answer));
            for (name, answer) in news.drain(..) {
                take_in(round, name, answer);
            }
            if !carried {
                carried = count(&self.parts, round, cluster);
                if carried {
                    tell(&mut self.active, &mut self.said, round, cluster);
                }
            }
        }
        carried
    }

    fn count(&mut self, round: &Round, cluster: &Cluster) -> bool {
        let carried = count(&self.parts, round, cluster);
        if carried {
            tell(&mut self.active, &mut self.said, round, cluster);
        }
        carried
    }

    fn question(&self, round: &Round) -> Option<FailsafeAsk> {
        let member = self.parts.member.borrow().clone()?;
        Some(FailsafeAsk {
            name: self.parts.name.clone(),
            conn_url: member.member.conn_url.clone().unwrap_or_default(),
            api_url: member.member.api_url.clone().unwrap_or_default(),
            lease: Some((round.lease.term, self.parts.incarnation)),
            ttl: round.times.ttl,
        })
    }

    /// Everybody who is on a list that may be in force.
    fn peers(&self, cluster: &Cluster) -> Vec<Peer> {
        let lists = self.parts.lists.in_force(cluster.failsafe.as_ref()).unwrap_or_default();
        let all: Listed = lists.into_iter().flatten().collect();
        let others = all.into_iter().filter(|(name, _)| *name != self.parts.name);
        others.map(|(name, api_url)| Peer { name, api_url }).collect()
    }

    /// Said once for a row of them: the rounds come many to a second.
    fn failed(&mut self, round: &Round, cluster: &Cluster) {
        let listed = cluster.failsafe.as_ref().map_or(0, |list| list.value.len());
        let needed = acceptances_needed(listed, asked_of_all(cluster, &self.parts.name));
        let have = names(&round.accepted);
        let text = format!("{have} of {listed} listed members, {needed} are needed");
        if self.said.replace(text.clone()).as_ref() != Some(&text) {
            let refused = round.refused.join("; ");
            warn!(accepted = text, refused, "too few members carry the lease");
        }
    }
}

fn take_in(
    round: &mut Round,
    name: MemberName,
    answer: Result<Result<(), NotAccepted>, PeerError>,
) {
    match answer {
        Ok(Ok(())) => drop(round.accepted.insert(name)),
        Ok(Err(NotAccepted::SwitchedOff)) => {
            round.refused.push(format!("{name}: failsafe_mode is off there"));
        }
        Ok(Err(NotAccepted::Leads)) => round.refused.push(format!("{name} leads itself")),
        Ok(Err(NotAccepted::MustNot(why))) => round.refused.push(format!("{name}: {why}")),
        Err(error) => round.refused.push(error.to_string()),
    }
}

/// Whether the round is enough by now; the lease's task is then told.
fn count<E, C: Clock, F>(parts: &AskerParts<E, C, F>, round: &Round, then: &Cluster) -> bool {
    // The list is the one that is shown by now; the one that was shown when asking began may be older.
    let sight = parts.sight.borrow().clone();
    let cluster = sight.as_ref().map_or(then, |sight| &*sight.cluster);
    let late = planted(Mutant::AcceptanceFromReply);
    let at = if late { parts.clock.now() } else { round.sent_at };
    let until: LeaseDeadline = round.times.deadline(at);
    let all = asked_of_all(cluster, &parts.name);
    let carried = parts.lists.count(cluster.failsafe.as_ref(), &round.accepted, all, until);
    if carried {
        // The task has ended: so does everything.
        let _ =
            parts.carried.send(Carried { term: round.lease.term, asked_at: round.sent_at, until });
    }
    carried
}

fn tell(active: &mut bool, said: &mut Option<String>, round: &Round, cluster: &Cluster) {
    if !std::mem::replace(active, true) {
        let listed = cluster.failsafe.as_ref().map_or(0, |list| list.value.len());
        let accepted = names(&round.accepted);
        info!(
            accepted,
            listed, "failsafe begins: the store does not renew the lease, the members do"
        );
    }
    *said = None;
}

/// Whether one of the listed members is an agent of Patroni's kind, which takes over alone: then all
/// have to accept. A member of ours shows its presence.
fn asked_of_all(cluster: &Cluster, me: &MemberName) -> bool {
    let Some(list) = &cluster.failsafe else { return true };
    list.value.keys().any(|name| name != me && !cluster.presences.contains_key(name))
}

fn names(names: &BTreeSet<MemberName>) -> String {
    names.iter().map(MemberName::as_str).collect::<Vec<_>>().join(", ")
}
