//! `switchover`: the leader steps down for another member, while both are well.

use anyhow::bail;
use clap::Args;

use super::handover::{self, Handover, Kind};
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, Request};
use crate::config::Dynamic;

const HELP: &str = "\
What is not given is asked for. With --force nothing is asked: the current leader steps down,
for the candidate if one is named, else for the member that is furthest.

Examples:
  pgbaton ctl -c node.yml switchover
  pgbaton ctl -c node.yml switchover --candidate pg-b --force";

/// The arguments of `switchover`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct SwitchoverArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// Who leads now: a guard against switching over twice.
    #[arg(long, visible_alias = "primary", value_name = "NAME")]
    pub leader: Option<String>,
    /// Who is to lead; the best one where nobody is named.
    #[arg(long, value_name = "NAME")]
    pub candidate: Option<String>,
    /// When: `now`. Other times are not available yet.
    #[arg(long, value_name = "TIME")]
    pub scheduled: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: SwitchoverArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let store = session.store(&scope)?;
    let cluster = store.read().await?;
    terminal::print("Members of the cluster now\n")?;
    handover::show(&cluster, &scope)?;
    let leader = leader(&cluster, &args).await?;
    let candidate = candidate(&cluster, &args).await?;
    check_time(&args).await?;
    if !args.force {
        let to = candidate.as_deref().map(|name| format!(" to {name}")).unwrap_or_default();
        let question =
            format!("Switch cluster {scope} over{to}, demoting current leader {leader}?");
        if !terminal::confirm(&question).await? {
            bail!("nothing was done: the switchover was not confirmed");
        }
    }
    let request = Request {
        leader: Some(leader.into()),
        candidate: candidate.map(Into::into),
        scheduled_at: None,
        accepts_loss: false,
    };
    let kind = Kind::Switchover;
    Handover { session, store: &store, scope: &scope, kind, request }.carry_out(&cluster).await
}

/// The current leader, as whoever asks believes it to be.
async fn leader(cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<String> {
    let Some(leader) = cluster.present_leader() else {
        bail!("the cluster has no leader to switch over from (see the command failover)");
    };
    let dynamic: Dynamic = super::members::dynamic(cluster);
    let label = if dynamic.is_standby_cluster() { "Standby Leader" } else { "Primary" };
    let named = match &args.leader {
        Some(named) => named.clone(),
        None if args.force => leader.to_string(),
        None => terminal::ask(label, Some(leader.as_str())).await?,
    };
    if named != leader.as_str() {
        bail!("{named} does not lead: the leader is {leader}");
    }
    Ok(named)
}

/// Who is to take over; `None` for the best.
async fn candidate(cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<Option<String>> {
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
        return Ok(None);
    }
    handover::check_candidate(cluster, &names, &named)?;
    Ok(Some(named))
}

/// Only "now" is there yet.
async fn check_time(args: &SwitchoverArgs) -> anyhow::Result<()> {
    let time = match &args.scheduled {
        Some(time) => time.clone(),
        None if args.force => "now".to_owned(),
        None => {
            let hour_from_now = jiff::Zoned::now().saturating_add(jiff::Span::new().hours(1));
            let example = hour_from_now.strftime("%Y-%m-%dT%H:%M");
            terminal::ask(&format!("When (now, or a time such as {example})"), Some("now")).await?
        }
    };
    if !["", "now"].contains(&time.as_str()) {
        let version = env!("CARGO_PKG_VERSION");
        bail!("a scheduled switchover is not available yet in pgbaton {version}: expected now");
    }
    Ok(())
}
