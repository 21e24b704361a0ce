//! `failover`: a named member takes over, whether there is a leader or not.

use anyhow::bail;
use clap::Args;

use super::handover::{self, Handover, Kind, leader_name};
use super::members;
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, Request};
use crate::config::SynchronousMode;
use crate::values::MemberName;

const HELP: &str = "\
While the leader is well, switchover is the better command: a failover may lose what the
candidate has not received.

Examples:
  pgbaton ctl -c node.yml failover
  pgbaton ctl -c node.yml failover --candidate pg-b --force";

/// The arguments of `failover`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct FailoverArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// Who is to lead.
    #[arg(long, value_name = "NAME")]
    pub candidate: Option<String>,
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
    if !args.force {
        confirm(&cluster, &scope, &candidate).await?;
    }
    let request = Request { leader: None, candidate: Some(candidate), scheduled_at: None };
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

async fn confirm(cluster: &Cluster, scope: &str, candidate: &MemberName) -> anyhow::Result<()> {
    let is_synchronous = members::dynamic(cluster).synchronous_mode != SynchronousMode::Off
        && cluster.sync.as_ref().is_some_and(|sync| sync.value.leader.is_some());
    if is_synchronous && !members::is_listed_in_sync(cluster, candidate) {
        let question = format!(
            "{candidate} is not synchronous: it may lack acknowledged commits. \
             Fail over to this asynchronous node all the same?"
        );
        if !terminal::confirm(&question).await? {
            bail!("nothing was done: the failover was not confirmed");
        }
    }
    let demoting = leader_name(cluster).map(|leader| format!(", demoting current leader {leader}"));
    let demoting = demoting.unwrap_or_default();
    let question = format!("Fail cluster {scope} over to {candidate}{demoting}?");
    if !terminal::confirm(&question).await? {
        bail!("nothing was done: the failover was not confirmed");
    }
    Ok(())
}
