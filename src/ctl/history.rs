//! `history`: the timelines that ended, and who began the next.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::output::{Format, Records, left, right};
use super::session::Session;
use super::terminal;
use crate::cluster::{Cluster, HistoryEntry, Loss};
use crate::values::MemberName;

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
    // Programs get what Patroni prints.
    let losses = if format == Format::Pretty { given_up(cluster) } else { String::new() };
    records.write(format, None) + &losses
}

/// What members gave up of their own log when they came back; empty where nobody did.
fn given_up(cluster: &Cluster) -> String {
    let headings = vec![
        left("Member"),
        right("TL"),
        left("From"),
        left("To"),
        right("Bytes"),
        left("Step"),
        left("Timestamp"),
    ];
    let cells = |name: &MemberName, loss: &Loss| {
        let at_least = if loss.is_exact { "" } else { "at least " };
        let at = Timestamp::from_microsecond(loss.at_micros);
        vec![
            Value::from(name.as_str()),
            Value::from(loss.timeline.0),
            Value::from(loss.from.map_or_else(|| "unknown".to_owned(), |from| from.to_string())),
            Value::from(format!("{at_least}{}", loss.to)),
            Value::from(loss.bytes().map_or_else(String::new, |bytes| bytes.to_string())),
            Value::from(loss.step.as_str()),
            Value::from(at.map_or_else(|_| String::new(), |at| at.to_string())),
        ]
    };
    let of_member = |(name, losses): (&MemberName, &Vec<Loss>)| {
        losses.iter().map(|loss| cells(name, loss)).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Value>> = cluster.losses.iter().flat_map(of_member).collect();
    if rows.is_empty() {
        return String::new();
    }
    let records = Records { headings, rows, omits_empty: false };
    records.write(Format::Pretty, Some(" Log that was given up ".to_owned()))
}
