//! `restart`: members' servers are stopped and started again.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use hyper::Method;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use super::rest::{Answer, Call};
use super::selection::{self, RoleArg};
use super::session::Session;
use super::terminal::{self, End};
use super::{handover, members};
use crate::cluster::{Cluster, Member};
use crate::config::parse_duration;

/// How much longer than the restart itself an answer may take.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);

/// The arguments of `restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Name of the cluster.
    pub cluster_name: String,
    /// Names of members; all where none is given.
    pub member_names: Vec<String>,
    /// Only members that play this part.
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: RoleArg,
    /// Restart one member alone, chosen at random.
    #[arg(long)]
    pub any: bool,
    /// Restart only where the server is older than this version, such as 15.7.
    #[arg(long)]
    pub pg_version: Option<String>,
    /// Restart only where a setting waits for it.
    #[arg(long)]
    pub pending: bool,
    /// How long one restart may take: seconds, or with a unit as 1min; primary_start_timeout else.
    #[arg(long)]
    pub timeout: Option<String>,
    /// When; only now is possible yet.
    #[arg(long)]
    pub scheduled: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: RestartArgs) -> anyhow::Result<()> {
    if args.scheduled.as_deref().is_some_and(|when| when != "now") {
        bail!("a restart cannot be scheduled yet: run this when it is to be done");
    }
    let cluster = session.store(&args.cluster_name)?.read().await?;
    handover::show(&cluster, &args.cluster_name)?;
    let selected = chosen(&cluster, &args)?;
    if selected.is_empty() {
        return terminal::print("No setting waits for a restart: nothing to do\n");
    }
    let names = selected.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    if !args.force && !terminal::confirm(&format!("Restart members {names}?")).await? {
        bail!("nothing was done: the restart was not confirmed");
    }
    let body = body(&args);
    let within = match &args.timeout {
        Some(text) => parse_duration(&Value::from(text.as_str()))
            .with_context(|| format!("--timeout is {text:?}: expected seconds, or as 30s"))?,
        None => {
            let dynamic = members::dynamic(&cluster);
            dynamic.primary_start_timeout.max(dynamic.ttl)
        }
    };
    let mut failed = false;
    for member in selected {
        let name = &member.name;
        let line = match restart(session, member, &body, within + ANSWER_MARGIN).await {
            Ok(Answer { status: 200, .. }) => format!("Success: restart on member {name}"),
            Ok(Answer { status, text }) => {
                failed = true;
                format!("Failed: restart for member {name}, status code={status}, ({text})")
            }
            Err(error) => {
                failed = true;
                format!("Failed: restart for member {name}, {error:#}")
            }
        };
        terminal::print(&format!("{line}\n"))?;
    }
    if failed { Err(End::Refused.into()) } else { Ok(()) }
}

fn chosen<'a>(cluster: &'a Cluster, args: &RestartArgs) -> anyhow::Result<Vec<&'a Member>> {
    let mut selected = selection::select(cluster, args.role, &args.member_names)?;
    if args.pending {
        selected.retain(|member| member.other.get("pending_restart") == Some(&Value::Bool(true)));
    }
    if args.any {
        selected = selected.choose(&mut rand::rng()).copied().into_iter().collect();
    }
    Ok(selected)
}

fn body(args: &RestartArgs) -> Value {
    let mut body = Map::new();
    if let Some(version) = &args.pg_version {
        body.insert("postgres_version".to_owned(), json!(version));
    }
    if args.pending {
        body.insert("restart_pending".to_owned(), json!(true));
    }
    if let Some(timeout) = &args.timeout {
        body.insert("timeout".to_owned(), json!(timeout));
    }
    Value::Object(body)
}

async fn restart(
    session: &Session,
    member: &Member,
    body: &Value,
    within: Duration,
) -> anyhow::Result<Answer> {
    let Some(api_url) = member.api_url.as_deref() else {
        bail!("it publishes no REST address");
    };
    let call = Call {
        method: Method::POST,
        api_url,
        path: "/restart",
        body: Some(body.clone()),
        credentials: session.credentials(),
        within,
    };
    Ok(call.send().await?)
}
