//! [`LocalServer`]: the real PostgreSQL server beside this agent. Its parts are in the files around;
//! here is what they share.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::callbacks::CallbackRunner;
use super::carried::Fetched;
use super::configuration::Source;
use super::connection::{Access, Session};
use super::files::{Turns, blocking};
use super::place::Place;
use super::port::ServerError;
use super::process::Postmaster;
use super::programs::Programs;
use super::reloads::Reloads;
use super::server_log::Complaints;
use super::spawner::Spawner;
use super::synchronous::Outdated;
use super::ward::Ward;
use super::watch::Watch;
use crate::cluster::Role;
use crate::config::{EffectivePostgresql, NodeConfig, Program};
use crate::fence::{Guardian, Target};

/// The server beside this agent.
#[derive(Debug)]
pub struct LocalServer {
    pub(super) place: Arc<Place>,
    pub(super) programs: Programs,
    pub(super) callbacks: CallbackRunner,
    pub(super) watch: Watch,
    pub(super) target: Arc<Target>,
    pub(super) appeared: Notify,
    ward: OnceLock<Arc<Ward>>,
    pub(super) complaints: Arc<Complaints>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) outdated: Outdated,
    pub(super) turns: Turns,
    shared: Mutex<Shared>,
}

/// What changes while the agent runs.
#[derive(Debug)]
struct Shared {
    settings: Arc<EffectivePostgresql>,
    /// Where the server is to get its log; `None` while what a found server was told still stands.
    source: Option<Source>,
    postmaster: Option<Arc<Postmaster>>,
    stops: bool,
    restarts: bool,
    /// Whom commits are to wait for; `None` while that is as the configuration says.
    sync_names: Option<String>,
    /// Whether every commit is known to wait for somebody: the checkpointer has read that it has to.
    commits_wait: bool,
    /// The part that the server played when it was last started or changed it.
    role: Option<Role>,
    /// Logical slots of the leader, for the next start.
    fetched: Option<Fetched>,
}

impl LocalServer {
    /// The server of this node. Touches nothing but this process itself: orphans of the server come to
    /// it from now on. As root, see [`super::Owner`].
    ///
    /// # Errors
    /// When the agent is root and there is nobody to run the server as, or the accounts cannot be used.
    pub fn new(node: &NodeConfig, settings: EffectivePostgresql) -> Result<Self, ServerError> {
        let place = Arc::new(Place::of(node)?);
        Access::of(&place, &settings.database)?;
        let impossible = |what: &str, error: std::io::Error| {
            ServerError::NotPossible(format!("{what}: {error}"))
        };
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| impossible("the agent cannot become a subreaper", error.into()))?;
        let spawner = Spawner::new().map_err(|error| impossible("no thread", error))?;
        let target = Arc::new(Target::new(place.real_data_dir(), &program_name(&settings)));
        let shared = Shared {
            settings: Arc::new(settings),
            source: None,
            postmaster: None,
            stops: false,
            restarts: false,
            sync_names: None,
            commits_wait: false,
            role: None,
            fetched: None,
        };
        Ok(Self {
            programs: Programs { spawner, owner: place.owner },
            callbacks: CallbackRunner::new(place.scope.clone()),
            place,
            watch: Watch::default(),
            target,
            appeared: Notify::new(),
            ward: OnceLock::new(),
            complaints: Arc::default(),
            reloads: Arc::default(),
            outdated: Outdated::default(),
            turns: Turns::default(),
            shared: Mutex::new(shared),
        })
    }

    /// What is to be killed when this server must be fenced.
    pub fn fence_target(&self) -> Arc<Target> {
        self.target.clone()
    }

    /// Has the server started and held by a guardian from now on; without one it is the agent's child.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn guard(&self, guardian: Guardian, logs: mpsc::Receiver<OwnedFd>) -> io::Result<()> {
        let ward = Ward::new(guardian, logs, self.complaints.clone())?;
        // A second one would be a second guardian of one server.
        assert!(self.ward.set(ward).is_ok(), "a server has one guardian");
        Ok(())
    }

    pub(super) fn ward(&self) -> Option<Arc<Ward>> {
        self.ward.get().cloned()
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Arc<EffectivePostgresql> {
        self.shared().settings.clone()
    }

    pub(super) fn set_settings(&self, settings: EffectivePostgresql) {
        self.shared().settings = Arc::new(settings);
    }

    /// Whom commits were told to wait for.
    pub(super) fn told_sync_names(&self) -> Option<String> {
        self.shared().sync_names.clone()
    }

    /// Whether every commit is known to wait.
    pub(super) fn commits_wait(&self) -> bool {
        self.shared().commits_wait
    }

    pub(super) fn set_commits_wait(&self, wait: bool) {
        self.shared().commits_wait = wait;
    }

    /// Notes whom commits are to wait for, from the next write of the files on.
    pub(super) fn tell_sync_names(&self, names: Option<String>) {
        self.shared().sync_names = names;
    }

    pub(super) fn source(&self) -> Option<Source> {
        self.shared().source.clone()
    }

    pub(super) fn set_source(&self, source: Source) {
        self.shared().source = Some(source);
    }

    /// Whether this agent has told the running server to stop.
    pub(super) fn stops(&self) -> bool {
        self.shared().stops
    }

    pub(super) fn set_stops(&self, stops: bool) {
        self.shared().stops = stops;
    }

    /// Notes whether the server is being restarted; returns what was noted before.
    pub(super) fn set_restarts(&self, restarts: bool) -> bool {
        std::mem::replace(&mut self.shared().restarts, restarts)
    }

    /// Notes the part that the server plays from now on.
    pub(super) fn note_role(&self, role: Role) {
        self.shared().role = Some(role);
    }

    /// The part that it played when it was last started or changed it.
    pub(super) fn last_role(&self) -> Option<Role> {
        self.shared().role
    }

    /// Keeps logical slots for the next start; returns what was kept before.
    pub(super) fn set_fetched(&self, fetched: Option<Fetched>) -> Option<Fetched> {
        std::mem::replace(&mut self.shared().fetched, fetched)
    }

    /// The postmaster that this agent knows of, if it has not ended.
    pub(super) fn running(&self) -> Option<Arc<Postmaster>> {
        let mut shared = self.shared();
        if shared.postmaster.as_ref().is_some_and(|postmaster| !postmaster.is_alive()) {
            shared.postmaster = None;
            shared.stops = false;
        }
        shared.postmaster.clone()
    }

    /// The running postmaster, also one that this agent did not start.
    pub(super) async fn find_running(&self) -> Result<Option<Arc<Postmaster>>, ServerError> {
        if let Some(running) = self.running() {
            return Ok(Some(running));
        }
        let (place, program) = (self.place.clone(), self.program_name());
        let (runtime, ward) = (tokio::runtime::Handle::current(), self.ward());
        let found = blocking(move || {
            let _inside = runtime.enter();
            let data_dir = place.real_data_dir();
            let found = match ward {
                Some(ward) => ward.find(&data_dir, &program),
                None => Postmaster::find(&data_dir, &program),
            };
            Ok(found.map(|found| (found, data_dir)))
        })
        .await?;
        let Some((found, data_dir)) = found else { return Ok(None) };
        tracing::info!(pid = found.process.pid, "found a running server on the data directory");
        self.target.runs(found.process, &data_dir);
        Ok(Some(self.has_appeared(found)))
    }

    pub(super) fn has_appeared(&self, postmaster: Postmaster) -> Arc<Postmaster> {
        let postmaster = Arc::new(postmaster);
        self.shared().postmaster = Some(postmaster.clone());
        self.watch.forget();
        self.appeared.notify_waiters();
        postmaster
    }

    pub(super) fn program_name(&self) -> String {
        program_name(&self.settings())
    }

    pub(super) fn access(&self) -> Result<Access, ServerError> {
        Access::of(&self.place, &self.settings().database)
    }

    pub(super) async fn session(&self, what: &'static str) -> Result<Session, ServerError> {
        self.access()?.session(what).await
    }

    /// The major version of the data directory, as far as it tells.
    pub(super) async fn major(&self) -> Result<u32, ServerError> {
        let place = self.place.clone();
        blocking(move || place.major()).await
    }
}

fn program_name(settings: &EffectivePostgresql) -> String {
    let path = settings.program(Program::Postgres);
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
