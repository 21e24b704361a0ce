//! What a turn publishes: the status, and the member's own record.

use std::sync::Arc;
use std::time::Duration;

use super::Agent;
use crate::act::lease::Fence;
use crate::act::{Ports, Wanted};
use crate::cluster::{
    ControlState, Look, Member, MemberState, Presence, ReplicationState, Role, State, UNFIT,
};
use crate::config::NodeConfig;
use crate::decide::{JobKind, Seat, View, not_receiving, unfit, verdict};
use crate::postgres::{CopyProgress, Server};
use crate::publish::{FenceSeen, Status};
use crate::values::{Clock, Lsn, Monotonic, Strength, SystemId, WalPosition, Watchdog};

/// The version of Patroni whose outside this agent has; members compare it.
pub const PATRONI_VERSION: &str = "4.1.5";

/// What follows from the node's file and is used in every turn: worked out once.
pub(super) struct OwnFile {
    conn_url: String,
    api_url: String,
    tags: Arc<serde_json::Map<String, serde_json::Value>>,
    /// What is asked of the watchdog device at this `ttl`, or why nothing can be; `None` until it was asked for.
    pub(super) watchdog: Option<(Duration, Result<Option<Watchdog>, String>)>,
}

impl OwnFile {
    pub(super) fn of(config: &NodeConfig) -> Self {
        let database = config.postgresql.local.database.as_deref().unwrap_or("postgres");
        let address = &config.postgresql.connect_address;
        Self {
            conn_url: format!("postgres://{address}/{database}"),
            api_url: config.restapi.api_url(),
            tags: Arc::new(config.tags.published()),
            watchdog: None,
        }
    }
}

impl<P: Ports> Agent<P> {
    /// Shows how far a copy is, and logs each quarter of it.
    pub(super) fn tell_copy(&mut self, progress: CopyProgress) {
        let quarter = |progress: &CopyProgress| {
            let total = progress.total_kilobytes.filter(|total| *total > 0)?;
            Some(progress.done_kilobytes.min(total) * 4 / total)
        };
        let before = self.copy.replace(progress);
        let now = quarter(&progress);
        if now.is_some() && now != before.as_ref().and_then(quarter) {
            let total_kilobytes = progress.total_kilobytes;
            tracing::info!(done_kilobytes = progress.done_kilobytes, total_kilobytes, "copying");
        }
    }

    /// A server that answers in another part than the last time it answered has changed its role.
    pub(super) fn tell_a_change_of_role(&mut self) {
        let role = match self.look.state {
            State::Primary(_) => Role::Primary,
            State::Standby(_) => Role::Replica,
            _ => return,
        };
        let before = self.role.replace(role);
        if before == Some(Role::Primary) && role == Role::Replica {
            self.inlets.metrics.demotion(self.activity.reason.label);
        }
        if before.is_some_and(|before| before != role) {
            self.inlets.context.server.role_changed(role);
        }
    }

    /// Swaps the status, and has the member's record published.
    pub(super) fn publish(&mut self, view: &View) {
        let job = self.job.as_ref().map(|running| running.job);
        let (state, role) = words(view, job.map(|job| job.kind));
        let (store_last_seen, cluster) = self.store_seen();
        let lease = self.inlets.lease.borrow().held.map(|held| (held.term, held.deadline));
        let status = Status {
            name: view.me.name.clone(),
            scope: self.inlets.config.scope.clone(),
            incarnation: view.me.incarnation,
            turned_at: self.now(),
            state,
            role,
            look: Arc::clone(&self.look),
            looked_at: self.looked_at,
            lease,
            cluster,
            store_last_seen,
            dynamic: Arc::clone(&self.inlets.dynamic),
            times: view.settings.times,
            tags: Arc::clone(&self.own_file.tags),
            takes_reads: !self.inlets.config.tags.noloadbalance,
            decision: self.activity.clone(),
            job: job.map(|job| (job.kind, job.since)),
            copy: self.copy,
            system_id: system_id(view),
            seen: view.journal.seen,
            failsafe_until: failsafe_until(view),
            fence: self.fence_seen(),
            watchdog: self.watchdog.clone(),
            health: Arc::clone(&view.health),
            unfit: unfit(view).or_else(|| not_receiving(view)),
            stalled: view.my_term.is_some() && verdict(view).is_some(),
            admits: self.memory.sync.admits,
            stopping: self.memory.stop_asked,
            losses: view.journal.losses.clone(),
        };
        self.inlets.published.set(status);
        self.publish_member(view, state, role);
    }

    /// One that nobody but the agent itself fences shows as such until its next start.
    pub(super) fn fence_seen(&self) -> FenceSeen {
        let fence = self.inlets.context.exposure.fence();
        if !fence.is_alive() || !self.inlets.context.server.is_guarded() {
            let remarks = if fence.is_alive() {
                "no guardian started this server: only the agent itself fences it"
            } else {
                "there is no living guardian"
            };
            return FenceSeen { strength: Strength::None, remarks: remarks.to_owned() };
        }
        FenceSeen { strength: fence.strength(), remarks: fence.remarks() }
    }

    fn store_seen(&self) -> (i64, Option<(Arc<crate::cluster::Cluster>, Monotonic)>) {
        let sight = self.inlets.sight.borrow();
        let Some(sight) = sight.as_ref() else { return (0, None) };
        let ago = self.now().since(sight.read_at).as_secs() as i64;
        let seen = self.inlets.context.clock.wall_micros() / 1_000_000 - ago;
        (seen, Some((Arc::clone(&sight.cluster), sight.shown_until())))
    }

    fn publish_member(&mut self, view: &View, state: MemberState, role: Role) {
        let standby = match &*view.server {
            State::Standby(facts) => Some(facts),
            _ => None,
        };
        let position = own_position(&self.look);
        let replication_state =
            standby.and_then(|facts| facts.is_streaming().then_some(ReplicationState::Streaming));
        let awaits_checkpoint = match &*view.server {
            State::Primary(facts) => facts.checkpoint_timeline < facts.position.timeline,
            State::Standby(_) => view.my_term.is_some(),
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Stopping
            | State::Silent => false,
        };
        let mut other = serde_json::Map::new();
        if !self.look.pending_restart.is_empty() {
            other.insert("pending_restart".to_owned(), true.into());
            let reasons = self.look.pending_restart.iter().map(|(name, old, new)| {
                (name.clone(), serde_json::json!({ "old_value": old, "new_value": new }))
            });
            let reasons: serde_json::Map<_, _> = reasons.collect();
            other.insert("pending_restart_reason".to_owned(), reasons.into());
        }
        if let Some(why) = unfit(view) {
            other.insert(UNFIT.to_owned(), why.into());
        }
        if not_receiving(view).is_some() {
            other.insert("pgbaton_not_receiving".to_owned(), true.into());
        }
        let member = Member {
            name: view.me.name.clone(),
            conn_url: Some(self.own_file.conn_url.clone()),
            api_url: Some(self.own_file.api_url.clone()),
            state,
            role,
            version: Some(PATRONI_VERSION.to_owned()),
            xlog_location: position.map(|position| position.lsn),
            // After a restart the receiver begins at a segment's start; what was replayed was received.
            receive_lsn: standby.and_then(|facts| Some(facts.received?.max(facts.replayed))),
            replay_lsn: standby.map(|facts| facts.replayed).and_then(Lsn::known),
            replication_state,
            timeline: position.map(|position| position.timeline),
            awaits_checkpoint,
            tags: (*self.own_file.tags).clone(),
            other,
        };
        let promised = view.journal.promised;
        let presence = Presence { incarnation: view.me.incarnation, promised };
        let losses = view.journal.losses.clone();
        let wanted = Wanted { member, presence, losses };
        self.inlets.wanted.send_if_modified(|before| {
            let changed = before.as_deref() != Some(&wanted);
            if changed {
                *before = Some(Arc::new(wanted));
            }
            changed
        });
    }
}

/// Where this node stands, while its server answers.
pub fn own_position(look: &Look) -> Option<WalPosition> {
    look.state.position()
}

/// Until when the failsafe mode is in effect here.
fn failsafe_until(view: &View) -> Option<Monotonic> {
    let accepted = view.memory.accepted.as_ref().map(|accepted| accepted.until);
    match view.seat {
        Seat::Mine(until) if !view.carried_by.is_empty() => Some(until.moment()),
        Seat::Mine(_) | Seat::Offered => None,
        Seat::Held { .. } | Seat::Vacant(_) | Seat::Unknown => accepted,
    }
}

fn system_id(view: &View) -> Option<SystemId> {
    match &*view.server {
        State::Primary(facts) => Some(facts.system_id),
        State::Standby(facts) => Some(facts.system_id),
        State::Down(control) => Some(control.system_id),
        State::Empty | State::Unusable(_) | State::Starting | State::Stopping | State::Silent => {
            view.cluster.as_ref().and_then(|cluster| cluster.system_id())
        }
    }
}

/// The server's state and role in Patroni's words.
fn words(view: &View, job: Option<JobKind>) -> (MemberState, Role) {
    let leads = view.my_term.is_some();
    let busy = match job {
        Some(JobKind::Copy) => Some(MemberState::CreatingReplica),
        Some(JobKind::Bootstrap) => Some(MemberState::InitializingNewCluster),
        Some(JobKind::Start | JobKind::Rewind) => Some(MemberState::Starting),
        Some(JobKind::Stop) => Some(MemberState::Stopping),
        Some(JobKind::Promote | JobKind::HandOver | JobKind::Vote | JobKind::Other) | None => None,
    };
    match &*view.server {
        State::Primary(_) => (MemberState::Running, Role::Primary),
        State::Standby(_) => (MemberState::Running, Role::Replica),
        State::Empty => (busy.unwrap_or(MemberState::Stopped), Role::Uninitialized),
        State::Unusable(_) => (busy.unwrap_or(MemberState::StartFailed), Role::Uninitialized),
        State::Starting | State::Silent if leads => (MemberState::Starting, Role::Primary),
        State::Starting | State::Silent => (MemberState::Starting, Role::Replica),
        State::Stopping => (MemberState::Stopping, Role::Demoted),
        State::Down(control) => {
            let role = if control.state.was_standby() { Role::Replica } else { Role::Demoted };
            let crashed =
                matches!(control.state, ControlState::InProduction | ControlState::InRecovery);
            let left = if crashed { MemberState::Crashed } else { MemberState::Stopped };
            (busy.unwrap_or(left), role)
        }
    }
}
