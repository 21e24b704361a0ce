//! `recover`: a person accepts that a store which was emptied, or put back to an earlier state, is gone on
//! with.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::rest::Call;
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, Recovered};
use crate::dcs::txns;
use crate::values::{Revision, Term};

const HELP: &str = "\
Members that know of a later term than the store wait: `pgbaton ctl list` and their log say so. First make
sure that no former primary still runs anywhere that cannot be reached from here. Then the member with
the most log leads, in a term after the accepted one; what only others had is lost.

Examples:
  pgbaton ctl -c node.yml recover --accept-term 7";

/// How long a member may take to tell what it knows.
const ONE_MEMBER: Duration = Duration::from_secs(3);

/// The arguments of `recover`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RecoverArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// The latest term that any member has seen: they say which.
    #[arg(long, value_name = "TERM")]
    pub accept_term: u64,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: RecoverArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let store = session.store(&scope)?;
    let cluster = store.read().await?;
    let shown = cluster.term();
    let accepted = Term(args.accept_term);
    if accepted <= shown {
        bail!("there is nothing to accept: the store shows term {shown} already");
    }
    let known = ask_members(session, &cluster).await?;
    if known > accepted {
        bail!("a member has seen term {known}: accept that one, or stop the member first");
    }
    if known < accepted {
        bail!("no member that answers has seen term {accepted}, the latest is {known}");
    }
    if !args.force {
        let question = format!(
            "Go on with this store, which shows term {shown}, and give up what it has forgotten up to \
             term {accepted}?{}",
            synchronous(&cluster)
        );
        if !terminal::confirm(&question).await? {
            bail!("nothing was done: it was not confirmed");
        }
    }
    let by = format!("{}@{}", variable("USER"), variable("HOSTNAME"));
    let at = terminal::local_time("%Y-%m-%dT%H:%M:%S%:z");
    let read_at = cluster.recovered.as_ref().map_or(Revision::ABSENT, |one| one.revision);
    let recovered = Recovered { term: accepted, at, by };
    let reply = store.commit(txns::recovered(read_at, &recovered)).await?;
    if !reply.succeeded {
        bail!("somebody else has accepted a term meanwhile: look, and try again");
    }
    terminal::print(&format!("Accepted up to term {accepted}: the members go on\n"))
}

/// Who the store says has every acknowledged commit: that may be out of date, and is dropped.
fn synchronous(cluster: &Cluster) -> String {
    let names = cluster.sync.iter().flat_map(|sync| &sync.value.standbys);
    let names: Vec<&str> = names.map(|name| name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        " Its synchronous standbys are dropped, too; have these up first: {}.",
        names.join(", ")
    )
}

/// The latest term that any member has seen.
async fn ask_members(session: &Session, cluster: &Cluster) -> anyhow::Result<Term> {
    let mut latest = Term::ZERO;
    for member in cluster.members.values() {
        let Some(api_url) = member.api_url.as_deref() else { continue };
        let (method, path, credentials) = (Method::GET, "/patroni", session.credentials());
        let call = Call { method, api_url, path, body: None, credentials, within: ONE_MEMBER };
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                terminal::print(&format!("{}: {error}\n", member.name))?;
                continue;
            }
        };
        let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let seen = Term(document["pgbaton"]["seen_term"].as_u64().unwrap_or(0));
        terminal::print(&format!("{}: has seen term {seen}\n", member.name))?;
        latest = latest.max(seen);
    }
    Ok(latest)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "unknown".to_owned())
}
