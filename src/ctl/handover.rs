//! What `switchover` and `failover` share: who may take over, the request to the leader's agent, the
//! way through the store where no agent can be reached, and the result.

use std::time::Duration;

use anyhow::bail;
use hyper::Method;
use serde_json::json;

use super::list::{ListOptions, render};
use super::members;
use super::output::Format;
use super::rest::{Answer, Call, CallError};
use super::session::{ClusterStore, Session};
use super::terminal::{self, End};
use crate::cluster::{Cluster, Member, Request};
use crate::dcs::txns;
use crate::values::{MemberName, Revision};

/// An agent watches a handover for twice this long at least, then says that it does not know.
const ROUND_MIN: Duration = Duration::from_secs(10);
/// How much longer its answer may take.
const ANSWER_ALLOWANCE: Duration = Duration::from_secs(10);
/// How often the store is looked at where no agent tells.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Switchover,
    Failover,
}

impl Kind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Kind::Switchover => "Switchover",
            Kind::Failover => "Failover",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Kind::Switchover => "/switchover",
            Kind::Failover => "/failover",
        }
    }

    fn success(self) -> &'static str {
        match self {
            Kind::Switchover => "Successfully switched over to",
            Kind::Failover => "Successfully failed over to",
        }
    }
}

/// Prints the members under a heading.
pub(super) fn show(cluster: &Cluster, scope: &str) -> anyhow::Result<()> {
    let table = render(cluster, scope, Format::Pretty, ListOptions::default());
    terminal::print(&table)
}

/// The names of those who may take over from the leader.
pub(super) fn candidates(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let leader = cluster.present_leader();
    let may_take_over = |member: &&Member| Some(&member.name) != leader && member.may_lead();
    let names = cluster.each_member().filter(may_take_over).map(|one| one.name.to_string());
    let names = names.collect::<Vec<_>>();
    if names.is_empty() {
        bail!("nobody could take over: no other member without nofailover is there");
    }
    Ok(names)
}

/// Says what is wrong with a candidate.
pub(super) fn check_candidate(
    cluster: &Cluster,
    names: &[String],
    candidate: &str,
) -> anyhow::Result<()> {
    if cluster.present_leader().is_some_and(|leader| leader.as_str() == candidate) {
        bail!("{candidate} is the leader already");
    }
    if names.iter().any(|name| name == candidate) {
        return Ok(());
    }
    let known = quoted(names);
    if cluster.members.contains_key(&candidate.into()) {
        bail!("{candidate} has the tag nofailover: expected one of {known}");
    }
    bail!("there is no member {candidate}: expected one of {known}")
}

/// Names as a list in brackets, which scripts that answer prompts look for.
pub(super) fn quoted(names: &[String]) -> String {
    let names = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>();
    format!("[{}]", names.join(", "))
}

/// A request that has been agreed on.
pub(super) struct Handover<'a> {
    pub(super) session: &'a Session,
    pub(super) store: &'a ClusterStore,
    pub(super) scope: &'a str,
    pub(super) kind: Kind,
    pub(super) request: Request,
}

impl Handover<'_> {
    /// Asks for it, prints what became of it and the members then. `cluster` is what was shown.
    pub(super) async fn carry_out(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let noun = self.kind.noun();
        let result = match self.ask_an_agent(cluster).await {
            Ok(answer) if matches!(answer.status, 200 | 202) => answer.text,
            Ok(Answer { status, text }) => {
                terminal::print(&format!("{noun} failed, details: {status}, {text}\n"))?;
                return Err(End::Refused.into());
            }
            Err(error @ CallError::Unreachable { .. }) => {
                eprintln!("Warning: {error}");
                eprintln!("Falling back to the store: the request is written to etcd");
                self.through_the_store(cluster).await?
            }
            Err(error @ CallError::NoAnswer { .. }) => {
                eprintln!("Warning: {error}");
                terminal::print(&format!("{noun} status unknown\n"))?;
                show(&self.store.read().await?, self.scope)?;
                return Err(End::Refused.into());
            }
        };
        let at = terminal::local_time("%Y-%m-%d %H:%M:%S%.5f");
        terminal::print(&format!("{at} {result}\n"))?;
        show(&self.store.read().await?, self.scope)
    }

    /// Sends it to the leader's agent; without a leader, to the candidate's.
    async fn ask_an_agent(&self, cluster: &Cluster) -> Result<Answer, CallError> {
        let asked = cluster.present_leader().or(self.request.candidate.as_ref());
        let member = asked.and_then(|name| cluster.members.get(name));
        let Some(api_url) = member.and_then(|member| member.api_url.as_deref()) else {
            let url = asked.map(ToString::to_string).unwrap_or_default();
            let why = "it publishes no REST address".to_owned();
            return Err(CallError::Unreachable { url, why });
        };
        let names = [("leader", &self.request.leader), ("candidate", &self.request.candidate)];
        let field = |(key, name): (&str, &Option<MemberName>)| {
            Some((key.to_owned(), json!(name.as_ref()?.as_str())))
        };
        let accepts_loss = self.request.accepts_loss;
        let accepted = [("accept_loss", json!(true)), ("term", json!(cluster.term()))];
        let accepted = accepted.map(|(key, value)| (key.to_owned(), value));
        let accepted = accepted.into_iter().filter(|_| accepts_loss);
        Call {
            method: Method::POST,
            api_url,
            path: self.kind.path(),
            body: Some(names.into_iter().filter_map(field).chain(accepted).collect()),
            credentials: self.session.credentials(),
            within: watch_bound(cluster) + ANSWER_ALLOWANCE,
        }
        .send()
        .await
    }

    /// Writes the request to the store, where the agents find it, and watches what comes of it.
    async fn through_the_store(&self, cluster: &Cluster) -> anyhow::Result<String> {
        let read_at = cluster.request.as_ref().map_or(Revision::ABSENT, |one| one.revision);
        let request = Some(&self.request);
        let txn = match self.request.accepts_loss {
            true => txns::requested_in_vacancy(read_at, request, cluster.baton_revision()),
            false => txns::requested(read_at, request),
        };
        let reply = self.store.commit(txn).await?;
        if !reply.succeeded {
            bail!("somebody else leads by now, or asked for a switchover or failover: look again");
        }
        let old_leader = cluster.present_leader();
        let watched = tokio::time::timeout(watch_bound(cluster), async {
            loop {
                let now = self.store.read().await?;
                // Where nobody led, the holder of before may only be back; agents of another kind have no terms.
                let is_later =
                    old_leader.is_some() || now.baton.is_none() || now.term() > cluster.term();
                let is_new = |one: &&MemberName| Some(*one) != old_leader && is_later;
                if let Some(leader) = now.present_leader().filter(is_new) {
                    return Ok(Ok(format!("{} \"{leader}\"", self.kind.success())));
                }
                let outcome = now.outcome.as_ref().filter(|one| one.request == reply.revision);
                if now.pending_request().is_none() {
                    let reason = outcome.map(|outcome| outcome.reason.clone()).unwrap_or_default();
                    return Ok(Err(reason));
                }
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        });
        let failure = match watched.await {
            Ok(Ok(Ok(result))) => return Ok(result),
            Ok(Ok(Err(reason))) if reason.is_empty() => format!("{} failed", self.kind.noun()),
            Ok(Ok(Err(reason))) => format!("{} failed, details: {reason}", self.kind.noun()),
            Ok(Err::<_, anyhow::Error>(error)) => return Err(error),
            Err(_) => {
                let what = match self.withdraw(reply.revision).await {
                    true => "nobody leads, and the request was withdrawn",
                    false => "the request is in the store, and no agent has acted on it",
                };
                format!("{} status unknown: {what}", self.kind.noun())
            }
        };
        terminal::print(&format!("{failure}\n"))?;
        show(&self.store.read().await?, self.scope)?;
        Err(End::Refused.into())
    }

    /// Takes a request back where nobody leads who could still act on it; says whether it did.
    async fn withdraw(&self, asked_at: Revision) -> bool {
        let Ok(now) = self.store.read().await else { return false };
        if now.present_leader().is_some() {
            return false;
        }
        let end = txns::requested_in_vacancy(asked_at, None, now.baton_revision());
        let reply = self.store.commit(end).await;
        reply.is_ok_and(|reply| reply.succeeded)
    }
}

/// For how long a handover is watched.
fn watch_bound(cluster: &Cluster) -> Duration {
    2 * members::dynamic(cluster).loop_wait.max(ROUND_MIN)
}
