//! The loop: wake, observe, decide, act, publish. Work that takes time is a job beside it.

mod assemble;
mod failsafe;
mod force;
mod memory;
mod probes;
mod report;
mod slot_watch;
mod telling;
mod watchdog;
mod work;

pub use assemble::{Assembly, Node, Tasks, assemble, first_effective, settings};
pub use telling::fence_event;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::info;

use crate::act::lease::Pulse;
use crate::act::{Context, Note, Ports, Wanted};
use crate::cluster::{Look, NotAccepted, Role, State};
use crate::config::{Dynamic, NodeConfig};
use crate::decide::{Decision, LeaseSight, Memory, Seat, Sight, StandbyRules, View, decide, seat};
use crate::observe::ProbeEnds;
use crate::postgres::{CopyProgress, Server};
use crate::publish::{Activity, Events, Metrics, Published, Stage, WatchdogSeen};
use crate::values::{Clock, LeaseTimes, MemberName, Monotonic, Revision};
use crate::wake::{Call, Wake};
use report::OwnFile;
use work::{Running, finished};

/// Why the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop, and everything is in order.
    AsTold,
    /// Another version of the program goes on in this process, with the server as it is.
    ForUpgrade,
    /// Something a person has to mend.
    WithError(String),
}

/// One agent's loop.
pub struct Agent<P: Ports> {
    inlets: Inlets<P>,
    applied: Option<Revision>,
    /// Whether the server's files say what is to be in force.
    configured: bool,
    /// Where they could not be written: when the next try is due.
    configures_again_at: Option<Monotonic>,
    memory: Memory,
    job: Option<Running>,
    upkeep: Option<Running>,
    /// Side work that failed would fail again at once.
    upkeep_rests_until: Option<Monotonic>,
    activity: Activity,
    look: Arc<Look>,
    looked_at: Monotonic,
    role: Option<Role>,
    copy: Option<CopyProgress>,
    appointment: Option<Monotonic>,
    position_asked: Vec<oneshot::Sender<()>>,
    restart_asked: Vec<oneshot::Sender<()>>,
    slot_watch: slot_watch::SlotWatch,
    told: telling::Told,
    watchdog: WatchdogSeen,
    own_file: OwnFile,
    side_work_failed: String,
    failsafe_asked: Vec<failsafe::Asked>,
    failsafe_told: Option<(Monotonic, MemberName, Result<(), NotAccepted>)>,
    ended: Option<Ended>,
    /// As soon as nothing is under way, another version of the program takes over.
    upgrades: bool,
}

/// The loop's own ends of everything it shares.
pub(super) struct Inlets<P: Ports> {
    pub(super) context: Rc<Context<P>>,
    pub(super) config: Arc<NodeConfig>,
    pub(super) dynamic: Arc<Dynamic>,
    pub(super) sight: watch::Receiver<Option<Arc<Sight>>>,
    pub(super) lease: watch::Receiver<LeaseSight>,
    pub(super) times: watch::Sender<LeaseTimes>,
    pub(super) failsafe: watch::Sender<bool>,
    pub(super) wanted: watch::Sender<Option<Arc<Wanted>>>,
    pub(super) probes: ProbeEnds,
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
    pub(super) notes: mpsc::UnboundedReceiver<Note>,
    pub(super) reload: Box<dyn Fn() -> Option<Arc<NodeConfig>>>,
    pub(super) pulse: Pulse,
    pub(super) metrics: Metrics,
    pub(super) events: Events,
    pub(super) published: Published,
}

impl<P: Ports> Agent<P> {
    /// A loop that has not turned yet.
    pub(super) fn new(inlets: Inlets<P>) -> Self {
        let activity = inlets.published.get().decision.clone();
        let started_at = Some(inlets.context.clock.now());
        let own_file = OwnFile::of(&inlets.config);
        let memory = Memory { started_at, ..Memory::default() };
        Self {
            inlets,
            applied: None,
            configured: false,
            configures_again_at: None,
            memory,
            job: None,
            upkeep: None,
            upkeep_rests_until: None,
            activity,
            look: Arc::new(Look::none()),
            looked_at: Monotonic::ZERO,
            role: None,
            copy: None,
            appointment: None,
            position_asked: Vec::new(),
            restart_asked: Vec::new(),
            slot_watch: slot_watch::SlotWatch::default(),
            told: telling::Told::default(),
            watchdog: WatchdogSeen::default(),
            own_file,
            side_work_failed: String::new(),
            failsafe_asked: Vec::new(),
            failsafe_told: None,
            ended: None,
            upgrades: false,
        }
    }

    /// Turns until it is told to stop, or cannot go on.
    pub async fn run(mut self) -> Ended {
        let mut wake = Wake::Start;
        loop {
            self.inlets.metrics.wake(wake);
            self.turn().await;
            if let Some(ended) = self.ended.take() {
                return ended;
            }
            wake = self.wait().await;
        }
    }

    fn now(&self) -> Monotonic {
        self.inlets.context.clock.now()
    }

    fn lease_times(&self) -> LeaseTimes {
        self.inlets.context.settings().times
    }

    /// Waits for the next wake, and takes in what it brought.
    async fn wait(&mut self) -> Wake {
        let tick = self.lease_times().heartbeat.min(self.inlets.dynamic.loop_wait);
        let appointment = self.appointment.map(|at| at.since(self.now()));
        let pause = appointment.map_or(tick, |until| until.min(tick));
        let context = Rc::clone(&self.inlets.context);
        tokio::select! {
            biased;
            Some(call) = self.inlets.calls.recv() => return self.take_call(call),
            result = finished(&mut self.job) => self.job_ended(result),
            result = finished(&mut self.upkeep) => self.upkeep_ended(result),
            () = context.server.exited() => {
                if self.server_just_ended() {
                    return Wake::ServerExited;
                }
                // Known already: nothing more happens until something else does.
                tokio::time::sleep(pause).await;
                return Wake::Tick;
            }
            () = context.server.streams_changed(), if self.waits_for_standbys() => {
                return Wake::Streams;
            }
            Ok(()) = self.inlets.lease.changed() => return Wake::Lease,
            Ok(()) = self.inlets.sight.changed() => return Wake::Store,
            Ok(()) = self.inlets.probes.found.changed() => return Wake::Health,
            () = tokio::time::sleep(pause) => {
                let kept = appointment.is_some_and(|until| until <= tick);
                return if kept { Wake::Appointment } else { Wake::Tick };
            }
        }
        Wake::JobEnded
    }

    /// Whether it matters at once who streams from the server.
    fn waits_for_standbys(&self) -> bool {
        matches!(self.look.state, State::Primary(_)) && !self.memory.sync.possible.is_empty()
    }

    fn server_just_ended(&self) -> bool {
        !matches!(self.look.state, State::Down(_))
    }

    fn take_call(&mut self, call: Call) -> Wake {
        match call {
            Call::Promise { term, answer } => {
                let standing = self.inlets.context.kept.standing_vote.borrow().clone();
                match standing {
                    // Promised this already, and has stood still since: the answer is the same.
                    Some((promised, vote)) if promised >= term => drop(answer.send(Ok(vote))),
                    _ => {
                        self.inlets.context.kept.promise_answers.borrow_mut().push((term, answer));
                        let before = self.memory.promise_asked;
                        self.memory.promise_asked = before.max(Some(term));
                    }
                }
                Wake::Request
            }
            Call::Position { answer } => {
                self.position_asked.push(answer);
                Wake::Request
            }
            Call::Failsafe { ask, answer } => {
                self.failsafe_asked.push(failsafe::Asked { ask, answer });
                Wake::Request
            }
            Call::Reload => {
                self.reload_files();
                Wake::Signal
            }
            Call::Restart { of, answer } => {
                info!("asked to restart the server");
                self.memory.restart_of = Some(of);
                self.restart_asked.push(answer);
                self.memory.failure = None;
                Wake::Request
            }
            Call::LookAgain => Wake::Request,
            Call::Upgrade => {
                info!("told to make room for another version of this program");
                self.upgrades = true;
                Wake::Signal
            }
            Call::Stop => {
                if !self.memory.stop_asked {
                    info!("told to stop");
                    // What failed before says nothing about the stop.
                    self.memory.failure = None;
                }
                self.memory.stop_asked = true;
                Wake::Signal
            }
        }
    }

    /// One turn.
    async fn turn(&mut self) {
        let started = self.now();
        self.inlets.pulse.beat(started);
        self.tell_of_the_lease();
        self.apply_config().await;
        let within = self.lease_times().one_try.min(Duration::from_secs(1));
        self.look = Arc::new(self.inlets.context.server.look(within).await);
        self.looked_at = self.now();
        let is_same = |of: &i64| self.look.started_at_micros.is_none_or(|at| at == *of);
        self.memory.restart_of = self.memory.restart_of.filter(is_same);
        self.inlets.pulse.beat(self.looked_at);
        self.tell_a_change_of_role();
        self.tell_of_the_fence();
        self.tell_of_the_server();
        self.see_to_the_watchdog();
        self.take_notes();
        let mut view = self.view();
        self.answer_failsafe(&mut view);
        self.inlets.metrics.turn(Stage::Observe, self.now().since(started));
        let decided_at = self.now();
        let decision = decide(&view);
        self.inlets.metrics.turn(Stage::Decide, self.now().since(decided_at));
        self.adopt(&decision, &view);
        self.begin(decision);
        self.slot_watch.look(&view);
        if self.upgrades && self.job.is_none() && self.ended.is_none() {
            self.ended = Some(Ended::ForUpgrade);
        }
        let published_at = self.now();
        self.publish(&view);
        self.show_probes(&view);
        let restarted = self.memory.restart_of.is_none();
        let restarts = if restarted { std::mem::take(&mut self.restart_asked) } else { Vec::new() };
        for answer in self.position_asked.drain(..).chain(restarts) {
            // Whoever asked may have given up.
            let _ = answer.send(());
        }
        self.inlets.metrics.turn(Stage::Publish, self.now().since(published_at));
    }

    fn take_notes(&mut self) {
        while let Ok(note) = self.inlets.notes.try_recv() {
            match note {
                Note::Ballot(ballot) => self.memory.ballot = Some(ballot),
                Note::RequestTried(revision, why) => {
                    self.memory.request_tried = Some((revision, why));
                }
                Note::Wrote(revision) => {
                    self.memory.wrote = self.memory.wrote.max(revision);
                }
                Note::NamesTold(possible) => self.memory.sync.told(possible),
                Note::NamesInForce(names, at) => self.memory.sync.is_in_force(&names, at),
                Note::SyncWrite(over) => self.memory.sync_write = Some(over),
                Note::SyncWritten => self.memory.sync_write = None,
                Note::NamesLeft => self.memory.sync.told(Vec::new()),
                Note::StatusWritten(at, lsn) => self.memory.status_written = Some((at, lsn)),
                Note::Leave(None) => self.ended = Some(Ended::AsTold),
                Note::Leave(Some(why)) => self.ended = Some(Ended::WithError(why)),
                Note::Rewound(result) => self.memory.ladder.rewind_ended(result),
                Note::RewindRefused(why) => self.memory.ladder.rewind_was_refused(why),
                Note::LogAsked(from, gone_at) => {
                    self.memory.ladder.asked_at = Some(self.now());
                    self.memory.ladder.log_gone = gone_at.map(|leader| (from, leader));
                }
                Note::CopiesSlots(at, names) => self.memory.carried.tries(at, &names),
                Note::AskedWhatIsKept(at, kept) => self.memory.carried.asked(at, kept),
                Note::Archived(end) => self.memory.ladder.archived = Some(end),
                Note::Copy(progress) => self.tell_copy(progress),
                Note::Promoted(timeline) => {
                    info!(%timeline, "promoted");
                    self.inlets.metrics.promotion(self.activity.reason.label);
                }
            }
        }
    }

    /// Everything a decision may know, at this moment.
    fn view(&mut self) -> View {
        let settings = self.inlets.context.settings();
        // Before the lease is read, which shows itself before this is taken away.
        let left_until = self.inlets.context.exposure.left_until();
        let sight = self.inlets.sight.borrow_and_update().clone();
        let lease = *self.inlets.lease.borrow_and_update();
        let now = self.now();
        let me = self.inlets.context.me();
        let seat = seat(sight.as_deref(), &lease, me.incarnation, &settings.times, now);
        if let Some(position) = report::own_position(&self.look) {
            self.inlets.pulse.reached(position);
        }
        let cluster = sight.map(|sight| Arc::clone(&sight.cluster));
        let journal = self.inlets.context.notebook.read();
        self.forget_an_old_store(cluster.as_deref());
        let (made, permanent) = (&journal.slots, &settings.dynamic.slots);
        self.memory.slots.look_back(now, &self.look.state, made, permanent);
        self.memory.observe(now, seat, &self.look.state, &me.name, cluster.as_deref());
        let rules = StandbyRules::of(&settings);
        self.memory.sync.observe(&self.look.state, cluster.as_deref(), rules, now);
        self.memory.sync.recall(self.look.started_at_micros, journal.admitted);
        View {
            now,
            me,
            seat,
            my_term: lease.held.map(|held| held.term),
            carried_by: self.carried_by(&lease),
            emptied: lease.emptied,
            server: Arc::new(self.look.state.clone()),
            exposed: self.inlets.context.exposure.is_exposed(),
            left_until,
            job: self.job.as_ref().map(|running| running.job),
            health: Arc::new(self.inlets.probes.found.borrow_and_update().clone()),
            upkeep_running: self.upkeep.is_some() || self.upkeep_rests_until > Some(now),
            memory: self.memory.clone(),
            journal,
            settings,
            cluster,
        }
    }

    /// Notes and tells a change of decision.
    fn adopt(&mut self, decision: &Decision, view: &View) {
        let now = view.now;
        let ttl = self.lease_times().ttl;
        let held_until = match self.context_seat(now) {
            Seat::Held { changed_at } => Some(changed_at + ttl),
            Seat::Mine(until) => Some(until.moment() - self.lease_times().soft_stop)
                .filter(|soft| *soft > now)
                .or(Some(until.moment())),
            Seat::Offered | Seat::Vacant(_) | Seat::Unknown => None,
        };
        let moments = [decision.look_again_at, held_until];
        self.appointment = moments.into_iter().flatten().filter(|at| *at > now).min();
        if self.activity.reason == decision.reason || decision.reason.label == "busy" {
            return;
        }
        info!(decision = %decision.reason, "decided");
        self.inlets.metrics.decision(decision.reason.label);
        let since_micros = self.inlets.context.clock.wall_micros();
        self.tell_of_the_decision(decision, view, since_micros);
        self.activity = Activity { reason: decision.reason.clone(), since: now, since_micros };
    }

    fn context_seat(&self, now: Monotonic) -> Seat {
        let sight = self.inlets.sight.borrow().clone();
        let lease = *self.inlets.lease.borrow();
        let times = self.lease_times();
        seat(sight.as_deref(), &lease, self.inlets.context.me().incarnation, &times, now)
    }
}
