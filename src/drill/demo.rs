//! A running `pgbaton demo` as the place of a drill: its record says what there is, and its processes are
//! found by what they were started with. The demo starts again by itself what has ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::{Keeper, Node, Place, Proxy};
use crate::config::Credentials;
use crate::demo::{HOST, Plan};

/// HAProxy's process.
const PROXY: &str = "haproxy";
/// How long a process may take to stop: a server writes its last checkpoint meanwhile.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// How long killed processes may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// What the demo may take beyond its time to start something again.
const RETURN_SLACK: Duration = Duration::from_secs(20);
/// How often processes are looked at.
const STEP: Duration = Duration::from_millis(20);

/// The demo's processes.
#[derive(Clone, Debug)]
pub struct Crew {
    /// The demo's directory.
    pub dir: PathBuf,
    /// How long it leaves something down.
    pub returns_after: Duration,
}

/// Finds the demo that runs in a directory.
///
/// # Errors
/// When none does.
pub fn find(dir: &Path) -> Result<Place> {
    let shown = dir.display();
    let dir = dir.canonicalize().with_context(|| format!("--demo {shown}: no such directory"))?;
    let plan = Plan::recorded_in(&dir)?;
    let crew = Crew { dir, returns_after: Duration::from_secs(2 * plan.ttl_seconds) };
    ensure!(
        plan.nodes.iter().any(|node| crew.main_process(&node.name).is_some()),
        "no demo runs in `{shown}`: start it with `pgbaton demo --dir {shown}`"
    );
    let nodes = plan.nodes.iter().map(|node| Node {
        name: node.name.clone(),
        rest: node.rest_address(),
        postgres: (HOST.to_owned(), node.postgresql_port),
        own_address: format!("{HOST}:{}", node.postgresql_port),
    });
    let account = |username: &str, password: &str| Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    Ok(Place {
        keeper: Keeper::Demo(crew),
        nodes: nodes.collect(),
        etcd: plan.etcd.iter().map(|member| member.name.clone()).collect(),
        proxy: Some(Proxy {
            name: PROXY.to_owned(),
            host: HOST.to_owned(),
            write: plan.proxy.write,
            read: plan.proxy.read,
        }),
        superuser: account("postgres", &plan.passwords.superuser),
        rest: Some(account("pgbaton", &plan.passwords.rest)),
    })
}

impl Crew {
    /// Asks it to stop, and waits until it has.
    pub async fn stop(&self, name: &str) -> Result<()> {
        let pid = self.main_process(name).with_context(|| format!("{name} does not run"))?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("no signal could be sent")?;
        let started = Instant::now();
        while self.main_process(name) == Some(pid) {
            ensure!(started.elapsed() < STOPPED_WITHIN, "it runs on after {STOPPED_WITHIN:?}");
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }

    /// Kills everything of it: of a node the agent, the guardian and the server.
    pub async fn kill(&self, name: &str) -> Result<()> {
        ensure!(self.main_process(name).is_some(), "{name} does not run");
        // Stopped first, so that none of them sees another go.
        let known: BTreeSet<i32> = self.all_of(name);
        for pid in &known {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        let started = Instant::now();
        loop {
            // Only those that were there: the demo may start the node anew.
            let left: Vec<i32> = self.all_of(name).intersection(&known).copied().collect();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(started.elapsed() < KILLED_WITHIN, "processes {left:?} are still there");
            for pid in left {
                if let Err(errno) = kill(Pid::from_raw(pid), Signal::SIGKILL)
                    && errno != nix::errno::Errno::ESRCH
                {
                    bail!(
                        "process {pid} cannot be killed: {errno}; run as the user who runs the demo"
                    );
                }
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Waits until the demo has started it again.
    pub async fn wait_for_return(&self, name: &str) -> Result<()> {
        let started = Instant::now();
        let within = self.returns_after + RETURN_SLACK;
        while self.main_process(name).is_none() {
            ensure!(started.elapsed() < within, "the demo did not start it within {within:?}");
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }

    /// The process that the demo has started under this name.
    fn main_process(&self, name: &str) -> Option<i32> {
        let (file, data) = (self.dir.join(format!("{name}.yml")), self.dir.join(name));
        let configuration = self.dir.join(format!("{PROXY}.cfg"));
        let is_it = |process: &Process| {
            let has = |path: &Path| process.arguments.iter().any(|it| Path::new(it) == path);
            let runs = |word: &str| process.arguments.iter().any(|it| it == word);
            match name {
                PROXY => has(&configuration),
                _ => (runs("run") && has(&file)) || (runs("--data-dir") && has(&data)),
            }
        };
        all().into_iter().find(|process| !process.is_dead && is_it(process)).map(|it| it.pid)
    }

    /// That process and all that belong to it: what works in its directory, or was started with it, and
    /// the guardians above these.
    fn all_of(&self, name: &str) -> BTreeSet<i32> {
        let below = self.dir.join(name);
        let processes: Vec<Process> = all().into_iter().filter(|it| !it.is_dead).collect();
        let belongs = |process: &&Process| {
            process.directory.as_ref().is_some_and(|it| it.starts_with(&below))
                || process.arguments.iter().any(|it| Path::new(it).starts_with(&below))
        };
        let mut found: BTreeSet<i32> = processes.iter().filter(belongs).map(|it| it.pid).collect();
        found.extend(self.main_process(name));
        let mut climbing: Vec<i32> = found.iter().copied().collect();
        while let Some(pid) = climbing.pop() {
            let parent = processes.iter().find(|it| it.pid == pid).map(|it| it.parent);
            let above = processes.iter().find(|it| Some(it.pid) == parent);
            let is_guardian = |it: &&Process| it.arguments.iter().any(|word| word == "guardian");
            if let Some(guardian) = above.filter(is_guardian)
                && found.insert(guardian.pid)
            {
                climbing.push(guardian.pid);
            }
        }
        found
    }
}

struct Process {
    pid: i32,
    parent: i32,
    is_dead: bool,
    arguments: Vec<String>,
    directory: Option<PathBuf>,
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path();
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_whitespace();
            let is_dead = matches!(fields.next()?, "Z" | "X");
            let parent = fields.next()?.parse().ok()?;
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            let arguments = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            let directory = fs::read_link(path.join("cwd")).ok();
            Some(Process { pid, parent, is_dead, arguments, directory })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_demo_says_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let refused = format!("{:#}", find(dir.path()).unwrap_err());
        assert!(refused.contains("demo.json") && refused.contains("--dir"), "{refused}");
        let refused = format!("{:#}", find(&dir.path().join("nowhere")).unwrap_err());
        assert!(refused.contains("no such directory"), "{refused}");
    }

    #[test]
    fn this_process_is_among_all() {
        let me = i32::try_from(std::process::id()).unwrap();
        let found = all().into_iter().find(|process| process.pid == me).unwrap();
        assert!(!found.is_dead && !found.arguments.is_empty() && found.directory.is_some());
    }
}
