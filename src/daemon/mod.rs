//! The agent as a process: configuration, log, ports, threads, signals.

mod advice;
mod event_ring;
mod guardian;
mod journal;
mod log_file;
mod logging;
mod notify;
mod ports;
mod signals;
mod statistics;
mod upgrade;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::act::failsafe::Asker;
use crate::act::lease::Keeper;
use crate::agent::{Agent, Ended, Node, Tasks, assemble, fence_event};
use crate::api::{self, Access, ApiParts, ApiState, RestCall};
use crate::cluster::{Cluster, State};
use crate::config::{self, Finding, NodeConfig, Severity};
use crate::dcs::{EtcdStore, Store as _, StoreError, decode};
use crate::fence::{BoottimeClock, Guardian};
use crate::publish::{Event, EventKind, Events, Metrics, Published, ServerStatistics, Status};
use crate::values::Clock;
use crate::wake::Calls;
use logging::Log;
use notify::Notify;
use ports::{Environment, RealPorts};

/// How often the configured names of etcd members are looked up again, outside the lease's task.
const LOOK_UP_NAMES_EVERY: Duration = Duration::from_secs(60);
/// Less than a health check of HAProxy waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
/// How long a refusal of the credentials is looked for before the agent goes on without an answer.
const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// How long an agent of the same name may take to show itself.
const NAMESAKE_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken, the store refuses the credentials, or the agent
/// meets something that a person has to mend.
pub fn run(path: Option<PathBuf>) -> Result<()> {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let config = Arc::new(read_config(path.as_deref(), &env, &mut |text| eprintln!("{text}"))?);
    let log = Log::start(&config.log).context("the log could not be started")?;
    let ended = run_logged(path, env, config, log);
    logging::finish();
    match ended? {
        None => Ok(()),
        Some(kept_open) => {
            let error = upgrade::become_next(&upgrade::own_path(), &kept_open);
            Err(error).with_context(|| format!("{} cannot be run", upgrade::own_path().display()))
        }
    }
}

/// Returns the listener that is to be kept open where the program is to start anew.
fn run_logged(
    path: Option<PathBuf>,
    env: BTreeMap<String, String>,
    config: Arc<NodeConfig>,
    log: Log,
) -> Result<Option<std::net::TcpListener>> {
    info!(version = env!("CARGO_PKG_VERSION"), name = %config.name, scope = config.scope, "start");
    let environment = Environment::prepare(&config)?;
    let guardian = environment.guardian();
    let runtime = one_thread()?;
    let (listener, was_left) = find_listener(&runtime, &environment, &config)?;
    listener.set_nonblocking(true)?;
    let kept_open = listener.try_clone()?;
    let metrics = Metrics::default();
    let (events, ring) = event_ring::open(&config.state_dir());
    tell_of_the_start(&events, &environment);
    let listening = Arc::new(OnceLock::new());
    let server_statistics = ServerStatistics::every(config.pgbaton.statistics_interval);
    let reloaded = Reloaded { api: Arc::clone(&listening), statistics: server_statistics.clone() };
    let reload = reloader(path, env, reloaded, log);
    let reader = environment.statistics();
    let (store, names) = (environment.store.clone(), environment.store.clone());
    let (own_events, parting) = (events.clone(), events.clone());
    let parts = environment.into_assembly(&config, reload, metrics.clone(), own_events);
    let Node { agent, tasks, published, calls } = assemble::<RealPorts>(parts);
    let Tasks { keeper, mirror, asker, publisher, health } = tasks;
    let shown = server_statistics.clone();
    let _statistics = forever("statistics", move || statistics::ask_for_ever(reader, shown))?;
    let _keeper = forever("lease", move || Keeper::run(keeper))?;
    let _asker = forever("failsafe", move || Asker::run(asker))?;
    let (access, warnings) = Access::of(&config.restapi);
    for warning in warnings {
        warn!(warning, "a header cannot be sent");
    }
    let (desk, clerk) = api::store_desk();
    let api = ApiState::new(ApiParts {
        published: published.clone(),
        clock: Arc::new(BoottimeClock),
        calls: calls.clone(),
        store: desk,
        metrics,
        events,
        server: server_statistics.clone(),
        access,
    });
    let _ = listening.set(api.clone());
    let first = was_left.then(|| published.clone());
    let _api = answer(listener, api, clerk, store, first)?;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move { mirror.run().await });
    local.spawn_local(async move { publisher.run().await });
    local.spawn_local(async move { health.run().await });
    local.spawn_local(advice::warn_about(names.clone(), published));
    local.spawn_local(look_up_names(names));
    let ended = local.block_on(&runtime, turn(agent, calls))?;
    let parted = part(ended.clone(), &guardian, kept_open);
    tell_of_the_end(&parting, &ended);
    ring.finish();
    parted
}

/// The API, on a thread of its own. With `first` it waits until that tells what this node is.
fn answer(
    listener: std::net::TcpListener,
    api: ApiState,
    clerk: api::StoreClerk,
    store: EtcdStore,
    first: Option<Published>,
) -> Result<std::thread::JoinHandle<()>> {
    on_a_thread("api", move || {
        one_thread()?.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let serve = async {
                if let Some(published) = first {
                    let _ = tokio::time::timeout(ANSWER_WITHIN, knows_its_part(&published)).await;
                }
                api::serve(listener, api).await;
            };
            tokio::select! {
                () = serve => {}
                () = clerk.run(store) => {}
            }
            Ok(())
        })
    })
}

/// An agent that was started anew in place has kept its socket: who asks meanwhile waits, and does not hear that the
/// primary is none.
async fn knows_its_part(published: &Published) {
    let knows = |status: &Status| {
        let is_standby = matches!(status.look.state, State::Standby(_));
        is_standby || status.is_writable(BoottimeClock.now())
    };
    published.until(knows).await;
}

async fn look_up_names(store: EtcdStore) {
    loop {
        store.remember_addresses().await;
        tokio::time::sleep(LOOK_UP_NAMES_EVERY).await;
    }
}

/// What began, and what the guardian did while nobody was there.
fn tell_of_the_start(events: &Events, environment: &Environment) {
    let now = BoottimeClock.wall_micros();
    if let Some(done) = environment.found_report() {
        events.note(fence_event(done, now));
    }
    let started = Event::new(now, EventKind::Agent, "started");
    let started = started.fact("version", env!("CARGO_PKG_VERSION"));
    events.note(started.fact("incarnation", environment.incarnation().to_string()));
}

fn tell_of_the_end(events: &Events, ended: &Ended) {
    let (what, why) = match ended {
        Ended::AsTold => ("stopped", ""),
        Ended::ForUpgrade => ("upgraded", ""),
        Ended::WithError(why) => ("stopped", why.as_str()),
    };
    events.note(Event::new(BoottimeClock.wall_micros(), EventKind::Agent, what).detail(why));
}

/// Leaves the server as it should be left.
fn part(
    ended: Ended,
    guardian: &Guardian,
    kept_open: std::net::TcpListener,
) -> Result<Option<std::net::TcpListener>> {
    match ended {
        Ended::AsTold => {
            guardian.leave();
            info!("stopped");
            Ok(None)
        }
        Ended::ForUpgrade => {
            info!("the program starts anew, with the server as it is");
            Ok(Some(kept_open))
        }
        Ended::WithError(why) => {
            guardian.leave();
            Err(anyhow!(why))
        }
    }
}

/// The socket of the version before this one, which nobody else has the name of, else one of its own; and whether
/// it is the former.
fn find_listener(
    runtime: &tokio::runtime::Runtime,
    environment: &Environment,
    config: &Arc<NodeConfig>,
) -> Result<(std::net::TcpListener, bool)> {
    if let Some(listener) = upgrade::left_listener() {
        return Ok((listener, true));
    }
    runtime.block_on(first_contact(&environment.store, config))?;
    listen(config).map(|listener| (listener, false))
}

/// Bound before anything runs, a port that is taken included.
fn listen(config: &NodeConfig) -> Result<std::net::TcpListener> {
    let address = config.restapi.listen.to_string();
    std::net::TcpListener::bind(listen_address(config))
        .with_context(|| format!("restapi.listen: {address} cannot be listened on"))
}

async fn turn(agent: Agent<RealPorts>, calls: Calls) -> Result<Ended> {
    let notify = Notify::from_env();
    notify.ready();
    let (signals, mut told) = mpsc::unbounded_channel();
    tokio::task::spawn_local(signals::pass_on(signals)?);
    let running = agent.run();
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return Ok(ended),
            Some(signal) = told.recv() => signals::take(signal, &notify, &calls),
        }
    }
}

/// Reads the configuration; says every finding, and fails if one is an error.
///
/// # Errors
/// When there is no valid configuration.
pub fn read_config(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
    say: &mut dyn FnMut(&Finding),
) -> Result<NodeConfig> {
    let loaded = config::load(path, env);
    for finding in &loaded.findings {
        say(finding);
    }
    let errors = loaded.findings.iter().filter(|one| one.severity == Severity::Error).count();
    match loaded.config {
        Some(config) if errors == 0 => Ok(config),
        Some(_) | None => bail!("the configuration is not valid: {errors} error(s), see above"),
    }
}

/// What outside of the loop follows the files.
struct Reloaded {
    api: Arc<OnceLock<ApiState>>,
    statistics: ServerStatistics,
}

fn reloader(
    path: Option<PathBuf>,
    env: BTreeMap<String, String>,
    reloaded: Reloaded,
    log: Log,
) -> Box<dyn Fn() -> Option<Arc<NodeConfig>>> {
    Box::new(move || {
        let mut say = |finding: &Finding| warn!(%finding, "while reading the files again");
        match read_config(path.as_deref(), &env, &mut say) {
            Ok(config) => {
                if let Err(error) = log.change(&config.log) {
                    warn!(error = format!("{error:#}"), "the log stays as it was");
                }
                if let Some(api) = reloaded.api.get() {
                    api.set_access(Access::of(&config.restapi).0);
                }
                reloaded.statistics.set_interval(config.pgbaton.statistics_interval);
                Some(Arc::new(config))
            }
            Err(error) => {
                warn!(%error, "the configuration in force is kept");
                None
            }
        }
    })
}

/// `*` and an empty host mean all addresses.
fn listen_address(config: &NodeConfig) -> (String, u16) {
    let listen = &config.restapi.listen;
    let host = match listen.host.as_str() {
        "" | "*" => "0.0.0.0",
        host => host,
    };
    (host.to_owned(), listen.port)
}

/// Wrong credentials do not become right by waiting, nor does a name that somebody else has; a store
/// that is away may come back.
async fn first_contact(store: &EtcdStore, config: &NodeConfig) -> Result<()> {
    match store.read_all(FIRST_CONTACT).await {
        Ok(snapshot) => refuse_a_taken_name(&decode(&snapshot).0, config).await,
        Err(error @ StoreError::Denied(_)) => {
            Err(anyhow::Error::new(error).context("etcd3: the store does not let this agent in"))
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "etcd does not answer; waiting for it");
            Ok(())
        }
    }
}

/// Two agents of one name would take each other's keys for their own.
async fn refuse_a_taken_name(cluster: &Cluster, config: &NodeConfig) -> Result<()> {
    let member = cluster.members.get(&config.name);
    let Some(url) = member.and_then(|member| member.api_url.as_deref()) else { return Ok(()) };
    let Some(liveness) = api::endpoint(url, "/liveness") else { return Ok(()) };
    let (method, within) = (axum::http::Method::GET, NAMESAKE_ANSWERS_WITHIN);
    let call = RestCall { method, url: &liveness, credentials: None, body: None, within };
    match api::call(call).await {
        Ok(_) => bail!(
            "name: another agent that is called {} answers at {url}; each member needs a name of its \
             own",
            config.name
        ),
        Err(_) => Ok(()),
    }
}

fn one_thread() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.context("the runtime could not be started")
}

/// Runs a task on a thread and a runtime of its own.
fn forever<T: Future<Output = ()>>(
    name: &'static str,
    task: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<()>> {
    on_a_thread(name, move || {
        one_thread()?.block_on(task());
        Ok(())
    })
}

/// Runs something on a thread of its own; what ends it with an error ends the agent.
fn on_a_thread(
    name: &'static str,
    what: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<std::thread::JoinHandle<()>> {
    let body = move || {
        if let Err(error) = what() {
            tracing::error!(thread = name, error = format!("{error:#}"), "ended");
            logging::finish();
            std::process::exit(1);
        }
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.with_context(|| format!("the thread {name} could not be started"))
}

/// The clock's reading for systemd.
fn monotonic_micros() -> u64 {
    u64::try_from(BoottimeClock.now().since_boot().as_micros()).unwrap_or(u64::MAX)
}
