//! A stopped server finds its way back: as it is, recovered, rewound, or not at all.

use crate::cluster::{Control, ControlState, Lineage, StartAs, State, Upstream};
use crate::values::{Timeline, WalPosition};

use super::decision::{Decision, Effect, Reason};
use super::following::diverged;
use super::ladder::{self, Fallen};
use super::view::{JobKind, Seat, Vacancy, View};
use super::{bootstrap, promotion, synchronous, upstream, voting};

/// How many times a start's bound a recovery may take beyond it.
const MORE_FOR_RECOVERY: u32 = 2;

/// Somebody else leads and the local server is down.
pub fn start_or_rewind(view: &View, control: &Control) -> Decision {
    if let Some(decision) = rest(view) {
        return decision;
    }
    let cluster = view.cluster();
    if cluster.baton.as_ref().is_some_and(|baton| baton.value.holder == view.me.name) {
        // It has to run out; whoever is up as a standby by then stands, and this log goes furthest.
        let label = "start as a standby: the lease of this node's earlier agent runs out";
        return start_without_upstream(view, Reason::plain(label));
    }
    let leader = match source(view) {
        Ok(leader) => leader,
        Err(reason) => return Decision::wait(reason),
    };
    let on_its_way = control.state.was_standby()
        && !known_to_be_diverged(view, control)
        && !view.memory.ladder.crashed_as_primary;
    if on_its_way
        && let Some(decision) =
            ladder::copy_anew(view, &leader).or_else(|| ladder::past_damage(view, control, &leader))
    {
        return decision;
    }
    let lineage = cluster.lineage();
    if promotion::is_settled(&lineage)
        && let Some(decision) = ladder::archive_first(view, control)
    {
        return decision;
    }
    if on_its_way {
        let left = left_out(&lineage, &control.later);
        return start(view, leader, "start as a standby", left);
    }
    if !promotion::is_settled(&lineage) {
        return Decision::wait(Reason::plain("stay down: the new leader is being promoted"));
    }
    if matches!(control.state, ControlState::InProduction | ControlState::InRecovery) {
        if let Some(decision) = ladder::past_damage(view, control, &leader) {
            return decision;
        }
        let reason = Reason::plain("recover the crashed server before it rejoins");
        return Decision::act(reason, JobKind::Rewind, vec![Effect::Kill, Effect::RecoverAlone]);
    }
    match diverged(lineage.standing(end(control))) {
        None => start(view, leader, "start the former primary as a standby", None),
        Some(why) => ladder::climb(view, &Fallen { why: &why, control: Some(control) }, leader),
    }
}

/// The leader, to get log or data from; why not, while it must not or cannot be.
fn source(view: &View) -> Result<Upstream, Reason> {
    if let Some(why) = voting::why_no_log(view) {
        return Err(Reason::with("stay down: this node has promised a later term", why));
    }
    upstream::of_leader(view)
        .ok_or_else(|| Reason::plain("stay down: the leader has not said where it is"))
}

/// A stopped standby whose files show that it went another way. A timeline that the record does not have
/// yet is no such sign at once: log can be quicker than the record of its promotion.
fn known_to_be_diverged(view: &View, control: &Control) -> bool {
    let lineage = view.cluster().lineage();
    let was_seen_to_be = |since| view.now.since(since) >= view.settings.times.renewal_period;
    let is_certain =
        lineage.knows(control.timeline) || view.memory.diverged_since.is_some_and(was_seen_to_be);
    promotion::is_settled(&lineage)
        && is_certain
        && diverged(lineage.standing(end(control))).is_some()
}

/// A standby goes for the newest timeline that it has a history file of, and gets nothing from a leader that is on
/// another one: those of timelines that the cluster has left are in its way.
pub fn left_out(lineage: &Lineage, later: &[Timeline]) -> Option<Effect> {
    let left: Vec<Timeline> =
        later.iter().copied().filter(|timeline| lineage.has_left_out(*timeline)).collect();
    (promotion::is_settled(lineage) && !left.is_empty()).then_some(Effect::LeaveTimelines(left))
}

/// Where a stopped server's log ends.
pub fn end(control: &Control) -> WalPosition {
    WalPosition { timeline: control.timeline, lsn: control.end }
}

fn start(view: &View, leader: Upstream, label: &'static str, before: Option<Effect>) -> Decision {
    let reason = Reason::with(label, format!("of {}", leader.name));
    let start_as = StartAs::Standby(upstream::to_stream_from(view, leader));
    let within = view.settings.start_within;
    let mut effects = vec![Effect::Kill];
    effects.extend(before);
    effects.push(Effect::Start { start_as, within });
    Decision::act(reason, JobKind::Start, effects)
}

/// Before its checkpoint a new leader's control file still names the old timeline, and `pg_rewind`
/// would say that nothing has to be done.
pub fn leader_is_no_source_yet(view: &View) -> Option<Reason> {
    let cluster = view.cluster();
    let baton = cluster.baton.as_ref()?;
    let leader = cluster.members.get(&baton.value.holder)?;
    let current = cluster.lineage().current().map(|promotion| promotion.timeline);
    (leader.awaits_checkpoint || leader.timeline != current).then(|| {
        Reason::with("wait for the new leader's checkpoint before rewinding", leader.name.as_str())
    })
}

/// A rewind that broke off: the directory may be used for nothing but another rewind.
pub fn repeat_rewind(view: &View) -> Decision {
    if !matches!(view.seat, Seat::Held { .. }) {
        return Decision::wait(Reason::plain(
            "stay down: a rewind has to be repeated, with a leader",
        ));
    }
    if let Some(decision) = rest(view) {
        return decision;
    }
    let leader = match source(view) {
        Ok(leader) => leader,
        Err(reason) => return Decision::wait(reason),
    };
    ladder::climb(view, &Fallen { why: "its rewind broke off", control: None }, leader)
}

/// Nobody leads and the local server is down: it comes up as a standby, and stands as one.
pub fn come_up_as_standby(view: &View, vacancy: Vacancy, control: &Control) -> Decision {
    if let Some(decision) = rest(view) {
        return decision;
    }
    let cluster = view.cluster();
    if vacancy == Vacancy::NeverHeld && cluster.initialize.is_none() {
        return bootstrap::adopt(view, control);
    }
    if cluster.system_id().is_none() {
        let reason = Reason::plain("stay down: another node is bootstrapping the cluster");
        return Decision::wait(reason);
    }
    let label = "start as a standby: nobody leads, this node may stand";
    start_without_upstream(view, Reason::plain(label))
}

/// As a standby that follows nobody.
pub fn start_without_upstream(view: &View, reason: Reason) -> Decision {
    let within = view.settings.start_within;
    let effects = vec![Effect::Kill, Effect::Start { start_as: StartAs::Standby(None), within }];
    Decision::act(reason, JobKind::Start, effects)
}

/// A primary that crashed, and was started as a standby that follows nobody, may never let anybody in: where more
/// subtransactions were open than a record of them lists, PostgreSQL waits for a later record, which only a primary
/// writes. Some time after its start has failed for want of time it is recovered alone, after which nothing is open.
/// A long recovery looks the same; it is then gone through once more, without a bound.
pub fn recover_what_lets_nobody_in(view: &View) -> Option<Decision> {
    let failure = view.memory.failure.as_ref().filter(|failure| failure.kind == JobKind::Start)?;
    let as_primary = matches!(view.seat, Seat::Mine(_)) && !synchronous::comes_up_closed(view);
    let is_starting = matches!(&*view.server, State::Starting) && view.job.is_none();
    if !is_starting || as_primary || !view.memory.ladder.crashed_as_primary {
        return None;
    }
    let until = failure.at + view.settings.start_within * MORE_FOR_RECOVERY;
    if view.now < until {
        let reason = Reason::plain("wait: the crashed server recovers, or lets nobody in");
        return Some(Decision::wait(reason).and_look_again_at(until));
    }
    let reason = Reason::plain("recover the crashed server alone: as a standby it lets nobody in");
    Some(Decision::act(reason, JobKind::Rewind, vec![Effect::Kill, Effect::RecoverAlone]))
}

/// The pause after a try that failed.
pub fn rest(view: &View) -> Option<Decision> {
    let until =
        view.resting_until(JobKind::Start).or_else(|| view.resting_until(JobKind::Rewind))?;
    let why = view.memory.failure.as_ref().map_or("", |failure| failure.reason.as_str());
    let reason = Reason::with("pause before the next try to rejoin", why);
    Some(Decision::wait(reason).and_look_again_at(until))
}
