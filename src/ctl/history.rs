//! `history`: the timelines that ended, and who began the next.

use clap::Args;
use serde_json::Value;

use super::output::{Format, Records, left, right};
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, HistoryEntry};

/// The arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

pub(super) async fn run(session: &Session, args: HistoryArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let cluster = session.store(&scope)?.read().await?;
    terminal::print(&render(&cluster, args.format))
}

/// The history of a cluster in one format.
pub fn render(cluster: &Cluster, format: Format) -> String {
    let headings =
        vec![right("TL"), right("LSN"), left("Reason"), left("Timestamp"), left("New Leader")];
    let cells = |entry: &HistoryEntry| {
        let new_leader = entry.new_leader.as_ref().map(|name| name.as_str().to_owned());
        vec![
            Value::from(entry.timeline),
            Value::from(entry.lsn.0),
            Value::from(entry.reason.clone()),
            Value::from(entry.timestamp.clone().unwrap_or_default()),
            Value::from(new_leader.unwrap_or_default()),
        ]
    };
    let entries = cluster.history.iter().flat_map(|history| &history.value);
    let records = Records { headings, rows: entries.map(cells).collect(), omits_empty: false };
    records.write(format, None)
}
