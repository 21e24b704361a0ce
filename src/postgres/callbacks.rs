//! Commands of the user's, run on events: beside everything else, one at a time. The one that still
//! runs when the next event comes is killed; reloads do not disturb the others.

use std::sync::{Mutex, PoisonError};

use tokio::task::AbortHandle;

use super::programs::{Programs, Run};
use crate::cluster::Role;
use crate::config::Callbacks;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server was started.
    Start,
    /// The server was stopped.
    Stop,
    /// The server was restarted.
    Restart,
    /// The server's configuration was read again.
    Reload,
    /// The server became primary or standby.
    RoleChange,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Event::Start => "on_start",
            Event::Stop => "on_stop",
            Event::Restart => "on_restart",
            Event::Reload => "on_reload",
            Event::RoleChange => "on_role_change",
        }
    }

    fn command(self, callbacks: &Callbacks) -> Option<&Vec<String>> {
        match self {
            Event::Start => callbacks.on_start.as_ref(),
            Event::Stop => callbacks.on_stop.as_ref(),
            Event::Restart => callbacks.on_restart.as_ref(),
            Event::Reload => callbacks.on_reload.as_ref(),
            Event::RoleChange => callbacks.on_role_change.as_ref(),
        }
    }
}

/// The role in the words that callbacks are told.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary | Role::Promoted => "primary",
        Role::Replica => "replica",
        Role::Demoted => "demoted",
        Role::StandbyLeader => "standby_leader",
        Role::Uninitialized => "uninitialized",
    }
}

/// Runs them.
#[derive(Debug)]
pub(super) struct CallbackRunner {
    scope: String,
    of_reload: Mutex<Option<AbortHandle>>,
    of_others: Mutex<Option<AbortHandle>>,
}

impl CallbackRunner {
    pub fn new(scope: String) -> Self {
        Self { scope, of_reload: Mutex::new(None), of_others: Mutex::new(None) }
    }

    /// Starts the event's command, if there is one.
    pub fn run(&self, programs: &Programs, callbacks: &Callbacks, event: Event, role: Role) {
        let Some((program, arguments)) = event.command(callbacks).and_then(|c| c.split_first())
        else {
            return;
        };
        let run = Run::new(program).args(arguments);
        let run = run.args([event.name(), role_name(role), self.scope.as_str()]);
        let programs = programs.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = programs.run(run).await {
                tracing::warn!(event = event.name(), %error, "a callback failed");
            }
        });
        let slot = if event == Event::Reload { &self.of_reload } else { &self.of_others };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = slot.replace(task.abort_handle()) {
            earlier.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::spawner::Spawner;

    #[tokio::test]
    async fn the_command_is_told_event_role_and_scope() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("echo \"$@\" > {}; echo done > {}", told.display(), fifo.display());
        let callbacks = Callbacks {
            on_role_change: Some(vec!["sh".into(), "-c".into(), script, "callback".into()]),
            ..Callbacks::default()
        };
        let programs = Programs { spawner: Spawner::new().unwrap(), owner: None };
        let runner = CallbackRunner::new("shop".into());
        runner.run(&programs, &callbacks, Event::Start, Role::Replica);
        runner.run(&programs, &callbacks, Event::RoleChange, Role::Promoted);
        assert_eq!(tokio::fs::read_to_string(&fifo).await.unwrap(), "done\n");
        assert_eq!(std::fs::read_to_string(&told).unwrap(), "on_role_change primary shop\n");
    }
}
