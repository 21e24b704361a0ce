//! `version`: this program's, and those of a cluster's agents and servers.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::rest::Call;
use super::selection::{self, RoleArg};
use super::session::{Session, SessionOptions};
use super::terminal;
use crate::cluster::Member;

/// How long a member may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// The arguments of `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Name of the cluster; without it only the version of this program is printed.
    pub cluster_name: Option<String>,
    /// Names of members; all where none is given.
    pub member_names: Vec<String>,
}

pub(super) async fn run(options: &SessionOptions, args: VersionArgs) -> anyhow::Result<()> {
    terminal::print(&format!("pgbaton ctl version {}\n", env!("CARGO_PKG_VERSION")))?;
    let Some(scope) = &args.cluster_name else { return Ok(()) };
    let session = Session::open(options)?;
    let cluster = session.store(scope)?.read().await?;
    terminal::print("\n")?;
    for member in selection::select(&cluster, RoleArg::Any, &args.member_names)? {
        let line = match ask(&session, member).await {
            Ok(document) => versions(&document),
            Err(error) => format!("failed to get version: {error:#}"),
        };
        terminal::print(&format!("{}: {line}\n", member.name))?;
    }
    Ok(())
}

async fn ask(session: &Session, member: &Member) -> anyhow::Result<Value> {
    let Some(api_url) = member.api_url.as_deref() else {
        bail!("it publishes no REST address");
    };
    let call = Call {
        method: Method::GET,
        api_url,
        path: "/patroni",
        body: None,
        credentials: session.credentials(),
        within: ANSWER_BOUND,
    };
    let answer = call.send().await?;
    serde_json::from_str(&answer.text).context("its answer is no JSON")
}

/// The versions in a member's status document; an agent of ours says its own besides.
fn versions(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let agent = match (text("/pgbaton/version"), text("/patroni/version")) {
        (Some(own), _) => format!("pgbaton {own}"),
        (None, Some(patroni)) => format!("Patroni {patroni}"),
        (None, None) => "Patroni of an unknown version".to_owned(),
    };
    let server = document.get("server_version").and_then(Value::as_u64).filter(|one| *one > 0);
    match server {
        Some(number) => format!("{agent} PostgreSQL {}", postgresql_version(number)),
        None => agent,
    }
}

/// `160004` is 16.4, `90624` is 9.6.24.
fn postgresql_version(number: u64) -> String {
    match number {
        0..100_000 => format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100),
        _ => format!("{}.{}", number / 10_000, number % 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_spelled_as_people_do() {
        for (document, expected) in [
            (
                json!({"patroni": {"version": "4.1.5"}, "server_version": 160004}),
                "Patroni 4.1.5 PostgreSQL 16.4",
            ),
            (
                json!({"patroni": {"version": "4.1.5"}, "server_version": 90624}),
                "Patroni 4.1.5 PostgreSQL 9.6.24",
            ),
            (json!({"patroni": {"version": "4.1.5"}, "server_version": 0}), "Patroni 4.1.5"),
            (
                json!({"patroni": {"version": "4.1.5"}, "pgbaton": {"version": "0.1.0"},
                       "server_version": 150018}),
                "pgbaton 0.1.0 PostgreSQL 15.18",
            ),
            (json!([]), "Patroni of an unknown version"),
        ] {
            assert_eq!(versions(&document), expected);
        }
    }
}
