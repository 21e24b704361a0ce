//! Publishing what this member says of itself: its own keys, and the
//! lease that the `leader` key is displayed on. Proves nothing to anybody, so it may be late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, warn};

use crate::cluster::{Cluster, Loss, Member, Presence};
use crate::dcs::{LeaseId, Store, StoreError, codec, txns};
use crate::decide::Sight;
use crate::values::{Clock, LeaseTimes, MemberName, Monotonic};

/// What the loop wants published.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The member's record.
    pub member: Member,
    /// The agent's presence.
    pub presence: Presence,
    /// What this member gave up of its own log, oldest first.
    pub losses: Vec<Loss>,
}

/// The task that publishes.
pub struct Publisher<S, C> {
    /// The store.
    pub store: S,
    /// The clock.
    pub clock: C,
    /// This member.
    pub name: MemberName,
    /// The durations in force.
    pub times: watch::Receiver<LeaseTimes>,
    /// What the store showed.
    pub sight: watch::Receiver<Option<Arc<Sight>>>,
    /// What is wanted; `None` before the first turn.
    pub wanted: watch::Receiver<Option<Arc<Wanted>>>,
    /// Where the lease for the `leader` key is shown.
    pub display: watch::Sender<Option<LeaseId>>,
}

/// What was written, and with which lease.
#[derive(Default)]
struct Written {
    lease: Option<LeaseId>,
    wanted: Option<Arc<Wanted>>,
    wrote_at: Monotonic,
    kept_at: Monotonic,
}

/// A standby's position alone changes all the time; it is published this often, in renewal periods.
const POSITION_EVERY: u32 = 2;

impl<S: Store, C: Clock> Publisher<S, C> {
    /// Publishes until what is wanted ends.
    pub async fn run(mut self) {
        let mut written = Written::default();
        loop {
            let pause = match self.step(&mut written).await {
                Ok(()) => self.times.borrow().renewal_period,
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "not published this time");
                    if matches!(error, StoreError::NoSuchLease) {
                        written = Written::default();
                        self.display.send_replace(None);
                    }
                    if matches!(error, StoreError::Denied(_)) {
                        warn!(error = &error as &dyn std::error::Error, "not published");
                    }
                    self.times.borrow().one_try / 5
                }
            };
            tokio::select! {
                biased;
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether a read that was sent after the last write shows something else of this member: somebody has
    /// removed its keys, the store was emptied, or an earlier write arrived late, over the last one.
    fn is_undone(&self, written: &Written) -> bool {
        let sight = self.sight.borrow();
        let (Some(sight), Some(wrote)) = (sight.as_ref(), &written.wanted) else { return false };
        sight.read_at > written.wrote_at && !shows(&sight.cluster, wrote)
    }

    async fn step(&mut self, written: &mut Written) -> Result<(), StoreError> {
        let times = *self.times.borrow();
        let within = times.one_try;
        let now = self.clock.now();
        let lease = match written.lease {
            Some(lease) => lease,
            None => {
                let lease = self.store.grant_lease(times.ttl * 2, within).await?;
                written.lease = Some(lease);
                written.kept_at = now;
                lease
            }
        };
        if self.display.borrow().is_none() {
            let display = self.store.grant_lease(times.ttl * 4, within).await?;
            self.display.send_replace(Some(display));
        }
        if now.since(written.kept_at) >= times.ttl / 2 {
            self.store.keep_lease(lease, within).await?;
            let display = *self.display.borrow();
            if let Some(display) = display
                && let Err(StoreError::NoSuchLease) = self.store.keep_lease(display, within).await
            {
                self.display.send_replace(None);
            }
            written.kept_at = now;
        }
        if self.is_undone(written) {
            written.wanted = None;
        }
        let wanted = self.wanted.borrow_and_update().clone();
        let Some(wanted) = wanted else { return Ok(()) };
        if !is_due(written, &wanted, now, times.renewal_period * POSITION_EVERY) {
            return Ok(());
        }
        let before = written.wanted.as_ref();
        if before.is_none_or(|before| before.presence != wanted.presence) {
            let txn = txns::own_presence(&self.name, &wanted.presence, Some(lease));
            self.store.commit(txn, within).await?;
        }
        if before.is_none_or(|before| before.member != wanted.member) {
            self.store.commit(txns::own_member(&wanted.member, lease), within).await?;
        }
        // A journal that knows of none says nothing about what an earlier one knew.
        let told = before.map_or(&[][..], |before| before.losses.as_slice());
        if wanted.losses != told {
            self.store.commit(txns::own_losses(&self.name, &wanted.losses), within).await?;
        }
        written.wanted = Some(wanted);
        written.wrote_at = self.clock.now();
        Ok(())
    }
}

/// Whether the store shows a member as it was written.
fn shows(cluster: &Cluster, wrote: &Wanted) -> bool {
    let name = &wrote.member.name;
    // A record that was read back need not be the same; what counts is how it is spelled.
    let is_same = |shown: &Member| {
        *shown == wrote.member || codec::member(shown) == codec::member(&wrote.member)
    };
    cluster.presences.get(name) == Some(&wrote.presence)
        && cluster.member(name).is_some_and(is_same)
        && (wrote.losses.is_empty() || cluster.losses.get(name) == Some(&wrote.losses))
}

/// A change of substance is published at once, a mere change of position now and then.
fn is_due(written: &Written, wanted: &Wanted, now: Monotonic, positions_every: Duration) -> bool {
    let Some(before) = &written.wanted else { return true };
    if **before == *wanted {
        return false;
    }
    let without_position = |wanted: &Wanted| {
        let mut member = wanted.member.clone();
        member.xlog_location = None;
        member.receive_lsn = None;
        member.replay_lsn = None;
        (member, wanted.presence.clone(), wanted.losses.clone())
    };
    without_position(before) != without_position(wanted)
        || now.since(written.wrote_at) >= positions_every
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{LossStep, MemberState, Role};
    use crate::values::{Incarnation, Lsn, Term, Timeline};

    fn wanted() -> Wanted {
        let member = Member {
            name: "a".into(),
            conn_url: None,
            api_url: None,
            state: MemberState::Running,
            role: Role::Replica,
            version: None,
            xlog_location: Some(Lsn(100)),
            receive_lsn: None,
            replay_lsn: None,
            replication_state: None,
            timeline: Some(Timeline(2)),
            awaits_checkpoint: false,
            tags: Default::default(),
            other: Default::default(),
        };
        let loss = Loss {
            at_micros: 1_760_000_000_123_456,
            timeline: Timeline(1),
            from: Some(Lsn(90)),
            to: Lsn(99),
            is_exact: true,
            step: LossStep::Rewind,
        };
        let presence = Presence { incarnation: Incarnation(7), promised: Term(3) };
        Wanted { member, presence, losses: vec![loss] }
    }

    /// The store with all of it, as it is read back.
    fn stored(wanted: &Wanted) -> Cluster {
        let mut cluster = Cluster::default();
        let name = &wanted.member.name;
        let losses = codec::read_losses(&codec::losses(&wanted.losses)).expect("just spelled");
        cluster.members.insert(name.clone(), wanted.member.clone().into());
        cluster.presences.insert(name.clone(), wanted.presence.clone());
        cluster.losses.insert(name.clone(), losses);
        cluster
    }

    #[test]
    fn what_a_member_wrote_is_shown_until_one_of_its_keys_differs() {
        let wanted = wanted();
        let changed = |change: fn(&mut Cluster)| {
            let mut cluster = stored(&wanted);
            change(&mut cluster);
            shows(&cluster, &wanted)
        };
        assert!(changed(|_| ()));
        assert!(!changed(|cluster| cluster.members.clear()));
        assert!(!changed(|cluster| cluster.presences.clear()));
        assert!(!changed(|cluster| cluster.losses.clear()));
        let earlier = |cluster: &mut Cluster| {
            let member = cluster.members.get_mut(&"a".into()).expect("it is there");
            Arc::make_mut(member).xlog_location = Some(Lsn(90));
        };
        assert!(!changed(earlier));
    }

    #[test]
    fn an_empty_journal_says_nothing_about_losses_of_before() {
        let wanted = wanted();
        let cluster = stored(&wanted);
        assert!(shows(&cluster, &Wanted { losses: Vec::new(), ..wanted }));
    }
}
