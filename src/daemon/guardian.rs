//! The guardian as the agent's fence: found or started when the agent comes, told of in the log.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracing::{error, info, warn};

use crate::act::lease::{Fence, FenceReport};
use crate::agent::first_effective;
use crate::config::NodeConfig;
use crate::decide::HeldLease;
use crate::fence::{
    Attached, BoottimeClock, Coming, Deposit, Enforced, Guardian, GuardianNews, Left, Setup,
    Watched,
};
use crate::postgres::{LocalServer, key_file_on_disk};
use crate::values::{Clock as _, FenceChoice, Incarnation, LeaseDeadline, Strength, Watchdog};

impl Fence for Guardian {
    fn arm(&self, until: LeaseDeadline) {
        Guardian::arm(self, until);
    }

    fn disarm(&self) {
        Guardian::disarm(self);
    }

    fn deposit(&self, lease: &HeldLease, of: Incarnation, soft_stop: Duration) {
        let deposit = Deposit { incarnation: of, term: lease.term, revision: lease.revision };
        Guardian::deposit(self, deposit, soft_stop);
    }

    fn is_alive(&self) -> bool {
        Guardian::is_alive(self)
    }

    fn follows(&self) -> bool {
        Guardian::follows(self)
    }

    fn strength(&self) -> Strength {
        Guardian::strength(self)
    }

    fn remarks(&self) -> String {
        Guardian::remarks(self)
    }

    fn want_watchdog(&self, watchdog: Option<Watchdog>) {
        Guardian::want_watchdog(self, watchdog);
    }

    fn watchdog_trouble(&self) -> Option<String> {
        Guardian::watchdog_trouble(self)
    }

    async fn arm_watchdog(&self) -> Result<(), String> {
        let this = self.clone();
        let armed = tokio::task::spawn_blocking(move || Guardian::arm_watchdog(&this)).await;
        armed.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn is_watched(&self) -> bool {
        self.watched() != Watched::Not
    }

    fn take_report(&self) -> Option<FenceReport> {
        Guardian::take_report(self).map(|done| reported(&done))
    }
}

/// The guardian, and what it had to say.
pub struct Guarded {
    /// The guardian.
    pub guardian: Guardian,
    /// The lease that an earlier agent left.
    pub left: Option<Left>,
    /// What it did while no agent was there.
    pub report: Option<FenceReport>,
}

/// Finds the guardian or starts one, and puts the server in its hands.
pub fn attach(config: &NodeConfig, server: &LocalServer) -> Result<Guarded> {
    let choice = config.pgbaton.fence;
    let setup = Setup {
        choice,
        state_dir: config.state_dir(),
        data_dir: config.postgresql.data_dir.clone(),
        key_files: key_files(config),
    };
    // This very program, also after another one was put in its place.
    let (program, target) = ("/proc/self/exe".into(), server.fence_target());
    let attached = Guardian::attach(Coming { setup, target, program, tell });
    let attached = attached.with_context(|| match choice {
        FenceChoice::Auto => "the guardian of the server could not be started".to_owned(),
        FenceChoice::Named(named) => format!(
            "pgbaton.fence: the fence \"{named}\" does not work here; set it to \"auto\" to have the \
             strongest that does"
        ),
    })?;
    let Attached { guardian, report, left, was_there, logs } = attached;
    let (strength, remarks) = (guardian.strength(), guardian.remarks());
    info!(%strength, remarks, was_there, "the server is fenced by a guardian");
    if matches!(choice, FenceChoice::Named(named) if named != strength) {
        warn!(%strength, asked_for = choice.as_str(), "another fence counts from the next start on");
    }
    let report = report.map(|done| reported(&done));
    if let Some(done) = &report {
        warn!("the guardian fenced the server while no agent ran: {}", done.text);
    }
    if let Some(left) = left {
        let incarnation = left.deposit.incarnation.to_string();
        info!(term = %left.deposit.term, incarnation, "an earlier agent left the server open");
    }
    server.guard(guardian.clone(), logs).context("the guardian")?;
    Ok(Guarded { guardian, left, report })
}

/// Keys that the server will read: its own by the node's file, by what the store said when it last ran, and the one
/// that a standby shows its primary.
fn key_files(config: &NodeConfig) -> Vec<PathBuf> {
    let place = &config.postgresql;
    let parameters = first_effective(config).parameters;
    let told = parameters.get("ssl_key_file").map(|path| place.data_dir.join(path));
    let shown = place.authentication.replication.sslkey.as_ref().map(PathBuf::from);
    let on_disk = key_file_on_disk(&place.data_dir, &place.config_dir);
    told.into_iter().chain([on_disk]).chain(shown).collect()
}

fn tell(news: GuardianNews) {
    match news {
        GuardianNews::Gone(None) => warn!("the guardian has ended"),
        GuardianNews::Gone(Some(deadline)) => {
            let deadline = deadline.moment();
            warn!(%deadline, "the guardian did not act at the deadline in time, and the kernel ended it");
        }
        GuardianNews::Replaced(strength) => info!(%strength, "another guardian is in its place"),
        GuardianNews::CannotStart(why) => {
            error!(why, "no guardian can be started: this node does not lead");
        }
    }
}

fn reported(done: &Enforced) -> FenceReport {
    let deadline = done.deadline.moment();
    FenceReport {
        text: in_words(done),
        ago: BoottimeClock.now().since(done.began_at),
        soft_before: done.soft_at.map(|at| deadline.since(at)),
        processes: done.processes,
        began_after: done.began_at.since(deadline),
        fenced_after: done.fenced_at.since(deadline),
        all_gone: done.all_gone,
    }
}

/// What was done and when, by the clock since boot.
fn in_words(done: &Enforced) -> String {
    let deadline = done.deadline.moment();
    let late = |moment: crate::values::Monotonic| moment.since(deadline).as_micros();
    let soft = match done.soft_at {
        Some(at) => format!("a soft stop {} ms before it, ", deadline.since(at).as_millis()),
        None => String::new(),
    };
    let gone = if done.all_gone { "all gone" } else { "not all gone yet" };
    format!(
        "deadline at {deadline} since boot, {soft}{} processes killed {} us after it, {gone} {} us \
         after it",
        done.processes,
        late(done.began_at),
        late(done.fenced_at)
    )
}
