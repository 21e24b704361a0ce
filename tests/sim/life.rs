//! One whole life of a world: it is founded, things go wrong, everything is mended, it serves again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use pgbaton::values::LeaseTimes;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::clock;
use crate::faults::{self, Underway};
use crate::gate::POLLS_MAX;
use crate::host;
use crate::invariants::{self, CONVERGENCE, convergence, gray_failures, never_leaderless};
use crate::plan::{Plan, SyncPlan};
use crate::postgres::pass_time;
use crate::rng::Rng;
use crate::sometimes::{Counts, Sometimes};
use crate::world::{Violation, World};

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// What happened that has to happen sometimes.
    pub counts: Counts,
    /// How long it lived, in its own time.
    pub lived: Duration,
    /// Whether a person had to speak before anybody led.
    pub spoken: bool,
}

/// A step of time.
const STEP: Duration = Duration::from_millis(10);
/// How many steps pass between two looks at whether everything is well.
const LOOK_EVERY: u32 = 10;
/// For so many looks in a row everything has to be well.
const WELL_FOR: u32 = 5;

thread_local! {
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic anywhere in a world breaks a rule there.
pub fn watch_for_panics(told: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        if told {
            println!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        }
        PANICKED.set(Some(panic.to_string()));
    }));
}

/// Lives the world of a seed.
pub fn live(seed: u64, told: bool) -> Outcome {
    let rng = Rng::new(seed);
    let mut plan = Plan::draw(&rng);
    // From chance of its own: the asynchronous worlds stay as they are.
    let sync = Rng::new(seed ^ 0x73796e63);
    plan.sync = SyncPlan::draw(&sync);
    if plan.sync.is_on() {
        faults::draw_changes_of_sync(&sync, &mut plan);
    }
    plan.stay_away = never_leaderless::draw_who_stays_away(&Rng::new(seed ^ 0x61776179), &plan);
    live_by(plan, rng, told)
}

/// Lives a world by a given plan.
pub fn live_by(plan: Plan, rng: Rng, told: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_unpark(clock::wake)
        .build()
        .expect("a runtime without I/O can be built");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        clock::begin();
        let world = Rc::new(World::new(plan, rng, told));
        let mut life = Life {
            world: Rc::clone(&world),
            underway: Vec::new(),
            steps: 0,
            last: None,
            spoken: false,
            quiet_since: None,
        };
        // A task of its own, which is polled when its time has come and not whenever anything happens.
        let life = tokio::task::spawn_local(async move {
            life.whole().await;
            life
        });
        let life = life.await.expect("a life does not panic");
        // The tasks hold the world, and the world holds the tasks.
        for node in 0..world.hosts.len() {
            host::kill(&world, node);
        }
        let violation = world.violation.borrow().clone();
        let (hash, counts, lived) = (world.trace.hash(), world.counts(), world.now());
        Outcome { violation, hash, counts, lived, spoken: life.spoken }
    })
}

struct Life {
    world: Rc<World>,
    underway: Vec<Underway>,
    steps: u32,
    last: Option<usize>,
    spoken: bool,
    /// Since when all has been well and nothing wrong.
    quiet_since: Option<Duration>,
}

impl Life {
    async fn whole(&mut self) {
        let world = Rc::clone(&self.world);
        if world.trace.is_told() {
            println!("{:#?}", world.plan);
        }
        for host in &world.hosts {
            host.life.borrow_mut().start_at = Some(world.rng.millis(0, 300));
        }
        if !world.plan.faults_from_the_start && !self.settles("founding").await {
            return;
        }
        world.founds_quickly.set(false);
        self.go_wrong().await;
        if self.is_broken() {
            return;
        }
        world.note_of("world", "everything is mended", [0, 0]);
        world.alone.set(None);
        faults::heal(&world, &mut self.underway);
        if !world.plan.stay_away.is_empty() && !self.serves_without_some().await {
            return;
        }
        self.settles("mending").await;
    }

    /// Some nodes stay away while all else is mended: where the others can tell what was acknowledged, one
    /// of them serves.
    async fn serves_without_some(&mut self) -> bool {
        let world = Rc::clone(&self.world);
        let mut away = BTreeSet::new();
        for target in &world.plan.stay_away {
            away.insert(faults::choose(&world, *target));
        }
        for node in &away {
            faults::kill(&world, *node);
            world.note(*node, "it stays away", [0, 0]);
        }
        let began = world.now();
        // What was on its way to the store has arrived by then.
        let known_at = began + world.plan.ttl * 4;
        while !self.is_broken() && world.now() < known_at {
            self.step().await;
        }
        let enough = never_leaderless::are_enough_left(&world, &away);
        let end = began + self.patience();
        while enough && !self.is_broken() && world.now() < end {
            if never_leaderless::check(&world).is_ok() {
                world.sometimes(Sometimes::ServedWithSomeAway);
                break;
            }
            self.step().await;
        }
        if enough {
            invariants::serves_meanwhile(&world);
        }
        for node in away {
            world.hosts[node].life.borrow_mut().start_at = Some(world.now());
        }
        !self.is_broken()
    }

    /// How long it may take until a world serves that nothing is wrong with.
    fn patience(&self) -> Duration {
        self.world.plan.ttl * 20 + Duration::from_secs(20)
    }

    fn is_broken(&self) -> bool {
        self.world.violation.borrow().is_some()
    }

    /// Waits until everything is well; that it becomes so is a rule.
    async fn settles(&mut self, after: &str) -> bool {
        let patience = self.patience();
        let mut end = self.world.now() + patience;
        let mut well = 0;
        while well < WELL_FOR {
            self.step().await;
            if self.is_broken() {
                return false;
            }
            if !self.steps.is_multiple_of(LOOK_EVERY) {
                continue;
            }
            match convergence::missing(&self.world) {
                Ok(()) => {
                    well += 1;
                    self.quiet_since.get_or_insert(self.world.now());
                }
                Err(_) if self.world.now() < end => (well, self.quiet_since) = (0, None),
                Err(_) if !self.spoken && self.a_person_speaks() => end += patience,
                Err(missing) => {
                    let text = format!("{patience:?} after {after}: {missing}");
                    self.world.broken(CONVERGENCE, text);
                    return false;
                }
            }
        }
        true
    }

    /// Where nobody may lead because of the bound that a person has set, a person has to speak, once.
    fn a_person_speaks(&mut self) -> bool {
        let Some(named) = convergence::least_behind(&self.world) else { return false };
        self.spoken = true;
        self.world.note(named, "somebody accepts the loss", [0, 0]);
        faults::accept_loss(&self.world, named);
        true
    }

    async fn go_wrong(&mut self) {
        let world = Rc::clone(&self.world);
        let began = world.now();
        let last = world.plan.faults.iter().map(|fault| fault.at + fault.lasts).max();
        // What a fault does is seen within a ttl or two after it is over; more of the same is only slow.
        let last = last.unwrap_or_default() + world.plan.ttl * 2;
        let end = world.plan.faulty_for.min(last);
        let mut faults = world.plan.faults.iter().peekable();
        let mut left_out = Duration::ZERO;
        loop {
            let stands_at = world.now() - began + left_out;
            if stands_at >= end || self.is_broken() {
                break;
            }
            while let Some(fault) = faults.next_if(|fault| fault.at <= stands_at) {
                let well = self.underway.is_empty() && convergence::missing(&world).is_ok();
                let begun = faults::begin(&world, fault, self.last);
                self.note_if_alone(&begun, well);
                self.last = Some(begun.node);
                self.quiet_since = None;
                self.underway.push(begun);
            }
            let now = world.now();
            let (over, still) = self.underway.drain(..).partition(|one| one.ends_at <= now);
            self.underway = still;
            let over: Vec<Underway> = over;
            for one in &over {
                faults::end(&world, one);
                world.alone.set(None);
            }
            let next = faults.peek().map_or(end, |fault| fault.at.min(end));
            left_out += self.spare(next.saturating_sub(stands_at));
            self.step().await;
        }
        if world.plan.serves_meanwhile {
            invariants::serves_meanwhile(&world);
        }
    }

    /// How much of the time until the next fault teaches nothing more: nothing is wrong, nothing late is on its
    /// way to the store, and all has been well for as long as a lease goes unrenewed. A part of that is left, so
    /// that faults meet a lease at any age.
    fn spare(&mut self, left: Duration) -> Duration {
        if !self.world.plan.spares_quiet_time || !self.steps.is_multiple_of(LOOK_EVERY) {
            return Duration::ZERO;
        }
        let (now, round) = (self.world.now(), self.renewal_period());
        let is_quiet = self.underway.is_empty() && self.world.stragglers.get() == 0;
        if !is_quiet || convergence::missing(&self.world).is_err() {
            self.quiet_since = None;
            return Duration::ZERO;
        }
        if now - *self.quiet_since.get_or_insert(now) < round {
            return Duration::ZERO;
        }
        left - Duration::from_millis((left.as_millis() % round.as_millis()) as u64)
    }

    /// The longest that anybody goes by: somebody may have changed the `ttl`.
    fn renewal_period(&self) -> Duration {
        let in_force = self.world.hosts.iter().filter_map(|host| {
            let life = host.life.borrow();
            life.published.as_ref().map(|published| published.get().times.renewal_period)
        });
        in_force.max().unwrap_or_else(|| LeaseTimes::for_ttl(self.world.plan.ttl).renewal_period)
    }

    /// A gray failure of a leader that everybody follows has to be over in time, unless something else
    /// goes wrong meanwhile. Whoever may lag by little may have nobody to hand over to.
    fn note_if_alone(&self, begun: &Underway, well: bool) {
        let world = &self.world;
        let leads = world.truth.borrow().is_holder(world.hosts[begun.node].incarnation());
        let counts = well && leads && gray_failures::is_gray(begun.what);
        let alone = (counts && world.plan.lag_bytes_max >= 20_000).then(|| gray_failures::Alone {
            node: begun.node,
            due: gray_failures::due(world),
            since: world.now(),
        });
        world.alone.set(alone);
    }

    /// One step of time, for everything but the agents: these have tasks of their own.
    async fn step(&mut self) {
        sleep(STEP).await;
        self.steps += 1;
        let world = &self.world;
        world.etcd.borrow_mut().expire(world.now());
        for node in 0..world.hosts.len() {
            self.tend(node);
            pass_time(world, node);
        }
        invariants::at_every_step(world);
        if world.polls.replace(0) > POLLS_MAX {
            world.broken("nobody_spins", "an agent goes round in circles".to_owned());
        }
        if let Some(text) = PANICKED.take() {
            world.broken("nobody_panics", text);
        }
    }

    /// What a supervisor does: an agent that ended is started again, unless it was told to stop.
    fn tend(&self, node: usize) {
        let world = &self.world;
        let host = &world.hosts[node];
        if host.gate.is_closed() || host.agent_gate.is_closed() {
            return;
        }
        let ended = host.life.borrow().ended.clone();
        if let Some(ended) = ended {
            host::kill(world, node);
            if matches!(ended, pgbaton::agent::Ended::WithError(_)) {
                world.note(node, "the agent ended with an error", [0, 0]);
                let pause = world.rng.part(world.plan.ttl, 10, 100);
                host.life.borrow_mut().start_at = Some(world.now() + pause);
            }
        }
        let due = host.life.borrow().start_at.is_some_and(|at| at <= world.now());
        if !due {
            return;
        }
        // An agent that is still stopping is started again once it has ended.
        if host.life.borrow().calls.is_none() {
            host::start(world, node);
        }
    }
}
