//! The processes of the demo: started, looked after, stopped in order. Whatever way the demo ends, none
//! of them outlives it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::descendants;
use super::identity::Identity;

/// How often a process that was told to stop is looked at.
const STEP: Duration = Duration::from_millis(20);

/// One process.
#[derive(Debug)]
pub struct Process {
    /// The member's name, also that of its log.
    pub name: String,
    /// Its number.
    pub pid: u32,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// How it ended, in words; `None` while it runs.
    pub fn ending(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        let status = self.ended?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => match Signal::try_from(signal) {
                Ok(signal) => signal.as_str().to_owned(),
                Err(_) => format!("signal {signal}"),
            },
            (None, None) => status.to_string(),
        })
    }

    /// The last lines of its log.
    pub fn last_lines(&self, count: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// All processes. Dropping it kills what is left.
#[derive(Debug)]
pub struct Crew {
    dir: PathBuf,
    identity: Option<Identity>,
    /// Orphans are this process's to look after; not so in tests, which share theirs.
    has_orphans: bool,
    members: Vec<Process>,
}

impl Crew {
    /// An empty crew, whose logs go to `dir`.
    pub fn new(dir: &Path, identity: Option<Identity>) -> Result<Self> {
        descendants::adopt_orphans()?;
        Ok(Self { dir: dir.to_owned(), identity, has_orphans: true, members: Vec::new() })
    }

    /// Starts a process, in the place of one of this name that has ended.
    pub fn start(&mut self, name: &str, mut command: Command) -> Result<()> {
        let log = self.dir.join(format!("{name}.log"));
        let file = self.open_log(&log)?;
        let errors = file.try_clone().context("a log could not be opened twice")?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        if let Some(identity) = &self.identity {
            command.uid(identity.uid).gid(identity.gid);
        }
        // Ctrl-C reaches the whole foreground group: the order of stopping is ours to keep.
        command.process_group(0);
        let demo = getpid();
        let end_with_the_demo = move || {
            set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)?;
            // It may have ended between the fork and the line above.
            if getppid() == demo { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        };
        // SAFETY: between fork and exec only two system calls are made; nothing is allocated.
        unsafe { command.pre_exec(end_with_the_demo) };
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("`{}` could not be started", program.display()))?;
        let process = Process { name: name.to_owned(), pid: child.id(), child, log, ended: None };
        self.members.retain(|member| member.name != name);
        self.members.push(process);
        Ok(())
    }

    fn open_log(&self, path: &Path) -> Result<File> {
        let file = File::options().create(true).append(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("`{}` could not be opened", path.display()))?;
        if let Some(identity) = &self.identity {
            identity.own(path)?;
        }
        Ok(file)
    }

    /// The process of this name.
    pub fn get(&mut self, name: &str) -> Option<&mut Process> {
        self.members.iter_mut().find(|member| member.name == name)
    }

    /// Those that have ended, with how.
    pub fn ended(&mut self) -> Vec<(String, String)> {
        if self.has_orphans {
            let known = self.members.iter().filter_map(|it| i32::try_from(it.pid).ok()).collect();
            descendants::reap_orphans(&known);
        }
        self.members
            .iter_mut()
            .filter_map(|member| Some((member.name.clone(), member.ending()?)))
            .collect()
    }

    /// Asks these to stop, all at once, and waits for them; `false` when some are left after `within`.
    pub async fn stop(&mut self, names: &[&str], within: Duration) -> bool {
        let started = Instant::now();
        for member in self.members.iter_mut().filter(|it| names.contains(&it.name.as_str())) {
            if member.ending().is_none() {
                member.signal(Signal::SIGTERM);
                // A process that somebody has stopped does not hear otherwise.
                member.signal(Signal::SIGCONT);
            }
        }
        loop {
            let ended: BTreeSet<String> = self.ended().into_iter().map(|(name, _)| name).collect();
            if names.iter().all(|name| ended.contains(*name) || self.get(name).is_none()) {
                return true;
            }
            if started.elapsed() > within {
                return false;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Kills whatever is left, and whatever that has started.
    pub fn kill_the_rest(&mut self) -> usize {
        let killed = descendants::kill_all();
        for member in &mut self.members {
            let _ = member.child.wait();
        }
        killed
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if self.has_orphans {
            descendants::kill_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crew_stops_its_members_and_says_how_they_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut crew = Crew {
            dir: dir.path().to_owned(),
            identity: None,
            has_orphans: false,
            members: Vec::new(),
        };
        let mut patient = Command::new("sleep");
        patient.arg("600");
        crew.start("patient", patient).unwrap();
        let mut hasty = Command::new("sh");
        hasty.args(["-c", "echo said; exit 3"]);
        crew.start("hasty", hasty).unwrap();
        assert!(crew.stop(&["patient"], Duration::from_secs(20)).await);
        assert_eq!(crew.get("patient").unwrap().ending().as_deref(), Some("SIGTERM"));
        while crew.get("hasty").unwrap().ending().is_none() {
            tokio::time::sleep(STEP).await;
        }
        assert_eq!(crew.get("hasty").unwrap().ending().as_deref(), Some("exit code 3"));
        assert_eq!(crew.get("hasty").unwrap().last_lines(5), "said");
    }
}
