//! The way back for a server that cannot go on as it is: from a rewind to a fresh copy. Each rung says
//! why the one before was left; what is given up is written down first.

use std::time::Duration;

use crate::cluster::{
    Control, ControlState, Loss, LossStep, StandbyFacts, StartAs, State, StopMode, Upstream,
};
use crate::config::DivergedData;
use crate::mutants::{Mutant, planted};
use crate::values::{MemberName, Monotonic, Timeline, WalPosition};

use super::decision::{Check, Decision, Effect, LeftToArchive, Reason};
use super::view::{JobKind, Unfinished, View};
use super::{following, rejoin, upstream};

/// How often a rewind is tried that fails, or does not help.
const REWINDS_MAX: u32 = 3;
/// How often a start may fail over what it finds on the disk.
const DAMAGED_STARTS_MAX: u32 = 3;
/// How long a standby without a stream is left alone, at least, before its leader is asked for the log.
const STUCK_FOR: Duration = Duration::from_secs(2);
/// The same, where it also gets log through a `restore_command`, which it runs every 5 s.
const STUCK_WITH_ARCHIVE_FOR: Duration = Duration::from_secs(20);
/// How often the leader is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What was tried since this node last streamed or led. Gone with the agent: then it is tried again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ladder {
    /// How many rewinds failed.
    pub rewinds_failed: u32,
    /// How many rewinds the source refused, which says nothing about the data.
    pub rewinds_refused: u32,
    /// How many rewinds ended well, and the server does not stream all the same.
    pub rewound: u32,
    /// What the last rewind that failed said.
    pub last_error: String,
    /// How many starts failed over what they found on the disk, and what the last one said.
    pub damaged: (u32, String),
    /// Where a standby without a stream stands, and since when.
    pub stuck: Option<(WalPosition, Monotonic)>,
    /// The position from which a leader has no log any more, and which one. The next leader may have it.
    pub log_gone: Option<(WalPosition, MemberName)>,
    /// Where the log of the stopped server ended of which everything was archived, or tried to be.
    pub archived: Option<WalPosition>,
    /// When the leader was last asked for it.
    pub asked_at: Option<Monotonic>,
    /// Whether the server had crashed as a primary when it was found down, and has let nobody in since.
    pub crashed_as_primary: bool,
}

impl Ladder {
    /// Takes in what the server is doing.
    pub fn observe(&mut self, now: Monotonic, server: &State) {
        match server {
            State::Primary(_) | State::Empty => *self = Self::default(),
            State::Standby(facts) if facts.is_streaming() => *self = Self::default(),
            State::Standby(facts) => {
                self.damaged = (0, String::new());
                self.crashed_as_primary = false;
                let at = facts.position();
                if self.stuck.is_none_or(|(known, _)| known != at) {
                    self.stuck = Some((at, now));
                    self.log_gone = None;
                }
            }
            State::Down(control) => match control.state {
                ControlState::InProduction => self.crashed_as_primary = true,
                ControlState::ShutDown | ControlState::ShutDownInRecovery => {
                    self.crashed_as_primary = false;
                }
                // What a crashed primary shows, too, once it was to start as a standby.
                ControlState::InRecovery => {}
            },
            State::Unusable(_) | State::Starting | State::Stopping | State::Silent => {}
        }
    }

    /// A rewind ended well, or over what the data is.
    pub fn rewind_ended(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.rewound += 1,
            Err(why) => {
                self.rewinds_failed += 1;
                self.last_error = why;
            }
        }
    }

    /// The source refused a rewind, and said why.
    pub fn rewind_was_refused(&mut self, why: String) {
        self.rewinds_refused += 1;
        self.last_error = why;
    }

    /// A start failed, and said why.
    pub fn start_failed(&mut self, why: &str) {
        if tells_of_damage(why) {
            self.damaged = (self.damaged.0 + 1, why.to_owned());
        }
    }
}

/// Whether a server that did not come up complains about its data, which another try, or another
/// configuration, will not mend. In PostgreSQL's own words, untranslated.
fn tells_of_damage(why: &str) -> bool {
    [
        "could not locate a valid checkpoint record",
        "could not locate required checkpoint record",
        "invalid checkpoint record",
        "incorrect checksum in control file",
        "is not a child of this server's history",
        "does not contain minimum recovery point",
        "WAL ends before end of online backup",
        "WAL ends before consistent recovery point",
        "recovery ended before configured recovery target",
        // It had begun to receive a branch that the history left.
        "but previous recovered WAL file came from timeline",
    ]
    .iter()
    .any(|said| why.contains(said))
}

/// A stopped server that the rungs are for.
pub struct Fallen<'a> {
    /// Why it cannot go on as it is.
    pub why: &'a str,
    /// Its control file; `None` while a rewind has left it half done.
    pub control: Option<&'a Control>,
}

/// Rewinds, or says why not and goes on to the next rung.
pub fn climb(view: &View, fallen: &Fallen, leader: Upstream) -> Decision {
    if let Some(left) = rewind_is_left(view, fallen) {
        return give_up(view, fallen, &leader, &format!("it cannot be rewound: {left}"));
    }
    if let Some(reason) = rejoin::leader_is_no_source_yet(view) {
        return Decision::wait(reason);
    }
    let start_as = StartAs::Standby(Some(leader.clone()));
    let start = Effect::Start { start_as, within: view.settings.start_within };
    let Some(control) = fallen.control else {
        let effects = vec![Effect::Kill, Effect::Rewind(leader), Effect::Finish, start];
        let last = view.memory.ladder.last_error.clone();
        let reason = Reason::with("repeat the rewind that broke off", last);
        return Decision::act(reason, JobKind::Rewind, effects);
    };
    // From the beginning of a rewind on this node can do nothing but rewind, and may not lead.
    let mut effects = vec![Effect::Kill, Effect::Check(Check::Source(leader.clone()))];
    effects.extend(loss(view, Some(control), LossStep::Rewind));
    let begin = Effect::Begin(Unfinished::Rewind);
    if planted(Mutant::JournalAfterTheDeed) {
        effects.extend([Effect::Rewind(leader), begin, Effect::Finish, start]);
    } else {
        effects.extend([begin, Effect::Rewind(leader), Effect::Finish, start]);
    }
    let reason = Reason::with("rewind", told(view, Some(control), fallen.why));
    Decision::act(reason, JobKind::Rewind, effects)
}

/// Why no rewind is tried, or no further one.
fn rewind_is_left(view: &View, fallen: &Fallen) -> Option<String> {
    let ladder = &view.memory.ladder;
    if !view.settings.use_pg_rewind {
        return Some("postgresql.use_pg_rewind is off".to_owned());
    }
    if fallen.control.is_some_and(|control| !control.can_rewind) {
        return Some("it has neither data checksums nor wal_log_hints".to_owned());
    }
    let impatient = view.settings.remove_after_failed_rewind;
    let failures_max = if impatient { 1 } else { REWINDS_MAX };
    if ladder.rewinds_failed >= failures_max {
        let (times, why) = (ladder.rewinds_failed, &ladder.last_error);
        return Some(format!("pg_rewind failed, {times} times so far: {why}"));
    }
    if ladder.rewinds_refused >= REWINDS_MAX {
        let (times, why) = (ladder.rewinds_refused, &ladder.last_error);
        return Some(format!("the source refused pg_rewind, {times} times so far: {why}"));
    }
    if fallen.control.is_none() && impatient {
        return Some("its rewind broke off".to_owned());
    }
    if ladder.rewound >= REWINDS_MAX {
        return Some("it was rewound, and does not stream all the same".to_owned());
    }
    None
}

/// The rungs after the rewind: set aside, or removed, and copied anew; or nothing, as the settings say.
pub fn give_up(view: &View, fallen: &Fallen, leader: &Upstream, left: &str) -> Decision {
    let why = format!("{}, and {left}", fallen.why);
    let settings = &view.settings;
    let was_tried = view.memory.ladder.rewinds_failed > 0 || fallen.control.is_none();
    let removes = settings.remove_diverged
        || was_tried && settings.remove_after_failed_rewind
        || settings.diverged_data == DivergedData::Remove;
    if !removes && settings.diverged_data == DivergedData::StayDown {
        let way_out = "set pgbaton.diverged_data to keep to have it set aside and copied anew";
        let detail = format!("{why}; {way_out}");
        return Decision::wait(Reason::with("stay down: the data went another way", detail));
    }
    if !upstream::serves(view, leader) {
        let reason = Reason::with("stay down: there is no leader to copy from yet", why);
        return Decision::wait(reason);
    }
    let step = if removes { LossStep::Remove } else { LossStep::SetAside };
    let recorded = loss(view, fallen.control, step);
    let why = told(view, fallen.control, &why);
    if removes {
        let mut effects = vec![Effect::Kill];
        effects.extend(recorded);
        effects.extend([Effect::Begin(Unfinished::Copy), Effect::RemoveData, Effect::Finish]);
        let reason = Reason::with("remove the data directory, as the settings say", why);
        return Decision::act(reason, JobKind::Rewind, effects);
    }
    let keep = settings.keep_aside;
    let mut effects = vec![Effect::Kill, Effect::Check(Check::Aside { keep })];
    effects.extend(recorded);
    effects.extend([
        Effect::Begin(Unfinished::SetAside),
        Effect::SetAside { keep },
        Effect::Finish,
    ]);
    let reason = Reason::with("set the data directory aside, to copy the leader's anew", why);
    Decision::act(reason, JobKind::Rewind, effects)
}

/// A directory whose setting aside was begun: it was moved as a whole, or not at all.
pub fn finish_setting_aside(view: &View) -> Decision {
    if *view.server == State::Empty {
        let reason = Reason::plain("the old data directory is set aside");
        return Decision::act(reason, JobKind::Other, vec![Effect::Finish]);
    }
    let keep = view.settings.keep_aside;
    let effects = vec![Effect::Kill, Effect::SetAside { keep }, Effect::Finish];
    let reason = Reason::plain("set the data directory aside: that was begun");
    Decision::act(reason, JobKind::Rewind, effects)
}

/// Nobody else archives the log of before a promotion: what a former primary still has of it is archived before it
/// goes, once. As side work: a vote that is asked for meanwhile is not held up.
pub fn archive_first(view: &View, control: &Control) -> Option<Decision> {
    let end = rejoin::end(control);
    let is_stopped =
        matches!(control.state, ControlState::ShutDown | ControlState::ShutDownInRecovery);
    if !is_stopped || view.memory.ladder.archived == Some(end) {
        return None;
    }
    let lineage = view.cluster().lineage();
    let before = lineage.left_at(end, &control.ancestors)?;
    let mut timelines: Vec<Timeline> = control.ancestors.iter().map(|one| one.timeline).collect();
    timelines.push(control.timeline);
    timelines.retain(|timeline| lineage.is_on_its_way(*timeline));
    let left = LeftToArchive { before, timelines, end };
    let work = if view.upkeep_running { Vec::new() } else { vec![Effect::ArchiveLeft(left)] };
    let reason = Reason::plain("stay down: archive what is left to be archived");
    Some(Decision::wait(reason).with_upkeep(work))
}

/// What is given up, if the history does not have it.
fn loss(view: &View, control: Option<&Control>, step: LossStep) -> Option<Effect> {
    let Some(control) = control else {
        // Of a directory that is half rewound only the record tells what it was.
        let last = view.journal.losses.last()?;
        return Some(Effect::RecordLoss(Loss { step, ..*last }));
    };
    given_up(view, control, step).map(Effect::RecordLoss)
}

fn given_up(view: &View, control: &Control, step: LossStep) -> Option<Loss> {
    let lineage = view.cluster().lineage();
    let end = rejoin::end(control);
    // The control file of one that crashed tells where its last checkpoint is, and its log went on from there.
    let may_go_on = control.state == ControlState::InProduction
        || view.memory.ladder.crashed_as_primary && control.state == ControlState::InRecovery;
    if !may_go_on {
        following::diverged(lineage.standing(end))?;
    }
    Some(Loss {
        at_micros: 0,
        timeline: control.timeline,
        from: lineage.left_at(end, &control.ancestors),
        to: control.end,
        is_exact: control.state == ControlState::ShutDown,
        step,
    })
}

/// The reason, with how much is given up.
fn told(view: &View, control: Option<&Control>, why: &str) -> String {
    let lost = control.and_then(|control| given_up(view, control, LossStep::Rewind));
    match lost.and_then(|lost| Some((lost, lost.bytes()?))) {
        Some((lost, bytes)) => {
            let at_least = if lost.is_exact { "" } else { "at least " };
            format!("{why}; {at_least}{bytes} bytes of log of its own, up to {}", lost.to)
        }
        None => why.to_owned(),
    }
}

/// A standby that does not come up over what is on its disk.
pub fn past_damage(view: &View, control: &Control, leader: &Upstream) -> Option<Decision> {
    let (times, said) = &view.memory.ladder.damaged;
    if *times < DAMAGED_STARTS_MAX || view.settings.diverged_data == DivergedData::StayDown {
        return None;
    }
    let fallen = Fallen { why: "it does not come up", control: Some(control) };
    Some(give_up(view, &fallen, leader, &format!("{times} starts failed: {said}")))
}

/// Whether a standby has got no log for longer than that usually takes.
pub fn is_stuck(view: &View, facts: &StandbyFacts) -> bool {
    let stuck = view.memory.ladder.stuck.filter(|_| !facts.is_streaming());
    let usual = STUCK_FOR.max(view.settings.times.renewal_period * 2);
    let patience = if view.settings.has_archive { STUCK_WITH_ARCHIVE_FOR } else { usual };
    stuck.is_some_and(|(_, since)| view.now >= since + patience)
}

/// A standby that runs and gets no log: its leader is asked whether it still has what comes next.
/// `None` while there is nothing to do about it.
pub fn without_log(view: &View, facts: &StandbyFacts, leader: &Upstream) -> Option<Decision> {
    let ladder = &view.memory.ladder;
    let (at, _) = ladder.stuck?;
    if !is_stuck(view, facts) || !upstream::serves(view, leader) {
        return None;
    }
    if ladder.log_gone.as_ref() == Some(&(at, leader.name.clone())) {
        let within = view.settings.dynamic.retry_timeout;
        let stop = Effect::Stop { mode: StopMode::Fast, within };
        let why = format!("from {} on, which {} does not have any more", at.lsn, leader.name);
        let reason = Reason::with("take the standby down: the log that it needs is gone", why);
        return Some(Decision::act(reason, JobKind::Stop, vec![stop]));
    }
    let is_due = ladder.asked_at.is_none_or(|asked| view.now.since(asked) >= ASK_EVERY);
    if !is_due || view.upkeep_running {
        return None;
    }
    let ask = Effect::AskForLog { upstream: leader.clone(), from: at };
    let reason = Reason::with("watch: the standby gets no log", leader.name.as_str());
    Some(Decision::wait(reason).with_upkeep(vec![ask]))
}

/// A standby that was taken down because its log is gone: all it has is on the history, so nothing is
/// lost with it.
pub fn copy_anew(view: &View, leader: &Upstream) -> Option<Decision> {
    let (at, _) = view.memory.ladder.log_gone.as_ref().filter(|(_, at)| *at == leader.name)?;
    if !upstream::serves(view, leader) {
        let reason = Reason::plain("stay down: there is no leader to copy from yet");
        return Some(Decision::wait(reason));
    }
    let detail = format!("it stands at {}, nothing of its own is lost", at.lsn);
    let label = "remove the standby's data: the log that it needs is gone";
    let effects =
        vec![Effect::Kill, Effect::Begin(Unfinished::Copy), Effect::RemoveData, Effect::Finish];
    Some(Decision::act(Reason::with(label, detail), JobKind::Rewind, effects))
}
