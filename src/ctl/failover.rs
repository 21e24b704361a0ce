//! `failover`: a named member takes over, whether there is a leader or not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::handover::{self, Handover, Kind};
use super::members;
use super::rest::Call;
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, Request};
use crate::config::SynchronousMode;
use crate::values::MemberName;

/// How long the candidate may take to say what it does.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const HELP: &str = "\
While the leader is well, switchover is the better command: a failover may lose what the
candidate has not received.

Where nobody leads, the members choose by themselves as soon as one is known to have everything that
was acknowledged. With --accept-loss, the candidate leads with what it has: only say so when the
members that do not answer are stopped, and will not be back in time.

Examples:
  pgbaton ctl -c node.yml failover
  pgbaton ctl -c node.yml failover --candidate pg-b --force
  pgbaton ctl -c node.yml failover --candidate pg-b --accept-loss --force";

/// The arguments of `failover`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct FailoverArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// Who is to lead.
    #[arg(long, value_name = "NAME")]
    pub candidate: Option<String>,
    /// Where nobody leads: the members that do not answer are stopped, and what only they have may be lost.
    #[arg(long)]
    pub accept_loss: bool,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: FailoverArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let store = session.store(&scope)?;
    let cluster = store.read().await?;
    terminal::print("Members of the cluster now\n")?;
    handover::show(&cluster, &scope)?;
    let candidate = candidate(&cluster, &args).await?;
    let accepts_loss = accepts_loss(&cluster, &args, &candidate).await?;
    if !args.force {
        confirm(&cluster, &scope, &candidate).await?;
    }
    let candidate = Some(candidate);
    let request = Request { leader: None, candidate, scheduled_at: None, accepts_loss };
    let kind = Kind::Failover;
    Handover { session, store: &store, scope: &scope, kind, request }.carry_out(&cluster).await
}

async fn candidate(cluster: &Cluster, args: &FailoverArgs) -> anyhow::Result<MemberName> {
    let names = handover::candidates(cluster)?;
    let named = match &args.candidate {
        Some(named) => named.clone(),
        None if args.force => String::new(),
        None => {
            let label = format!("Candidate {}", handover::quoted(&names));
            terminal::ask(&label, Some("")).await?
        }
    };
    if named.is_empty() {
        bail!("a failover needs a candidate: expected one of {}", handover::quoted(&names));
    }
    handover::check_candidate(cluster, &names, &named)?;
    Ok(named.into())
}

/// Whether the candidate may lead with what it has: said, or asked for where nobody leads.
async fn accepts_loss(
    cluster: &Cluster,
    args: &FailoverArgs,
    candidate: &MemberName,
) -> anyhow::Result<bool> {
    if let Some(leader) = cluster.present_leader() {
        if args.accept_loss {
            bail!(
                "{leader} leads, as far as the store tells, so nothing need be lost: leave --accept-loss out, or \
                 ask again when its agent is gone"
            );
        }
        return Ok(false);
    }
    if args.accept_loss || args.force {
        return Ok(args.accept_loss);
    }
    let gone = match gone(cluster).as_slice() {
        [] => String::new(),
        gone => format!(" Not there, and to be stopped before: {}.", gone.join(", ")),
    };
    let says = decision_of(cluster, candidate).await.unwrap_or_else(|| "nothing".to_owned());
    terminal::confirm(&format!(
        "Nobody leads; {candidate} says: {says}.{gone} Let {candidate} lead with what it has?"
    ))
    .await
}

/// What the agent of a member does, and why, if it answers.
async fn decision_of(cluster: &Cluster, name: &MemberName) -> Option<String> {
    let api_url = cluster.members.get(name)?.api_url.as_deref()?;
    let (method, path, within) = (Method::GET, "/patroni", ANSWER_WITHIN);
    let call = Call { method, api_url, path, body: None, credentials: None, within };
    let status: Value = serde_json::from_str(&call.send().await.ok()?.text).ok()?;
    Some(status["pgbaton"]["decision"].as_str()?.to_owned())
}

/// Those who led, were waited for or may carry the leader, and of whom no agent is there. Their member keys
/// are gone.
fn gone(cluster: &Cluster) -> Vec<&str> {
    let held = cluster.baton.iter().map(|baton| &baton.value.holder);
    let listed = cluster.failsafe.iter().flat_map(|list| list.value.keys());
    let waited_for =
        cluster.sync.iter().flat_map(|sync| sync.value.leader.iter().chain(&sync.value.standbys));
    let known: BTreeSet<&MemberName> = held.chain(listed).chain(waited_for).collect();
    let is_gone = |name: &&MemberName| !cluster.presences.contains_key(*name);
    known.into_iter().filter(is_gone).map(MemberName::as_str).collect()
}

async fn confirm(cluster: &Cluster, scope: &str, candidate: &MemberName) -> anyhow::Result<()> {
    let is_synchronous = members::dynamic(cluster).synchronous_mode != SynchronousMode::Off
        && cluster.sync.as_ref().is_some_and(|sync| sync.value.leader.is_some());
    // Where nobody leads, that was asked already.
    let leads = cluster.present_leader().is_some();
    if is_synchronous && leads && !members::is_listed_in_sync(cluster, candidate) {
        let question = format!(
            "{candidate} is not synchronous: it may lack acknowledged commits. \
             Fail over to this asynchronous node all the same?"
        );
        if !terminal::confirm(&question).await? {
            bail!("nothing was done: the failover was not confirmed");
        }
    }
    let demoting =
        cluster.present_leader().map(|leader| format!(", demoting current leader {leader}"));
    let demoting = demoting.unwrap_or_default();
    let question = format!("Fail cluster {scope} over to {candidate}{demoting}?");
    if !terminal::confirm(&question).await? {
        bail!("nothing was done: the failover was not confirmed");
    }
    Ok(())
}
