//! What a status says in Patroni's words at one moment. Probes, documents and metrics read it here, so
//! that they cannot disagree.

use crate::cluster::{Cluster, MemberState, PrimaryFacts, StandbyFacts, State};
use crate::config::SynchronousMode;
use crate::dcs::codec::{role_text, state_text};
use crate::publish::Status;
use crate::values::{Lsn, MemberName, Monotonic, Timeline};

/// A status at one moment.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The status.
    pub status: &'a Status,
    /// The moment.
    pub now: Monotonic,
}

impl<'a> Shown<'a> {
    /// The facts of a primary that answers.
    pub fn primary(&self) -> Option<&'a PrimaryFacts> {
        match &self.status.look.state {
            State::Primary(facts) => Some(facts),
            _ => None,
        }
    }

    /// The facts of a standby that answers.
    pub fn standby(&self) -> Option<&'a StandbyFacts> {
        match &self.status.look.state {
            State::Standby(facts) => Some(facts),
            _ => None,
        }
    }

    /// Whether the server answered the last look.
    pub fn answers(&self) -> bool {
        self.primary().is_some() || self.standby().is_some()
    }

    /// `state`: a server that should run and did not answer is `unknown`.
    pub fn state(&self) -> &'static str {
        match self.status.state {
            MemberState::Running if !self.answers() => state_text(MemberState::Unknown),
            state => state_text(state),
        }
    }

    /// Whether `state` is `running`.
    pub fn is_running(&self) -> bool {
        self.status.state == MemberState::Running && self.answers()
    }

    /// `role`: what the server says of itself, and what the agent thinks where it does not answer.
    pub fn role(&self) -> &'static str {
        if self.primary().is_some() {
            "primary"
        } else if self.standby().is_some() && !self.status.dynamic.is_standby_cluster() {
            "replica"
        } else {
            role_text(self.status.role)
        }
    }

    /// Whether what is said of the server is recent: a stuck loop's claims run out.
    pub fn is_fresh(&self) -> bool {
        let look_age = self.now.since(self.status.looked_at);
        self.status.is_fresh(self.now) && look_age < self.status.times.ttl
    }

    /// The cluster, while it is in sight and there is one.
    pub fn cluster(&self) -> Option<&'a Cluster> {
        let cluster: &Cluster = self.status.cluster_in_sight(self.now)?;
        let is_empty = cluster.members.is_empty()
            && cluster.baton.is_none()
            && cluster.leader.is_none()
            && cluster.initialize.is_none()
            && cluster.config.is_none();
        (!is_empty).then_some(cluster)
    }

    /// Whether nobody is known to hold the leader key.
    pub fn is_unlocked(&self) -> bool {
        self.cluster().is_none_or(|cluster| cluster.leader.is_none())
    }

    /// `timeline`.
    pub fn timeline(&self) -> Option<Timeline> {
        let primary = self.primary().map(|facts| facts.position.timeline);
        primary.or_else(|| self.standby().map(|facts| facts.timeline))
    }

    /// `xlog.received_location` of a standby: the first that is known of written, received, replayed.
    pub fn received(&self) -> Option<Lsn> {
        let facts = self.standby()?;
        let written = facts.receiver.as_ref().and_then(|receiver| receiver.written);
        let known = |lsn: Option<Lsn>| lsn.and_then(Lsn::known);
        Some(known(written).or(known(facts.received)).unwrap_or(facts.replayed))
    }

    /// `xlog.replayed_location` of a standby.
    pub fn replayed(&self) -> Option<Lsn> {
        self.standby().map(|facts| facts.replayed)
    }

    /// Where the sender's log ended when it last told this standby.
    pub fn latest_end(&self) -> Option<Lsn> {
        self.standby()?.receiver.as_ref()?.latest_end.and_then(Lsn::known)
    }

    /// How far the leader is known to be; zero for unknown.
    pub fn leader_lsn(&self) -> Lsn {
        let optime = self.cluster().and_then(|cluster| cluster.optime).unwrap_or_default();
        optime.max(self.latest_end().unwrap_or_default())
    }

    /// Whether `/sync` lists this standby, in the mode that is in force.
    pub fn listed_standby(&self) -> Option<SynchronousMode> {
        let mode = self.status.dynamic.synchronous_mode;
        let sync = self.cluster()?.sync.as_ref()?;
        let listed = sync.value.leader.is_some()
            && sync.value.standbys.iter().any(|name| is_same_name(name, &self.status.name));
        (mode != SynchronousMode::Off && listed && self.role() == "replica").then_some(mode)
    }

    /// Whether this is a synchronous standby.
    pub fn is_sync_standby(&self) -> bool {
        self.listed_standby() == Some(SynchronousMode::On)
    }

    /// Whether this is a quorum standby.
    pub fn is_quorum_standby(&self) -> bool {
        self.listed_standby() == Some(SynchronousMode::Quorum)
    }

    /// Whether a standby streams.
    pub fn is_streaming(&self) -> bool {
        self.standby().is_some_and(StandbyFacts::is_streaming)
    }
}

/// Names in `/sync` compare without case.
pub fn is_same_name(one: &MemberName, other: &MemberName) -> bool {
    one.as_str().to_lowercase() == other.as_str().to_lowercase()
}
