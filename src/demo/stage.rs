//! The demo from the first process to the last: up in order, watched, down in order.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::commands::Commands;
use super::crew::Crew;
use super::identity::Identity;
use super::plan::Plan;
use super::screen::Screen;
use super::sight::{Observer, Sight};
use super::table;

/// The name of HAProxy's process.
const HAPROXY: &str = "haproxy";
/// How long etcd may take to answer.
const ETCD_UP_WITHIN: Duration = Duration::from_secs(30);
/// How long the cluster may take from the first agent's start until all stream.
const CLUSTER_UP_WITHIN: Duration = Duration::from_secs(180);
/// How often the cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the agents have to stop their servers cleanly: first the standbys', then the leader's.
const AGENTS_DOWN_WITHIN: Duration = Duration::from_secs(30);
/// How long etcd has, before it is killed.
const ETCD_DOWN_WITHIN: Duration = Duration::from_secs(2);
/// How long HAProxy has; what is left then is killed with the rest.
const HAPROXY_DOWN_WITHIN: Duration = Duration::from_secs(5);
/// How much of a log is shown when its process has failed.
const LOG_LINES: usize = 12;

/// Everything that plays.
#[derive(Debug)]
pub struct Stage<'a> {
    commands: Commands<'a>,
    crew: Crew,
    observer: Observer,
    screen: Screen,
    sight: Sight,
    /// When processes that have ended are started again.
    returns: BTreeMap<String, Instant>,
}

impl<'a> Stage<'a> {
    /// Nothing runs yet.
    pub fn new(commands: Commands<'a>, identity: Option<Identity>) -> Result<Self> {
        let crew = Crew::new(commands.folder.path(), identity)?;
        Ok(Self {
            commands,
            crew,
            observer: Observer::new(),
            screen: Screen::new(),
            sight: Sight::default(),
            returns: BTreeMap::new(),
        })
    }

    fn plan(&self) -> &'a Plan {
        self.commands.plan
    }

    /// Runs until a signal says stop or something goes wrong, then stops everything.
    pub async fn play(mut self) -> Result<()> {
        let mut stop = Stop::new()?;
        let outcome = tokio::select! {
            outcome = self.run() => outcome,
            () = stop.asked() => Ok(()),
        };
        self.screen.draw(Vec::new());
        self.screen.event("stopping (once more Ctrl-C kills everything)");
        tokio::select! {
            () = self.stop_in_order() => {}
            () = stop.asked() => {}
        }
        let killed = self.crew.kill_the_rest();
        let how = if killed == 0 { String::new() } else { format!("; {killed} had to be killed") };
        self.screen.event(&format!("all processes are stopped{how}"));
        outcome
    }

    async fn run(&mut self) -> Result<()> {
        self.introduce();
        self.start_etcd().await?;
        self.crew.start(HAPROXY, self.commands.haproxy())?;
        for node in &self.plan().nodes {
            self.crew.start(&node.name, self.commands.agent(node))?;
        }
        self.wait_for_the_cluster().await?;
        let standbys = self.plan().nodes.len() - 1;
        self.screen.event(&format!("the cluster is up: one writes, {standbys} stream"));
        let leader = self.sight.writable.first().cloned().unwrap_or_default();
        let agent_pid = self.crew.get(&leader).map_or(0, |agent| agent.pid);
        let Commands { plan, folder, .. } = self.commands;
        self.screen.say(&table::welcome(plan, folder, &leader, agent_pid));
        self.watch().await
    }

    fn introduce(&mut self) {
        let plan = self.plan();
        let dir = self.commands.folder.path().display();
        let nodes = plan.nodes.len();
        let begins = if plan.is_continued { "goes on with what is in" } else { "begins in" };
        self.screen.event(&format!("{nodes} nodes, ttl {} s; it {begins} {dir}", plan.ttl_seconds));
        if !plan.avoided_ports.is_empty() {
            let ports: Vec<_> = plan.avoided_ports.iter().map(u16::to_string).collect();
            let text = format!("taken by others, so left out: port {}", ports.join(", "));
            self.screen.event(&text);
        }
    }

    async fn start_etcd(&mut self) -> Result<()> {
        let started = Instant::now();
        for member in &self.plan().etcd {
            self.crew.start(&member.name, self.commands.etcd(member))?;
        }
        for member in &self.plan().etcd {
            while !self.observer.etcd_answers(&member.client_address()).await {
                self.fail_if_one_has_ended()?;
                if started.elapsed() > ETCD_UP_WITHIN {
                    let log = self.last_lines(&member.name);
                    bail!("{} did not answer within {ETCD_UP_WITHIN:?}:\n{log}", member.name);
                }
                tokio::time::sleep(LOOK_EVERY / 5).await;
            }
        }
        self.screen.event("etcd answers");
        Ok(())
    }

    async fn wait_for_the_cluster(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            self.look().await;
            if self.sight.is_complete(self.plan()) {
                return Ok(());
            }
            self.fail_if_one_has_ended()?;
            if started.elapsed() > CLUSTER_UP_WITHIN {
                let mut logs = String::new();
                for node in &self.plan().nodes {
                    logs.push_str(&format!("\n{}:\n{}", node.name, self.last_lines(&node.name)));
                }
                bail!(
                    "the cluster was not up within {CLUSTER_UP_WITHIN:?}; the logs end so:{logs}"
                );
            }
            tokio::time::sleep(LOOK_EVERY / 5).await;
        }
    }

    /// Looks, tells what has changed, draws the table.
    async fn look(&mut self) {
        let sight = self.observer.look(self.plan()).await;
        for line in table::changes(&self.sight, &sight) {
            self.screen.event(&line);
        }
        self.sight = sight;
        let crew = &mut self.crew;
        let rows = table::lines(self.commands.plan, &self.sight, |name| match crew.get(name) {
            None => "not started".to_owned(),
            Some(agent) => match agent.ending() {
                None => format!("pid {}", agent.pid),
                Some(ending) => ending,
            },
        });
        self.screen.draw(rows);
    }

    /// While the cluster comes up, a process that ends is an error.
    fn fail_if_one_has_ended(&mut self) -> Result<()> {
        let Some((name, ending)) = self.crew.ended().into_iter().next() else { return Ok(()) };
        let log = self.last_lines(&name);
        bail!("{name} ended with {ending}; its log ends so:\n{log}")
    }

    fn last_lines(&mut self, name: &str) -> String {
        self.crew.get(name).map_or_else(String::new, |process| process.last_lines(LOG_LINES))
    }

    async fn watch(&mut self) -> Result<()> {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
            self.bring_back()?;
        }
    }

    /// What has ended is started again after two ttl, as a service manager would; long enough to see
    /// how the others get on without it.
    fn bring_back(&mut self) -> Result<()> {
        let absence = Duration::from_secs(2 * self.plan().ttl_seconds);
        for (name, ending) in self.crew.ended() {
            match self.returns.get(&name) {
                None => {
                    let text = format!("{name} ended with {ending}; it is back in {absence:?}");
                    self.screen.event(&text);
                    self.returns.insert(name, Instant::now() + absence);
                }
                Some(at) if *at <= Instant::now() => {
                    self.returns.remove(&name);
                    let command = self.command_of(&name)?;
                    self.crew.start(&name, command)?;
                    self.screen.event(&format!("{name} is started again"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn command_of(&self, name: &str) -> Result<Command> {
        let plan = self.plan();
        let node = plan.nodes.iter().find(|node| node.name == name);
        let agent = node.map(|node| self.commands.agent(node));
        let etcd = plan.etcd.iter().find(|member| member.name == name);
        let etcd = etcd.map(|member| self.commands.etcd(member));
        let haproxy = (name == HAPROXY).then(|| self.commands.haproxy());
        agent.or(etcd).or(haproxy).with_context(|| format!("{name} is nobody's name"))
    }

    /// The standbys first, so that none takes over from a leader that stops; etcd after the agents, who
    /// give up their keys in it.
    async fn stop_in_order(&mut self) {
        let plan = self.plan();
        let leader = self.sight.leader().map(str::to_owned);
        let (leaders, standbys): (Vec<&str>, Vec<&str>) = (plan.nodes.iter())
            .map(|node| node.name.as_str())
            .partition(|name| Some(*name) == leader.as_deref());
        let etcd: Vec<&str> = plan.etcd.iter().map(|member| member.name.as_str()).collect();
        let steps = [(standbys, AGENTS_DOWN_WITHIN), (leaders, AGENTS_DOWN_WITHIN)];
        for (names, within) in steps {
            if !self.crew.stop(&names, within).await {
                let text = format!("not stopped within {within:?}: one of {}", names.join(", "));
                self.screen.event(&text);
            }
        }
        // The last of several members looks for a successor for longer than is worth waiting for; what
        // etcd has acknowledged is on the disk.
        self.crew.stop(&etcd, ETCD_DOWN_WITHIN).await;
        self.crew.kill(&etcd);
        self.crew.stop(&[HAPROXY], HAPROXY_DOWN_WITHIN).await;
    }
}

/// The signals that end the demo.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
