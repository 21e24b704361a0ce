//! `topology`: the members of one or more clusters as the tree that they stream in.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::list::render_tree;
use super::members::{self, MemberRow};
use super::refresh::{self, RefreshArgs};
use super::session::Session;
use super::terminal;
use crate::cluster::Cluster;

/// The arguments of `topology`.
#[derive(Debug, Args)]
pub struct TopologyArgs {
    /// Names of clusters; else the `scope` of the configuration.
    pub cluster_names: Vec<String>,
    /// How often.
    #[command(flatten)]
    pub refresh: RefreshArgs,
}

pub(super) async fn run(session: &Session, args: TopologyArgs) -> anyhow::Result<()> {
    let scopes = session.scopes(&args.cluster_names)?;
    refresh::repeat(&args.refresh, async || {
        for scope in &scopes {
            let cluster = session.store(scope)?.read().await?;
            terminal::print(&render(&cluster, scope))?;
        }
        Ok(())
    })
    .await
}

/// The members of a cluster as a tree: the leader first, each standby below the one it streams from.
/// Members whose tags send them round in a circle are not in it.
pub fn render(cluster: &Cluster, scope: &str) -> String {
    let rows = members::rows(cluster);
    let leader = rows.iter().find(|row| row.is_leader());
    let leader_name = leader.map(|row| row.name.as_str()).unwrap_or_default();
    let mut below: BTreeMap<&str, Vec<&MemberRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.is_leader()) {
        below.entry(upstream(row, &rows).unwrap_or(leader_name)).or_default().push(row);
    }
    let mut tree = leader.cloned().into_iter().collect();
    add_below(leader_name, 0, &below, &mut tree);
    render_tree(cluster, scope, &tree)
}

/// The standby that a member is told to stream from.
fn upstream<'a>(row: &MemberRow, rows: &'a [MemberRow]) -> Option<&'a str> {
    let wanted = row.tags.get("replicatefrom").and_then(Value::as_str)?;
    let is_upstream =
        |one: &&MemberRow| one.name == wanted && one.name != row.name && !one.is_leader();
    rows.iter().find(is_upstream).map(|one| one.name.as_str())
}

fn add_below(
    name: &str,
    depth: usize,
    below: &BTreeMap<&str, Vec<&MemberRow>>,
    tree: &mut Vec<MemberRow>,
) {
    for row in below.get(name).into_iter().flatten() {
        let shown = format!("{}+ {}", " ".repeat(2 * depth), row.name);
        tree.push(MemberRow { name: shown, ..(*row).clone() });
        add_below(&row.name, depth + 1, below, tree);
    }
}
