//! Whether a server that is alive is of any use. Nothing is done on one sign alone: a slow query, a lock
//! on a catalogue, a used-up `max_connections`, a long checkpoint each look like a hung server from one
//! side, and a hung one looks so from two. Waiting for a synchronous standby is no sign at all: the
//! probe's own commit does not wait for one.

use std::time::Duration;

use crate::cluster::{ControlState, Finding, Member, StartAs, State, Trouble};
use crate::mutants::{Mutant, planted};
use crate::values::{MemberName, Monotonic};

use super::decision::{Decision, Effect, Reason};
use super::symptoms::stall_basis;
use super::view::{JobKind, Seat, View};
use super::{leading, symptoms, synchronous};

/// A primary whose log cannot be continued by one more segment is as good as full.
const A_SEGMENT_BYTES: u64 = 16 << 20;
/// With so much room a server that ended for want of space can go on.
const ROOM_BYTES: u64 = 4 * A_SEGMENT_BYTES;
/// So long a server's last words about its disk stay worth something.
const WORDS_COUNT_FOR: Duration = Duration::from_secs(60);
/// After so many times `primary_stall_timeout` in the lead, a leader may be replaced for a stall: two
/// sick nodes must not throw the lead to and fro.
const LED_FOR_TIMEOUTS: u32 = 3;

/// How a server is of no use, by at least two signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Its disk does not answer.
    Disk,
    /// Nobody is let in: its postmaster does not run.
    Postmaster,
    /// Its sessions are stopped.
    Sessions,
    /// Its disk is full, and it ended for that.
    Full,
}

impl Stall {
    /// The decision's label: the server is given up and somebody else goes on.
    pub const fn hand_over_label(self) -> &'static str {
        match self {
            Stall::Disk => "hand over: the disk is stalled",
            Stall::Postmaster => "hand over: the server lets nobody in",
            Stall::Sessions => "hand over: the server's sessions are stopped",
            Stall::Full => "hand over: the disk is full",
        }
    }

    /// The decision's label where nobody could go on.
    pub const fn stay_label(self) -> &'static str {
        match self {
            Stall::Disk => "lead: the disk is stalled, and nobody could take over",
            Stall::Postmaster => "lead: the server lets nobody in, and nobody could take over",
            Stall::Sessions => "lead: the sessions are stopped, and nobody could take over",
            Stall::Full => "lead: the disk is full, and nobody could take over",
        }
    }
}

/// The label of a restart that loses nothing where a handover would.
pub const RESTART_LABEL: &str = "restart in place: its sessions are stopped, and new ones write";

/// How often the probes ask, for a stall that is to be found within `timeout`.
pub fn probe_period(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(100), Duration::from_secs(1))
}

/// What to do about a leader's server that is of no use; nothing while it is, or while that is not sure.
pub fn stalled(view: &View) -> Option<Decision> {
    let Seat::Mine(_) = view.seat else { return None };
    if planted(Mutant::StallIgnored) || !may_be_dropped(view) {
        return None;
    }
    let (stall, signs) = verdict(view)?;
    let too_soon = led_for(view) < view.settings.dynamic.primary_stall_timeout * LED_FOR_TIMEOUTS;
    let successor = successor(view).filter(|_| !too_soon || stall == Stall::Full);
    if stall == Stall::Sessions && (new_sessions_write(view) || successor.is_none()) {
        // What new sessions have written meanwhile, no stopped sender has shipped.
        return Some(restart(view, signs));
    }
    if let Some(successor) = successor {
        let reason =
            Reason::with(stall.hand_over_label(), format!("{signs}; {successor} is there"));
        // The files are not asked where the log ends: they lie on that disk.
        let effects = vec![Effect::Kill, Effect::ReleaseUnread];
        return Some(Decision::act(reason, JobKind::Stop, effects).interrupting());
    }
    let serves = matches!(&*view.server, State::Primary(_) | State::Silent);
    if view.job.is_some() || !serves {
        // Whatever tries to bring it up goes on trying.
        return None;
    }
    let again_at = view.now + probe_period(view.settings.dynamic.primary_stall_timeout);
    let label = stall.stay_label();
    // Without the signs' times: the same decision has the same text.
    let reason = if too_soon {
        Reason::with(label, "the last change of leader was too recently")
    } else {
        Reason::plain(label)
    };
    Some(Decision::wait(reason).and_look_again_at(again_at))
}

fn restart(view: &View, signs: String) -> Decision {
    let within = view.settings.dynamic.primary_start_timeout.max(view.settings.times.ttl);
    // As after a crash: what its standbys lack must not be read, nor anything acknowledged alone.
    let closed = synchronous::comes_up_closed(view);
    let start_as = if closed { StartAs::Standby(None) } else { StartAs::Primary };
    let effects = vec![Effect::Kill, Effect::Start { start_as, within }];
    let kind = JobKind::Start;
    Decision::act(Reason::with(RESTART_LABEL, signs), kind, effects).interrupting()
}

/// A stop is bounded in time, and what opens or makes a server has a bound of its own.
fn may_be_dropped(view: &View) -> bool {
    match view.job.map(|job| job.kind) {
        None | Some(JobKind::Other | JobKind::HandOver | JobKind::Vote) => true,
        // On a disk that does not answer, no start ever ends.
        Some(JobKind::Start) => view.health.disk.is_suspicious(),
        Some(
            JobKind::Stop | JobKind::Promote | JobKind::Bootstrap | JobKind::Copy | JobKind::Rewind,
        ) => false,
    }
}

fn led_for(view: &View) -> Duration {
    view.memory.symptoms.led_since.map_or(Duration::ZERO, |since| view.now.since(since))
}

/// Whether new sessions have moved the log since the old ones were stopped.
fn new_sessions_write(view: &View) -> bool {
    let Some((lsn, since)) = view.memory.symptoms.log else { return false };
    let stopped_since = view.health.sessions_stopped_since;
    view.health.flushed.is_some_and(|flushed| flushed > lsn)
        || stopped_since.is_some_and(|stopped| since > stopped)
}

/// How the server is of no use, with the signs; `None` while there are not two of them, or with
/// `primary_stall_timeout: 0`.
pub fn verdict(view: &View) -> Option<(Stall, String)> {
    let timeout = view.settings.dynamic.primary_stall_timeout;
    if timeout.is_zero() {
        return None;
    }
    let full = full(view);
    if full.is_some() || is_unheard(view, timeout) {
        return full;
    }
    stalled_disk(view, timeout)
        .or_else(|| hung_postmaster(view, timeout))
        .or_else(|| stopped_sessions(view, timeout))
        .or_else(|| as_mutants_see_it(view, timeout))
}

/// This process itself stood still: answers may be there that it has not heard, and its own silence is no sign.
fn is_unheard(view: &View, timeout: Duration) -> bool {
    let looked_at = view.health.looked_at;
    looked_at.is_some_and(|at| view.now.since(at) > probe_period(timeout) * 2)
}

/// The first sign has lasted as long as the whole timeout, but for what it took to ask: a connection is
/// asked for in every other period.
fn first(timeout: Duration) -> Duration {
    timeout - probe_period(timeout) * 2
}

/// The second sign is asked for when the first one is there, so it counts for half as long.
fn second(timeout: Duration) -> Duration {
    timeout / 2
}

/// The disk does not answer, and no commit comes through; or the server is not up, which no server on
/// such a disk will be.
fn stalled_disk(view: &View, timeout: Duration) -> Option<(Stall, String)> {
    let disk_for = view.health.disk.dead_for(view.now);
    if disk_for < first(timeout) {
        return None;
    }
    let second_sign = match &*view.server {
        // Not exposed: what is silent are the files of a server that was killed.
        State::Silent if !view.exposed => by_absence(view, timeout),
        State::Primary(_) | State::Silent => {
            let commit_for = view.health.commit.dead_for(view.now);
            let moves = log_rests_for(view) < second(timeout);
            (commit_for >= second(timeout) && !moves)
                .then(|| format!("a local commit for {}", seconds(commit_for)))
        }
        State::Starting | State::Stopping | State::Down(_) | State::Unusable(_) => {
            by_absence(view, timeout)
        }
        State::Standby(_) | State::Empty => None,
    }?;
    let signs = format!("the disk does not answer for {}, {second_sign}", seconds(disk_for));
    Some((Stall::Disk, signs))
}

fn by_absence(view: &View, timeout: Duration) -> Option<String> {
    let unserved_for = unserved_for(view);
    (unserved_for >= second(timeout)).then(|| format!("the server for {}", seconds(unserved_for)))
}

/// A connection waits to be taken, and the process that would take it does not run.
fn hung_postmaster(view: &View, timeout: Duration) -> Option<(Stall, String)> {
    if !matches!(&*view.server, State::Primary(_) | State::Silent) {
        return None;
    }
    let silent_for = view.health.connection.silent_for(view.now);
    let idle_for = lasts(view, view.health.postmaster_idle_since);
    let both = silent_for >= first(timeout) && idle_for >= first(timeout);
    both.then(|| {
        let signs = format!(
            "a new connection is not answered for {}, and the postmaster does not run",
            seconds(silent_for)
        );
        (Stall::Postmaster, signs)
    })
}

/// A session owes an answer, and the kernel says that its process and others of the server are stopped.
/// The loop's own query is no sign here: it goes to a new session when an old one is silent for long.
fn stopped_sessions(view: &View, timeout: Duration) -> Option<(Stall, String)> {
    if !matches!(&*view.server, State::Primary(_) | State::Silent) {
        return None;
    }
    let stopped_for = lasts(view, view.health.sessions_stopped_since);
    let commit_for = view.health.commit.silent_for(view.now);
    let both = stopped_for >= first(timeout) && commit_for >= second(timeout);
    both.then(|| {
        let signs = format!(
            "a local commit is not answered for {}, and several processes are stopped for {}",
            seconds(commit_for),
            seconds(stopped_for)
        );
        (Stall::Sessions, signs)
    })
}

/// The server went down, and its disk is why: starting it again would fill what is left.
fn full(view: &View) -> Option<(Stall, String)> {
    if waits_for_what_is_free(view) {
        return None;
    }
    let said = said_at(view).is_some();
    let signs = if said {
        "the server said so and went down".to_owned()
    } else if is_out_of_space(view) {
        format!("{} bytes are free, and the server is down", view.health.free_bytes.unwrap_or(0))
    } else {
        return None;
    };
    let ended = match &*view.server {
        State::Down(control) => control.state == ControlState::InProduction,
        // It recovers, again and again: nothing but space would end that.
        State::Starting => said && view.memory.symptoms.led_since.is_some(),
        State::Primary(_)
        | State::Silent
        | State::Standby(_)
        | State::Stopping
        | State::Empty
        | State::Unusable(_) => false,
    };
    ended.then_some((Stall::Full, signs))
}

/// When the server said that its disk is full, as long as that is worth something: where there is room again, it is
/// no reason any more.
fn said_at(view: &View) -> Option<Monotonic> {
    let has_room = view.health.free_bytes.is_some_and(|free| free >= ROOM_BYTES);
    let lately = |at: &Monotonic| view.now.since(*at) < WORDS_COUNT_FOR;
    view.health.space_ran_out_at.filter(lately).filter(|_| !has_room)
}

/// Whether it is not known yet if there is room now, where something says that there was none: an agent that was
/// frozen hears words late, and what it asked before is of before. A disk that does not tell is waited for no longer
/// than for a second sign.
pub fn waits_for_what_is_free(view: &View) -> bool {
    let timeout = view.settings.dynamic.primary_stall_timeout;
    let asked_at = view.health.free_asked_at;
    let is_old = |asked: Monotonic| view.now.since(asked) > probe_period(timeout) * 3;
    let is_unasked = said_at(view).is_some_and(|said| {
        asked_at.is_none_or(|asked| asked < said) && view.now.since(said) < second(timeout)
    });
    let was_full = is_out_of_space(view) && asked_at.is_none_or(is_old);
    is_unasked || was_full && unserved_for(view) < second(timeout)
}

fn is_out_of_space(view: &View) -> bool {
    matches!(&view.health.disk, Finding::Bad { trouble: Trouble::NoSpace, .. })
        || view.health.free_bytes.is_some_and(|free| free < A_SEGMENT_BYTES)
}

fn as_mutants_see_it(view: &View, timeout: Duration) -> Option<(Stall, String)> {
    let health = &view.health;
    if planted(Mutant::OneSignIsEnough) {
        let silent = [&health.commit, &health.connection, &health.disk];
        let silent = silent.iter().any(|one| one.silent_for(view.now) >= first(timeout));
        let looks = lasts(view, view.memory.symptoms.silent_since) >= first(timeout);
        return (silent || looks).then(|| (Stall::Disk, "one sign".to_owned()));
    }
    let waits = lasts(view, health.sync_waiting_since) >= first(timeout);
    (planted(Mutant::SyncWaitAsStall) && waits)
        .then(|| (Stall::Sessions, "clients wait for a standby".to_owned()))
}

fn lasts(view: &View, since: Option<Monotonic>) -> Duration {
    since.map_or(Duration::ZERO, |since| view.now.since(since))
}

fn unserved_for(view: &View) -> Duration {
    lasts(view, view.memory.unserved_since)
}

fn log_rests_for(view: &View) -> Duration {
    lasts(view, view.memory.symptoms.log.map(|(_, since)| since))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// A member that is well and could go on: it has all but the allowed lag of what this node last told.
fn successor(view: &View) -> Option<MemberName> {
    let cluster = view.cluster();
    let mut fit = leading::could_go_on(view)
        .filter(|member| cluster.presences.contains_key(&member.name) && keeps_up(view, member));
    fit.next().map(|member| member.name.clone())
}

/// By what the server itself says of its streams, while it answers; else by the member's record.
fn keeps_up(view: &View, member: &Member) -> bool {
    let most = view.settings.dynamic.maximum_lag_on_failover;
    if let State::Primary(facts) = &*view.server
        && let Some(stream) =
            facts.downstreams.iter().find(|stream| stream.name == member.name.as_str())
    {
        return stream.flushed.bytes_behind(facts.position.lsn) <= most;
    }
    let published = view.cluster().baton.as_ref().and_then(|baton| baton.value.position);
    match (published, member.xlog_location) {
        (Some(published), Some(lsn)) => lsn.bytes_behind(published.lsn) <= most,
        (Some(_) | None, None) | (None, Some(_)) => true,
    }
}

/// What is wrong with this node's disk, so that it neither votes nor stands: a promise has to be written.
pub fn disk_trouble(view: &View) -> Option<String> {
    let dead_for = view.health.disk.dead_for(view.now);
    if dead_for >= second(stall_basis(view)) {
        return Some("its disk does not answer".to_owned());
    }
    is_out_of_space(view).then(|| "its disk is full".to_owned())
}

/// Why this node should not be chosen to lead: published in its record.
pub fn unfit(view: &View) -> Option<String> {
    disk_trouble(view).or_else(|| symptoms::of_replay(view))
}

/// Why this node gets no log although the leader's server runs: reported, but no reason not to choose it.
/// A leader that sends nothing may be what is sick, and a race goes by who has more anyway.
pub fn not_receiving(view: &View) -> Option<String> {
    symptoms::of_receiving(view)
}
