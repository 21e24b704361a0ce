//! The scenarios of a game day, and how one is played: traffic, the fault, what is waited for, the way back.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde::Serialize;

use super::checks::{Seen, checks};
use super::place::Place;
use super::report::Outcome;
use super::sight::{self, Sight, Terms};
use super::timeline::{Deed, document, lines, outage_after};
use crate::traffic::{News, Running, Settings};

/// How many requests are answered before the fault, and again before it counts as over.
const WARM: u64 = 50;
/// How often something that is waited for is looked at.
const STEP: Duration = Duration::from_millis(100);
/// The cluster's clocks and the drill's may differ a little; events a moment before the fault are asked for.
const BEFORE_MICROS: i64 = 50_000;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Leadership is handed over on request.
    Switchover,
    /// A replica is stopped and started again.
    ReplicaStop,
    /// The primary is told to stop.
    PrimaryStop,
    /// The primary is killed, with its agent and its guardian.
    PrimaryKill,
    /// One of etcd's members is stopped.
    EtcdOne,
    /// Two of etcd's three members are stopped: there is no majority.
    EtcdTwo,
    /// HAProxy is stopped; clients go to the nodes directly.
    HaproxyStop,
}

impl Scenario {
    /// All of them, gentle ones first.
    pub const ALL: [Scenario; 7] = [
        Scenario::Switchover,
        Scenario::ReplicaStop,
        Scenario::PrimaryStop,
        Scenario::PrimaryKill,
        Scenario::EtcdOne,
        Scenario::EtcdTwo,
        Scenario::HaproxyStop,
    ];

    /// Whether another node has to lead afterwards.
    pub fn moves_leadership(self) -> bool {
        match self {
            Scenario::Switchover | Scenario::PrimaryStop | Scenario::PrimaryKill => true,
            Scenario::ReplicaStop
            | Scenario::EtcdOne
            | Scenario::EtcdTwo
            | Scenario::HaproxyStop => false,
        }
    }

    /// Why it cannot be played here, if it cannot.
    pub fn obstacle(self, place: &Place, terms: Terms) -> Option<String> {
        let nodes = |least: usize| {
            let found = place.nodes.len();
            (found < least).then(|| format!("needs {least} nodes; there are {found}"))
        };
        let etcd = |least: usize| {
            let found = place.etcd.len();
            (found < least).then(|| format!("needs {least} members of etcd; there are {found}"))
        };
        match self {
            Scenario::Switchover
            | Scenario::ReplicaStop
            | Scenario::PrimaryStop
            | Scenario::PrimaryKill => nodes(2),
            Scenario::EtcdOne => etcd(3),
            Scenario::EtcdTwo if !terms.is_failsafe => Some(
                "failsafe_mode is off: without a majority of etcd writes stop, as they must".into(),
            ),
            Scenario::EtcdTwo => etcd(3),
            Scenario::HaproxyStop if place.proxy.is_none() => Some("there is no HAProxy".into()),
            Scenario::HaproxyStop => None,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", clap::builder::PossibleValue::get_name))
    }
}

/// How scenarios are played.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests a second.
    pub rate: f64,
    /// Connections of each kind.
    pub clients: usize,
    /// How long each thing that is waited for may take.
    pub within: Duration,
}

/// Where and how scenarios are played.
pub struct Stage {
    /// The cluster. What was started again may be reached by other ports.
    place: ArcSwap<Place>,
    options: Options,
    /// What the drill has stopped and not started yet.
    down: Mutex<Vec<String>>,
}

/// One scenario's cast: what is stopped, and who leads before.
struct Cast {
    leader: String,
    victims: Vec<String>,
}

impl Stage {
    /// Nothing is down yet.
    pub fn new(place: Place, options: Options) -> Self {
        let place = ArcSwap::from_pointee(place);
        Self { place, options, down: Mutex::new(Vec::new()) }
    }

    fn place(&self) -> Arc<Place> {
        self.place.load_full()
    }

    /// Plays one scenario. Whatever it finds is its outcome.
    ///
    /// # Errors
    /// When it could not be played: the cluster was not whole before, a program failed.
    pub async fn play(&self, scenario: Scenario) -> Result<Outcome> {
        let terms = sight::terms(&self.place()).await?;
        if let Some(why) = scenario.obstacle(&self.place(), terms) {
            tell(&format!("{scenario}: not played: {why}"));
            return Ok(Outcome::not_played(scenario, why));
        }
        let sight = self.wait_until_whole(terms).await.map_err(anyhow::Error::msg)?;
        let cast = self.cast(scenario, sight)?;
        tell(&format!("{scenario}: {} leads", cast.leader));
        let traffic = self.start_traffic(scenario).await?;
        let warm = self.more(&traffic, WARM).await;
        ensure!(warm.is_ok(), "clients were not answered before anything was done");
        let (mut deeds, fault) = (Vec::new(), traffic.recorder().now().as_secs_f64());
        let fallen = self.break_it(scenario, &cast, &mut deeds);
        let waited = async { self.wait_for_effect(scenario, &cast, &traffic, terms).await };
        let (broken, came) = tokio::join!(fallen, waited);
        let whole_after = self.mend(terms, &mut deeds).await;
        broken?;
        let whole_after = whole_after?;
        // Some requests more, which the whole cluster answers.
        let _ = self.more(&traffic, WARM).await;
        traffic.stop();
        let report = traffic.finish().await;
        let leader_after = sight::look(&self.place()).await.leader;
        let since = deeds.first().map_or(0, |deed| deed.at_micros) - BEFORE_MICROS;
        let (events, silent) = sight::events(&self.place(), since).await;
        let outage = outage_after(fault, report.write_outages.as_slice());
        let seen = Seen {
            scenario,
            terms,
            leader_before: &cast.leader,
            leader_after: leader_after.as_deref(),
            came,
            whole_after,
            outage,
            report: &report,
        };
        let (checks, timeline) = (checks(&seen), lines(&deeds, &events, outage));
        Ok(Outcome {
            scenario,
            not_played_because: None,
            passed: checks.iter().all(|check| check.passed),
            leader_before: Some(cast.leader),
            leader_after,
            checks,
            timeline,
            agents_without_events: silent,
            events: document(&events),
            clients: Some(report),
        })
    }

    fn cast(&self, scenario: Scenario, sight: Sight) -> Result<Cast> {
        let leader = sight.leader.context("nobody leads")?;
        let standby = || {
            let place = self.place();
            let other = place.nodes.iter().find(|node| node.name != leader);
            other.map(|node| node.name.clone()).context("there is no standby")
        };
        let victims = match scenario {
            Scenario::Switchover => Vec::new(),
            Scenario::ReplicaStop => vec![standby()?],
            Scenario::PrimaryStop | Scenario::PrimaryKill => vec![leader.clone()],
            Scenario::EtcdOne => self.place().etcd.iter().take(1).cloned().collect(),
            Scenario::EtcdTwo => self.place().etcd.iter().take(2).cloned().collect(),
            Scenario::HaproxyStop => {
                self.place().proxy.iter().map(|proxy| proxy.name.clone()).collect()
            }
        };
        Ok(Cast { leader, victims })
    }

    async fn start_traffic(&self, scenario: Scenario) -> Result<Running> {
        let (write, read) = self.place().targets(scenario == Scenario::HaproxyStop)?;
        let mut settings = Settings::usual(write, read);
        settings.writes_per_second = self.options.rate / 2.0;
        settings.reads_per_second = self.options.rate / 2.0;
        settings.clients = self.options.clients;
        settings.names = self.place().names();
        settings.table = "pgbaton_drill".to_owned();
        // As long as the longest thing that is waited for: what counts is when writes are back.
        settings.timeout = self.options.within;
        let teller = Box::new(|news: &News| tell(&format!("  {news}")));
        Running::start(settings, teller).await.context("traffic could not be started")
    }

    /// Does what the scenario is about.
    async fn break_it(&self, scenario: Scenario, cast: &Cast, deeds: &mut Vec<Deed>) -> Result<()> {
        if scenario == Scenario::Switchover {
            note(deeds, format!("a switchover from {} is asked for", cast.leader));
            return sight::switch_over(&self.place(), &cast.leader).await;
        }
        let is_killed = scenario == Scenario::PrimaryKill;
        let how = if is_killed { "is killed" } else { "is told to stop" };
        for name in &cast.victims {
            note(deeds, format!("{name} {how}"));
            self.down.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
            match is_killed {
                true => self.place().kill(name).await?,
                false => self.place().stop(name).await?,
            }
        }
        Ok(())
    }

    /// Waits for what has to follow: another leader, or that everything goes on for long enough.
    async fn wait_for_effect(
        &self,
        scenario: Scenario,
        cast: &Cast,
        traffic: &Running,
        terms: Terms,
    ) -> Result<(), String> {
        let since = Instant::now();
        if scenario.moves_leadership() {
            loop {
                let leader = sight::look(&self.place()).await.leader;
                if leader.is_some_and(|leader| leader != cast.leader) {
                    break;
                }
                if since.elapsed() > self.options.within {
                    return Err(format!("no other node led within {:?}", self.options.within));
                }
                tokio::time::sleep(STEP).await;
            }
        }
        // Without the store, only what outlasts the lease has shown that it does.
        let lease = match scenario {
            Scenario::EtcdOne | Scenario::EtcdTwo => terms.ttl * 2,
            _ => Duration::ZERO,
        };
        while since.elapsed() < lease {
            tokio::time::sleep(STEP).await;
        }
        self.more(traffic, WARM).await
    }

    /// Starts again what was stopped, and waits until the cluster is whole: how long that took.
    async fn mend(&self, terms: Terms, deeds: &mut Vec<Deed>) -> Result<Result<Duration, String>> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in &down {
            self.place().start(name).await?;
            note(deeds, format!("{name} is started"));
        }
        self.down.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if !down.is_empty() {
            self.place.store(Arc::new(self.place().found_again().await?));
        }
        let since = Instant::now();
        Ok(self.wait_until_whole(terms).await.map(|_| since.elapsed()))
    }

    /// Starts again what an interrupted scenario has left down.
    pub async fn tidy_up(&self) {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in down {
            tell(&format!("starting {name} again"));
            if let Err(error) = self.place().start(&name).await {
                tell(&format!("{error:#}"));
            }
        }
    }

    async fn wait_until_whole(&self, terms: Terms) -> Result<Sight, String> {
        let since = Instant::now();
        loop {
            let sight = sight::look(&self.place()).await;
            let Some(lacks) = sight.lacks(&self.place(), terms) else { return Ok(sight) };
            if since.elapsed() > self.options.within {
                return Err(format!("not whole within {:?}: {lacks}", self.options.within));
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Until so many more writes were acknowledged and reads answered.
    async fn more(&self, traffic: &Running, count: u64) -> Result<(), String> {
        let since = Instant::now();
        let (writes, reads) = (traffic.acknowledged_writes(), traffic.answered_reads());
        loop {
            let wrote = traffic.acknowledged_writes() >= writes + count;
            if wrote && traffic.answered_reads() >= reads + count {
                return Ok(());
            }
            if since.elapsed() > self.options.within {
                let what = if wrote { "reads" } else { "writes" };
                return Err(format!("{what} were not answered within {:?}", self.options.within));
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

fn note(deeds: &mut Vec<Deed>, what: String) {
    tell(&format!("  {what}"));
    deeds.push(Deed { at_micros: Timestamp::now().as_microsecond(), what });
}

/// Says what goes on; the report alone goes to standard output.
pub fn tell(what: &str) {
    eprintln!("{what}");
}
