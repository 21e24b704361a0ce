//! The synchronous set: who may acknowledge a commit, who is heard in a race, and every order in which
//! the two can change, with crashes in between.
//!
//! Shared with the product: each step of the leader (`possible_names`, `step_towards`, and under it
//! `cluster::quorum`), its memory (`SyncMemory`), what goes before a promotion (`on_promotion`), the order
//! of candidates (`rank`) and the proof (`proven`), on a real `Lineage`.
//!
//! Modelled: PostgreSQL. Its processes read a changed `synchronous_standby_names` one after the other: until
//! all have, each may go by any of the settings since. A walsender counts by the number that it has read
//! itself, among the walsenders that name themselves; whether commits wait at all is the checkpointer's
//! word. What can be acknowledged by any of these is acknowledged at once, which is the worst case: nobody decides by it. A former leader is *not* fenced
//! here: it goes on for as long as somebody streams from it.
//!
//! Left out: the lease (see `lease.rs`), tags, lag limits, strict mode's closed state after a promotion, replay behind flush,
//! and an agent that is paused between its decision and the change of the names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pgbaton::cluster::{
    Downstream, PrimaryFacts, State as Server, Step, SyncNames, Voters, on_promotion,
};
use pgbaton::decide::{StandbyRules, possible_names, step_towards};
use pgbaton::mutants::{Mutant, plant, planted};
use pgbaton::values::{Monotonic, SystemId, Timeline};
use stateright::{Model, Property};

use super::search::Counted;
use super::sync_race::{fit, somebody_can_lead_as_before};
use super::sync_state::{
    Action, Agent, Leading, NODES, Names, Phase, Primary, Record, State, name, names_of,
};

/// The rules.
pub const ACKNOWLEDGED: &str = "a leader has every acknowledged commit";
pub const HEARD: &str = "r + k > |V u S| for all that may be in force";
pub const FOUND: &str = "with a quorum of voters somebody can lead";

/// The model and its bounds.
#[derive(Clone, Debug)]
pub struct Sync {
    /// Commits that are tried, over all terms.
    pub commits: u8,
    /// Changes of leader.
    pub promotions: u8,
    /// Changes of the names.
    pub settings: u8,
    /// Failures of hosts and agents, and writes of the record that are not answered.
    pub failures: u8,
    /// A mistake of the product's.
    pub mutant: Option<Mutant>,
    /// A mistake of the model's own.
    pub mistake: Option<Mistake>,
    /// What has happened in some state so far.
    pub seen: Arc<AtomicU32>,
    /// Of how many states it was asked what can follow.
    pub expanded: Arc<AtomicUsize>,
}

impl Counted for Sync {
    fn expanded(&self) -> &AtomicUsize {
        &self.expanded
    }
}

/// A mistake that is planted in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A write of the record that was not answered is forgotten.
    ForgetsOpenWrite,
    /// Whoever lacks what nobody acknowledged may not lead.
    LagCounts,
}

/// What the `sometimes` properties ask for and a state does not tell, by the number of its bit.
#[derive(Clone, Copy)]
enum Seldom {
    FinishedForAnother,
    RecordArrivedLate,
}

impl Sync {
    /// So many commits, changes of leader, changes of the names and failures.
    pub fn bounded([commits, promotions, settings, failures]: [u8; 4]) -> Self {
        let (seen, expanded) = (Arc::default(), Arc::default());
        Self {
            commits,
            promotions,
            settings,
            failures,
            mutant: None,
            mistake: None,
            seen,
            expanded,
        }
    }

    fn note(&self, what: Seldom) {
        self.seen.fetch_or(1 << what as u32, Ordering::Relaxed);
    }

    fn happened(&self, what: Seldom) -> bool {
        self.seen.load(Ordering::Relaxed) & 1 << what as u32 != 0
    }

    fn prepare(&self) {
        plant(self.mutant);
    }
}

impl Model for Sync {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first().under_its_first_names()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.expanded.fetch_add(1, Ordering::Relaxed);
        // What cannot be is not tried: that is most of the time.
        let mut when = |it_can_be: bool, action| it_can_be.then(|| actions.push(action));
        let may_fail = state.failures < self.failures;
        for at in 0..NODES {
            let (is_up, is_open) = (state.up[at], state.primaries[at].is_some());
            when(is_up && may_fail, Action::Fail(at));
            when(!is_up, Action::Return(at));
            when(is_up && !is_open && !state.promised[at], Action::Promise(at));
            when(state.promised[at], Action::Take(at));
            when(is_open, Action::ReadNames(at));
            when(is_open && state.written < self.commits, Action::Write(at));
            for from in (0..NODES).filter(|from| *from != at) {
                let sends = state.primaries[from].is_some();
                when(is_up && !is_open && sends, Action::Receive { at, from });
            }
        }
        let Leading::By(leader, phase) = state.leading else { return };
        let is_open = phase == Phase::Open;
        when(!is_open, Action::GoOn);
        when(is_open, Action::BreakOff);
        when(is_open && may_fail, Action::AgentRestarts);
        when(state.record.open.is_some(), Action::RecordArrives);
        for wanted in Names::all(leader).filter(|_| is_open) {
            actions.push(Action::Towards { wanted, answered: true });
            if may_fail {
                actions.push(Action::Towards { wanted, answered: false });
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.prepare();
        let mut next = last.clone();
        let fails = matches!(
            action,
            Action::Fail(_) | Action::AgentRestarts | Action::Towards { answered: false, .. }
        );
        next.failures += u8::from(fails);
        let done = match action.clone() {
            Action::Write(at) => next.write(at, self.commits),
            Action::Receive { at, from } => next.receive(at, from),
            Action::ReadNames(at) => next.read_names(at),
            Action::Fail(at) => next.fail(at),
            Action::Return(at) => next.come_back(at),
            Action::Promise(at) => next.promise(at, self.promotions),
            Action::BreakOff => next.break_off(),
            Action::Take(at) => take(&mut next, at),
            Action::GoOn => go_on(&mut next),
            Action::AgentRestarts => next.agent_restarts(),
            Action::RecordArrives => next.record_arrives(),
            Action::Towards { wanted, answered } => self.towards(&mut next, wanted, answered),
        };
        done?;
        if next.failures > self.failures || next.settings > self.settings {
            return None;
        }
        if action == Action::RecordArrives {
            self.note(Seldom::RecordArrivedLate);
        }
        next.acknowledge();
        let next = next.under_its_first_names();
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ACKNOWLEDGED, |_, state: &State| {
                let Leading::By(leader, Phase::Open) = state.leading else { return true };
                state.acknowledged.iter().all(|one| state.logs[leader].contains(one))
            }),
            Property::always(HEARD, |_, state: &State| rule_holds(state)),
            Property::always(FOUND, |model, state: &State| {
                model.prepare();
                somebody_can_lead_as_before(state, model.mistake == Some(Mistake::LagCounts))
            }),
            Property::sometimes("a commit is acknowledged in a second term", |_, state: &State| {
                let Leading::By(leader, Phase::Open) = state.leading else { return false };
                let (log, last) = (&state.logs[leader], state.branches.last());
                let since = last.filter(|last| last.parent.is_some());
                since.is_some_and(|last| {
                    let begins = usize::from(last.at) - 1;
                    log[begins..].iter().any(|one| state.acknowledged.contains(one))
                })
            }),
            Property::sometimes("one that was not the leader is promoted", |_, state: &State| {
                state.branches.iter().any(|one| one.node != state.branches[0].node)
            }),
            Property::sometimes(
                "a change that a crash broke off is finished by the next leader",
                |model: &Sync, _| model.happened(Seldom::FinishedForAnother),
            ),
            Property::sometimes("processes go by different names", |_, state: &State| {
                state.primaries.iter().flatten().any(|one| !one.before.is_empty())
            }),
            Property::sometimes(
                "a record that was not answered arrives late",
                |model: &Sync, _| model.happened(Seldom::RecordArrivedLate),
            ),
            Property::sometimes("a commit is lost that nobody acknowledged", |_, state: &State| {
                let Leading::By(leader, Phase::Open) = state.leading else { return false };
                (1..=state.written).any(|one| !state.logs[leader].contains(&one))
            }),
            Property::sometimes(
                "a former leader is still open beside the new one",
                |_, state: &State| state.primaries.iter().flatten().count() > 1,
            ),
        ]
    }
}

impl Sync {
    /// One turn of the leader's agent, towards these names.
    fn towards(&self, state: &mut State, wanted: Names, answered: bool) -> Option<()> {
        let Leading::By(leader, Phase::Open) = state.leading else { return None };
        if state.record.open.is_some() && self.mistake != Some(Mistake::ForgetsOpenWrite) {
            // The same once more: what is under way is refused from now on.
            state.record.open = None;
            return answered.then_some(());
        }
        let mut memory = state.agent.memory();
        let facts = facts(state, leader);
        let rules = StandbyRules { remote_apply: false, use_slots: true };
        memory.observe(&Server::Primary(facts.clone()), None, rules, Monotonic::ZERO);
        let recorded = state.record.voters();
        if state.record.leader != leader {
            return None;
        }
        let wanted = wanted.real();
        let step = match possible_names(&memory, facts.sync_names.as_ref(), &recorded) {
            Ok(possible) => (step_towards(&memory, &possible, &recorded, &wanted), possible),
            Err(step) => (step, Vec::new()),
        };
        state.agent = Agent::of(&memory);
        match step {
            (Step::Record(voters), possible) => {
                let on_purpose = planted(Mutant::SyncNamesWidenedFirst)
                    || planted(Mutant::SyncNamesEmptiedFirst)
                    || planted(Mutant::SyncPublishedEarly);
                // What `act` asks once more before it writes.
                assert!(voters.hears(&SyncNames::mixed(&possible)) || on_purpose);
                let written = Record::of(leader, &voters);
                if answered {
                    if std::mem::take(&mut state.happened.broke_off) {
                        self.note(Seldom::FinishedForAnother);
                    }
                    state.record = written;
                } else {
                    state.record.open = Some((written.need, written.of));
                }
            }
            (Step::Set(names), possible) if answered => {
                let before = possible.iter().filter(|one| **one != names).cloned();
                memory.told(before.chain([names.clone()]).collect());
                state.agent = Agent::of(&memory);
                state.settings += 1;
                state.primaries[leader].as_mut()?.tell(Names::of(&names));
            }
            (Step::Set(_), _) => return None,
            (Step::AwaitCaughtUp | Step::Settled, _) => {}
        }
        Some(())
    }
}

/// What a session at the leader's server sees.
fn facts(state: &State, leader: usize) -> PrimaryFacts {
    let primary = state.primaries[leader].as_ref().expect("a leader that is open has a server");
    let streams = (0..NODES).filter(|at| state.follows[*at] == Some(leader) && state.up[*at]);
    let row = |at: usize| Downstream {
        name: name(at).as_str().to_owned(),
        user: String::new(),
        client_address: None,
        state: "streaming".to_owned(),
        flushed: state.end(at),
        replayed: state.end(at),
        sync_state: String::new(),
        sync_priority: 0,
        slot: Some(name(at).slot_name()),
    };
    PrimaryFacts {
        system_id: SystemId(1),
        position: state.position(leader),
        checkpoint_timeline: Timeline(1),
        ancestors: Vec::new(),
        downstreams: streams.map(row).collect(),
        slots: Vec::new(),
        sync_names: Some(primary.told.real()),
    }
}

/// The seat changes hands: the candidate has the promises of all that have promised.
fn take(state: &mut State, at: usize) -> Option<()> {
    let voters: Vec<usize> =
        (0..NODES).filter(|one| state.promised[*one] && state.up[*one]).collect();
    if !voters.contains(&at) || !fit(state, &voters, false).contains(&at) {
        return None;
    }
    match state.leading {
        // One that has taken the seat and is not open is heard of again when it has failed.
        Leading::By(_, Phase::Taken | Phase::Recorded(_)) => return None,
        Leading::By(_, Phase::Open) => {
            state.happened.broke_off = state.agent.is_changing() || state.record.open.is_some();
        }
        Leading::Nobody => {}
    }
    // Under way by the former leader: its guard is not the store's any more.
    state.record.open = None;
    state.agent = Agent::default();
    state.leading = Leading::By(at, Phase::Taken);
    Some(())
}

/// The next step of a promotion.
fn go_on(state: &mut State) -> Option<()> {
    let Leading::By(me, phase) = state.leading else { return None };
    let recorded = state.record.voters();
    match phase {
        Phase::Taken => {
            let (voters, names) = on_promotion(&recorded, &name(state.record.leader), &name(me));
            state.record = Record::of(me, &voters);
            state.leading = Leading::By(me, Phase::Recorded(Names::of(&names)));
        }
        Phase::Recorded(names) => {
            state.promote(me, Primary { told: names, before: Vec::new() });
            state.leading = Leading::By(me, Phase::Open);
        }
        Phase::Open => return None,
    }
    state.promised = [false; NODES];
    Some(())
}

fn rule_holds(state: &State) -> bool {
    let Leading::By(leader, Phase::Open) = state.leading else { return true };
    if state.record.leader != leader {
        return true;
    }
    let Some(primary) = &state.primaries[leader] else { return true };
    let in_force: Vec<SyncNames> = primary.in_force().map(Names::real).collect();
    let mixed = SyncNames::mixed(&in_force);
    let meets = |voters: &Voters| match &mixed {
        _ if voters.of.is_empty() => true,
        SyncNames::Nobody => false,
        SyncNames::Closed => true,
        SyncNames::AnyOf { count, of } => voters.need + count > voters.of.union(of).count(),
    };
    let open = state.record.open.map(|(need, of)| Voters { need: need.into(), of: names_of(of) });
    meets(&state.record.voters()) && open.is_none_or(|voters| meets(&voters))
}
