//! `reload`: members read their configuration again.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hyper::Method;

use super::rest::{Answer, Call};
use super::selection::{self, RoleArg};
use super::session::Session;
use super::terminal::{self, End};
use super::{handover, members};
use crate::cluster::Member;

/// How long a member may take to answer: it only notes the request.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// The arguments of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Name of the cluster.
    pub cluster_name: String,
    /// Names of members; all where none is given.
    pub member_names: Vec<String>,
    /// Only members that play this part.
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: RoleArg,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: ReloadArgs) -> anyhow::Result<()> {
    let cluster = session.store(&args.cluster_name)?.read().await?;
    handover::show(&cluster, &args.cluster_name)?;
    let selected = selection::select(&cluster, args.role, &args.member_names)?;
    let names = selected.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    if !args.force && !terminal::confirm(&format!("Reload members {names}?")).await? {
        bail!("nothing was done: the reload was not confirmed");
    }
    let seconds = members::dynamic(&cluster).loop_wait.as_secs();
    let mut failed = false;
    for member in selected {
        let name = &member.name;
        let line = match reload(session, member).await {
            Ok(Answer { status: 202, .. }) => {
                format!("Reload request received for member {name}, done within {seconds} seconds")
            }
            Ok(Answer { status: 200, .. }) => format!("No changes to apply on member {name}"),
            Ok(Answer { status, text }) => {
                failed = true;
                format!("Failed: reload for member {name}, status code={status}, ({text})")
            }
            Err(error) => {
                failed = true;
                format!("Failed: reload for member {name}, {error:#}")
            }
        };
        terminal::print(&format!("{line}\n"))?;
    }
    if failed { Err(End::Refused.into()) } else { Ok(()) }
}

async fn reload(session: &Session, member: &Member) -> anyhow::Result<Answer> {
    let Some(api_url) = member.api_url.as_deref() else {
        bail!("it publishes no REST address");
    };
    let call = Call {
        method: Method::POST,
        api_url,
        path: "/reload",
        body: None,
        credentials: session.credentials(),
        within: ANSWER_BOUND,
    };
    Ok(call.send().await?)
}
