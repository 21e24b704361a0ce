//! Which request is answered by what. Patroni looks only at the first segment of a path, and takes
//! whatever it does not know for a health check; axum's own router cannot say that, so a table does.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};

use super::preflight::Action;
use super::query::Query;
use super::reply::{self, Refused, Reply};
use super::{
    ApiState, config_writes, documents, events, exposition, failsafe, handover, position, probes,
    promise, restart, wire,
};
use crate::publish::Status;
use crate::wake::Call;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// A health check: a code, and for `GET` the status document.
    Health { with_body: bool },
    /// Something that is read from the status.
    Show(Document),
    /// Something that is changed, for whoever may.
    Change(Change),
    /// Something that is not built yet, though it is protected; the text says what instead.
    Later(&'static str),
    /// Nothing that there is.
    None,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    Status,
    Cluster,
    History,
    Config,
    Failsafe,
    Metrics,
    Events,
    Liveness,
    Readiness,
}

/// What can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    PatchConfig,
    PutConfig,
    HandOver(Action),
    WithdrawSwitchover,
    Reload,
    Restart,
    WithdrawRestart,
    Promise,
    Position,
    Failsafe,
}

const NO_REINITIALIZE: &str = "reinitialize is not built yet: stop the agent, empty the data \
    directory, start the agent; it then copies the leader's data";
const NO_CITUS: &str = "Citus clusters are not built yet";
const NO_SIGTERM: &str = "send SIGTERM to the agent's process to stop it";

impl Route {
    fn of(method: &Method, path: &str) -> Route {
        match (method.as_str(), first_segment(path)) {
            ("GET", "patroni") => Route::Show(Document::Status),
            ("GET", "cluster") => Route::Show(Document::Cluster),
            ("GET", "history") => Route::Show(Document::History),
            ("GET", "config") => Route::Show(Document::Config),
            ("GET", "failsafe") => Route::Show(Document::Failsafe),
            ("GET", "metrics") => Route::Show(Document::Metrics),
            ("GET", "liveness") => Route::Show(Document::Liveness),
            ("GET", "readiness") => Route::Show(Document::Readiness),
            ("GET", "pgbaton") if path == "/pgbaton/events" => Route::Show(Document::Events),
            ("GET", _) => Route::Health { with_body: true },
            ("HEAD" | "OPTIONS", _) => Route::Health { with_body: false },
            ("PATCH", "config") => Route::Change(Change::PatchConfig),
            ("PUT", "config") => Route::Change(Change::PutConfig),
            ("POST", "switchover") => Route::Change(Change::HandOver(Action::Switchover)),
            ("POST", "failover") => Route::Change(Change::HandOver(Action::Failover)),
            ("DELETE", "switchover") => Route::Change(Change::WithdrawSwitchover),
            ("POST", "reload") => Route::Change(Change::Reload),
            ("POST", "promise") => Route::Change(Change::Promise),
            ("POST", "position") => Route::Change(Change::Position),
            ("POST", "restart") => Route::Change(Change::Restart),
            ("DELETE", "restart") => Route::Change(Change::WithdrawRestart),
            ("POST", "reinitialize") => Route::Later(NO_REINITIALIZE),
            ("POST", "failsafe") => Route::Change(Change::Failsafe),
            ("POST", "citus" | "mpp") => Route::Later(NO_CITUS),
            ("POST", "sigterm") => Route::Later(NO_SIGTERM),
            _ => Route::None,
        }
    }
}

/// The text between the leading slashes and the next one.
fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The API as an axum application.
pub fn router(api: ApiState) -> Router {
    Router::new().fallback(respond).with_state(api)
}

async fn respond(State(api): State<ApiState>, request: Request) -> Reply {
    let mut reply = match Route::of(request.method(), request.uri().path()) {
        Route::Health { with_body } => health(&api, request.uri(), with_body),
        Route::Show(document) => show(&api, document, request.uri()),
        Route::Change(what) => change(&api, what, request).await.unwrap_or_else(Refused::reply),
        Route::Later(why) => later(&api, why, &request).reply(),
        // Patroni's tool looks for these words, in order to try an older way.
        Route::None => {
            let why = "Server does not support this operation: no such method on this path";
            Refused::new(StatusCode::NOT_IMPLEMENTED, why).reply()
        }
    };
    // An answer without a body is its code alone, as health checkers like it.
    if reply.headers().contains_key(CONTENT_TYPE) {
        let extra = api.0.access.load();
        let extra = extra.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
        reply.headers_mut().extend(extra);
    }
    reply
}

/// Who asks is checked before anything of the body is read.
async fn change(api: &ApiState, what: Change, request: Request) -> Result<Reply, Refused> {
    api.0.access.load().check(request.headers())?;
    match what {
        Change::PatchConfig => config_writes::patch(api, request).await,
        Change::PutConfig => config_writes::put(api, request).await,
        Change::HandOver(action) => handover::post(api, action, request).await,
        Change::WithdrawSwitchover => handover::delete(api).await,
        Change::Promise => promise::answer(api, request).await,
        Change::Position => position::answer(api).await,
        Change::Failsafe => failsafe::answer(api, request).await,
        Change::Restart => restart::post(api, request).await,
        Change::WithdrawRestart => Err(restart::none_is_scheduled()),
        Change::Reload => match api.0.calls.send(Call::Reload) {
            Ok(()) => Ok(reply::text(StatusCode::ACCEPTED, "reload scheduled")),
            Err(_) => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending")),
        },
    }
}

fn later(api: &ApiState, why: &str, request: &Request) -> Refused {
    let allowed = api.0.access.load().check(request.headers());
    allowed.err().unwrap_or_else(|| Refused::new(StatusCode::NOT_IMPLEMENTED, why))
}

fn code(passes: bool) -> StatusCode {
    if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn health(api: &ApiState, uri: &Uri, with_body: bool) -> Reply {
    let (status, now) = api.status();
    let code = code(probes::passes(&status, now, uri.path(), &Query::of(uri)));
    if with_body { reply::spelled(code, api.status_body(&status, now)) } else { reply::bare(code) }
}

fn show(api: &ApiState, document: Document, uri: &Uri) -> Reply {
    let (status, now) = api.status();
    match document {
        Document::Status => reply::document(StatusCode::OK, &wire::status_document(&status, now)),
        Document::Liveness => reply::bare(code(probes::is_alive(&status, now))),
        Document::Readiness => reply::bare(code(probes::is_ready(&status, now, &Query::of(uri)))),
        Document::Metrics => reply::metrics(exposition::render(&status, now, &api.0.counted)),
        Document::Events => events::show(api, &status, uri).unwrap_or_else(Refused::reply),
        Document::Cluster if status.cluster_in_sight(now).is_none() => {
            let why = "the store has not answered for longer than ttl: the cluster is not in sight";
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).reply()
        }
        Document::Cluster | Document::History | Document::Config | Document::Failsafe => {
            of_cluster(&status, document).unwrap_or_else(Refused::reply)
        }
    }
}

/// What was last read of the store, however long ago: these change seldom.
fn of_cluster(status: &Status, document: Document) -> Result<Reply, Refused> {
    let Some((cluster, _)) = &status.cluster else {
        let why = "the store has not been read yet";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let missing = |key| {
        let why = format!("the cluster has no {key} key, or one that cannot be read");
        Refused::new(StatusCode::BAD_GATEWAY, why)
    };
    let shown = match document {
        Document::Config => serde_json::Value::clone(
            &cluster.config.as_ref().ok_or_else(|| missing("config"))?.value,
        ),
        Document::Failsafe => documents::failsafe_document(
            &cluster.failsafe.as_ref().ok_or_else(|| missing("failsafe"))?.value,
        ),
        Document::History => {
            let entries = cluster.history.as_ref().map_or(&[][..], |history| &history.value);
            documents::history_document(entries)
        }
        _ => documents::cluster_document(cluster, &status.dynamic, &status.scope),
    };
    Ok(reply::document(StatusCode::OK, &shown))
}
