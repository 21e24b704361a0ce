//! `POST /restart`: stops the server beside this agent and starts it again, and answers when that is done.
//! A leader keeps its lease meanwhile.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::ApiState;
use super::body;
use super::reply::{self, Refused, Reply};
use crate::cluster::{Role, State};
use crate::config::parse_duration;
use crate::publish::Status;
use crate::wake::Call;

const KEYS: [&str; 5] = ["schedule", "role", "postgres_version", "timeout", "restart_pending"];

/// Which restarts are wanted, as the body says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Only of a server that plays this part.
    role: Option<Role>,
    /// Only of a server that is older, in the form of `server_version_num`.
    older_than: Option<u32>,
    /// Only when a setting waits for it.
    if_pending: bool,
    /// How long it may take.
    within: Option<Duration>,
}

/// Restarts the server now.
///
/// # Errors
/// 400 with a body that is not understood, 503 when the server is not to be restarted, does not run, or is
/// not back in time.
pub async fn post(api: &ApiState, request: Request) -> Result<Reply, Refused> {
    let wanted = Wanted::read(&body::object_or_nothing(request).await?)?;
    let (status, _) = api.status();
    let before = wanted.server_of(&status).map_err(not_done)?;
    let limit = status.dynamic.primary_start_timeout.max(status.dynamic.ttl);
    let within = wanted.within.unwrap_or(limit);
    let (answer, answered) = oneshot::channel();
    let call = Call::Restart { of: before, answer };
    api.0.calls.send(call).map_err(|_| not_done("the agent is ending"))?;
    match tokio::time::timeout(within, answered).await {
        Ok(Ok(())) => Ok(reply::text(StatusCode::OK, "restarted successfully")),
        Ok(Err(_)) => Err(not_done("the agent is ending")),
        Err(_) => {
            let (status, _) = api.status();
            let reason = &status.decision.reason;
            Err(not_done(&format!("the server is not back after {within:?}: {reason}")))
        }
    }
}

/// The answer to `DELETE /restart`: none can be scheduled.
pub fn none_is_scheduled() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "no restart is scheduled")
}

fn not_done(why: &str) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

impl Wanted {
    fn read(fields: &Map<String, Value>) -> Result<Self, Refused> {
        body::only(fields, &KEYS)?;
        if fields.contains_key("schedule") {
            let why = "a restart cannot be scheduled yet: ask for it when it is to be done";
            return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, why));
        }
        let role = match body::text(fields, "role")?.as_deref() {
            None => None,
            Some("primary") => Some(Role::Primary),
            Some("standby_leader") => Some(Role::StandbyLeader),
            Some("replica") => Some(Role::Replica),
            Some(other) => {
                let why = format!("role is {other:?}: expected primary, standby_leader or replica");
                return Err(bad(why));
            }
        };
        let older_than = match body::text(fields, "postgres_version")? {
            None => None,
            Some(text) => Some(version_number(&text).ok_or_else(|| {
                bad(format!("postgres_version is {text:?}: expected a version such as 15.7"))
            })?),
        };
        let within = match fields.get("timeout") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let span = parse_duration(value).filter(|span| !span.is_zero());
                Some(span.ok_or_else(|| {
                    let expected = "expected seconds above 0, or a text such as 30s or 1min";
                    bad(format!("timeout is {value}: {expected}"))
                })?)
            }
        };
        // As in Patroni, the key alone says so, whatever its value.
        let if_pending = fields.contains_key("restart_pending");
        Ok(Self { role, older_than, if_pending, within })
    }

    /// When the server that is to be restarted was started.
    fn server_of(&self, status: &Status) -> Result<i64, &'static str> {
        let role = match &status.look.state {
            State::Primary(_) => Role::Primary,
            State::Standby(_) => Role::Replica,
            State::Empty
            | State::Unusable(_)
            | State::Down(_)
            | State::Starting
            | State::Stopping
            | State::Silent => return Err("the server does not run: there is nothing to restart"),
        };
        if self.role.is_some_and(|wanted| wanted != role) {
            return Err("the server plays another part than the one asked for");
        }
        if let Some(wanted) = self.older_than
            && status.look.version.is_some_and(|version| version >= wanted)
        {
            return Err("the server's version is not lower than the one asked for");
        }
        if self.if_pending && status.look.pending_restart.is_empty() {
            return Err("no setting waits for a restart");
        }
        status.look.started_at_micros.ok_or("it is not known when the server was started")
    }
}

fn bad(why: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, why)
}

/// `15.7` as 150007; of three numbers, as before version 10, the way PostgreSQL writes those.
fn version_number(text: &str) -> Option<u32> {
    let parts: Vec<u32> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [major, minor] if major >= 10 && minor < 10_000 => Some(major * 10_000 + minor),
        [major, minor, patch] if minor < 100 && patch < 100 => {
            Some(major * 10_000 + minor * 100 + patch)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<Wanted, Refused> {
        Wanted::read(body.as_object().expect("an object"))
    }

    #[test]
    fn a_body_says_which_restarts_are_wanted() {
        assert_eq!(read(json!({})).ok(), Some(Wanted::default()));
        let all = json!({"role": "replica", "postgres_version": "15.7", "timeout": "1min",
                         "restart_pending": false});
        let wanted = Wanted {
            role: Some(Role::Replica),
            older_than: Some(150_007),
            if_pending: true,
            within: Some(Duration::from_secs(60)),
        };
        assert_eq!(read(all).ok(), Some(wanted));
        for body in [
            json!({"role": "master"}),
            json!({"postgres_version": "16"}),
            json!({"timeout": 0}),
            json!({"timeout": "soon"}),
            json!({"shedule": "now"}),
            json!({"schedule": "2030-01-01T00:00+00:00"}),
        ] {
            assert!(read(body.clone()).is_err(), "{body}");
        }
    }
}
