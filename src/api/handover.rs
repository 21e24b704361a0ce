//! `POST /switchover`, `POST /failover`, `DELETE /switchover`: what was asked for is checked, written
//! to the store for the leader to act on, and its outcome awaited where the agent publishes it.

use std::time::Duration;

use axum::extract::Request as HttpRequest;
use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use serde_json::{Map, Value};

use super::client::{RestCall, call};
use super::preflight::{self, Action};
use super::reply::{self, Refused, Reply};
use super::store::{FreshLook, Written, conflict, not_written};
use super::{ApiState, body};
use crate::cluster::{BatonState, Cluster, Member, Request, Role};
use crate::dcs::{keys, txns};
use crate::publish::Status;
use crate::values::{MemberName, Revision, Term};

/// How long a member may take to say that it is there.
const MEMBER_WITHIN: Duration = Duration::from_secs(2);
/// How often the published status is looked at while an outcome is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The smallest bound of waiting for an outcome; it grows with `loop_wait`.
const OUTCOME_WITHIN_MIN: Duration = Duration::from_secs(20);
/// The same where nobody leads; it grows with `ttl`.
const RACE_WITHIN_MIN: Duration = Duration::from_secs(5);

/// `POST /switchover` or `/failover`.
///
/// # Errors
/// The refusal to answer with.
pub async fn post(api: &ApiState, action: Action, request: HttpRequest) -> Result<Reply, Refused> {
    let fields = body::object(request).await?;
    let (action, request) = preflight::read(action, &fields)?;
    let shown = preflight::shown_term(&fields)?;
    let look = api.look().await?;
    let term = look.cluster.term();
    if let Some(shown) = shown.filter(|shown| *shown != term) {
        let why = format!(
            "somebody has led since: term {shown} was shown, term {term} is reached; look again"
        );
        return Err(preflight::precondition(why));
    }
    let candidates = preflight::candidates(action, &request, &look.cluster)?;
    one_must_be_fit(candidates).await?;
    let asked = Asked {
        action,
        revision: write(api, &look, &request).await?,
        leader: preflight::holder(&look.cluster).filter(|_| !request.accepts_loss),
        term,
        candidate: request.candidate,
        is_left_to_the_race: look.cluster.present_leader().is_none() && !request.accepts_loss,
    };
    tracing::info!(
        action = action.noun(),
        leader = request.leader.as_ref().map(MemberName::as_str),
        candidate = asked.candidate.as_ref().map(MemberName::as_str),
        accepts_loss = request.accepts_loss,
        "a handover is asked for"
    );
    // Whoever asked may go away; what nobody acts on is withdrawn all the same.
    let api = api.clone();
    let awaited = tokio::spawn(async move { outcome(&api, &asked).await }).await;
    let text = awaited.map_err(|error| {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the wait broke off: {error}"))
    })??;
    Ok(reply::text(StatusCode::OK, text))
}

/// `DELETE /switchover`: withdraws a scheduled one, which another tool may have written; where nobody leads,
/// whatever is asked for.
///
/// # Errors
/// The refusal to answer with.
pub async fn delete(api: &ApiState) -> Result<Reply, Refused> {
    let look = api.look().await?;
    let nobody_leads = look.cluster.present_leader().is_none();
    let pending = look.cluster.pending_request();
    let done = match pending {
        Some(request) if request.scheduled_at.is_some() => "scheduled switchover deleted",
        Some(_) if nobody_leads => "the request is withdrawn",
        Some(_) | None => {
            return Err(Refused::new(StatusCode::NOT_FOUND, "no switchover is scheduled"));
        }
    };
    match api.write(txns::requested(look.revision_of(keys::FAILOVER), None)).await {
        Ok(Written::At(_)) => Ok(reply::text(StatusCode::OK, done)),
        Ok(Written::Conflict) => Err(conflict(keys::FAILOVER)),
        Err(error) => Err(not_written(&error)),
    }
}

/// Asks all of them at once; the leader looks at their lag and timelines later.
async fn one_must_be_fit(candidates: Vec<&Member>) -> Result<(), Refused> {
    let answers = join_all(candidates.into_iter().map(unfit)).await;
    if answers.iter().any(Option::is_none) {
        return Ok(());
    }
    let reasons: Vec<String> = answers.into_iter().flatten().collect();
    Err(preflight::precondition(format!("no candidate can take over: {}", reasons.join("; "))))
}

/// Why a member could not take over; `None` if it could.
async fn unfit(member: &Member) -> Option<String> {
    let name = &member.name;
    let Some(url) = member.api_url.as_deref() else {
        return Some(format!("{name} has not published an api_url"));
    };
    let (method, within) = (Method::GET, MEMBER_WITHIN);
    let answer = call(RestCall { method, url, credentials: None, body: None, within }).await;
    let text = match answer {
        Ok(answer) => answer.text,
        Err(error) => return Some(format!("{name} cannot be reached: {error}")),
    };
    let Ok(Value::Object(status)) = serde_json::from_str(&text) else {
        return Some(format!("{name} did not answer {url} with a status"));
    };
    let tags = status.get("tags").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    if !(Member { tags, ..member.clone() }).may_lead() {
        return Some(format!("{name} is tagged nofailover"));
    }
    let watchdog_failed = status.get("watchdog_failed") == Some(&Value::Bool(true));
    watchdog_failed.then(|| format!("{name} has no usable watchdog"))
}

/// Writes the request over the one that was read; returns its revision.
async fn write(api: &ApiState, look: &FreshLook, request: &Request) -> Result<Revision, Refused> {
    let read_at = look.revision_of(keys::FAILOVER);
    let txn = match request.accepts_loss {
        true => txns::requested_in_vacancy(read_at, Some(request), look.revision_of(keys::BATON)),
        false => txns::requested(read_at, Some(request)),
    };
    match api.write(txn).await {
        Ok(Written::At(revision)) => Ok(revision),
        Ok(Written::Conflict) => Err(conflict(keys::FAILOVER)),
        Err(error) if error.is_ambiguous() => {
            // It may be there: then its outcome can be awaited.
            let now = api.look().await.map_err(|_| not_written(&error))?;
            let is_ours = now.cluster.pending_request() == Some(request);
            is_ours.then(|| now.revision_of(keys::FAILOVER)).ok_or_else(|| not_written(&error))
        }
        Err(error) => Err(not_written(&error)),
    }
}

/// What was asked for, and what was true then.
struct Asked {
    action: Action,
    revision: Revision,
    leader: Option<MemberName>,
    term: Term,
    candidate: Option<MemberName>,
    /// Nobody led, and nobody accepted a loss.
    is_left_to_the_race: bool,
}

/// How long an outcome is waited for. Where nobody leads, the members choose by themselves as soon as they
/// can; what they have not done within two leases takes a person, who is not kept waiting.
fn bound_of_waiting(status: &Status, asked: &Asked) -> Duration {
    let bound = OUTCOME_WITHIN_MIN.max(status.dynamic.loop_wait * 2);
    match asked.is_left_to_the_race {
        true => bound.min(RACE_WITHIN_MIN.max(status.times.ttl * 2)),
        false => bound,
    }
}

async fn outcome(api: &ApiState, asked: &Asked) -> Result<String, Refused> {
    let within = bound_of_waiting(&api.0.published.get(), asked);
    let told = async {
        loop {
            if let Some((cluster, _)) = &api.0.published.get().cluster
                && cluster.revision >= asked.revision
                && let Some(verdict) = asked.verdict(cluster)
            {
                return verdict;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if let Ok(verdict) = tokio::time::timeout(within, told).await {
        return verdict;
    }
    let status = api.0.published.get();
    let cluster = status.cluster.as_ref().map(|(cluster, _)| &**cluster);
    if let Some(leader) = cluster.and_then(|cluster| asked.new_holder(cluster)) {
        return Ok(asked.success(&leader));
    }
    if let Some(cluster) = cluster.filter(|cluster| cluster.present_leader().is_none()) {
        // Nobody is there to refuse it, and it must not be carried out when nobody thinks of it any more.
        let end = txns::requested_in_vacancy(asked.revision, None, cluster.baton_revision());
        let withdrawn = api.write(end).await;
        if let Ok(Written::At(_)) = withdrawn {
            let why = format!("nobody leads, and this node says: {}", status.decision.reason);
            return Err(asked.failure(&why));
        }
    }
    let noun = asked.action.noun();
    let why = format!("{noun} status unknown: nothing was decided within {within:?}");
    Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

impl Asked {
    /// What became of it; `None` while that is open.
    fn verdict(&self, cluster: &Cluster) -> Option<Result<String, Refused>> {
        let outcome = cluster.outcome.as_ref().filter(|one| one.request == self.revision);
        if let Some(outcome) = outcome {
            let holder = preflight::holder(cluster);
            return Some(match holder {
                Some(leader) if outcome.done => Ok(self.success(&leader)),
                _ if outcome.done => Ok(outcome.reason.clone()),
                _ => Err(self.failure(&outcome.reason)),
            });
        }
        if let Some(leader) = self.new_holder(cluster) {
            // The seat alone is not enough for whoever wants to write: its server must say so, too.
            let serves = cluster.members.get(&leader).is_some_and(|one| one.role == Role::Primary);
            return serves.then(|| Ok(self.success(&leader)));
        }
        let is_pending = cluster
            .request
            .as_ref()
            .is_some_and(|one| one.value.is_some() && one.revision == self.revision);
        let withdrawn = "the request was withdrawn or replaced before it was carried out";
        (!is_pending).then(|| Err(self.failure(withdrawn)))
    }

    /// Who holds the seat now, if that is somebody else than at the time of asking.
    fn new_holder(&self, cluster: &Cluster) -> Option<MemberName> {
        let is_held =
            cluster.baton.as_ref().is_none_or(|baton| baton.value.state == BatonState::Held);
        let holder = preflight::holder(cluster).filter(|_| is_held)?;
        // Where nobody led, whoever leads now has a later term, if it is the same one, too.
        let is_later =
            self.leader.is_some() || cluster.term() > self.term || cluster.baton.is_none();
        (self.leader.as_ref() != Some(&holder) && is_later).then_some(holder)
    }

    fn success(&self, leader: &MemberName) -> String {
        let verb = self.action.past_tense();
        match &self.candidate {
            Some(candidate) if candidate != leader => {
                let verb = if self.action == Action::Switchover { "Switched" } else { "Failed" };
                format!("{verb} over to \"{leader}\" instead of \"{candidate}\"")
            }
            _ => format!("Successfully {verb} over to \"{leader}\""),
        }
    }

    fn failure(&self, reason: &str) -> Refused {
        let why = format!("{} failed: {reason}", self.action.noun());
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}
