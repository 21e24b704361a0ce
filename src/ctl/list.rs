//! `list`: the members of one or more clusters.

use clap::Args;
use serde_json::Value;

use super::members::{self, MemberRow, Position};
use super::output::{Format, Records, left};
use super::refresh::{self, RefreshArgs};
use super::session::Session;
use super::table::{Align, Heading};
use super::terminal;
use crate::cluster::{Cluster, Initialize};

/// A line of a reason that is longer is not shown to people.
const REASON_WIDTH_MAX: usize = 50;

const HELP: &str = "\
TL is the timeline. Receive LSN and Replay LSN are how far a standby has come, each followed by
how far that lies behind the leader, in MB. Unfit, where there is anything to say, is why a member
is not chosen as the leader.

Examples:
  pgbaton ctl -c node.yml list
  pgbaton ctl -c node.yml list -W               refresh every 2 seconds, until Ctrl-C
  pgbaton ctl -c node.yml list -f json | jq -r '.[] | select(.Role == \"Leader\") | .Host'";

/// The arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ListArgs {
    /// Names of clusters; else the `scope` of the configuration.
    pub cluster_names: Vec<String>,
    /// Show pending and scheduled restarts and tags also where there are none.
    #[arg(short, long)]
    pub extended: bool,
    /// Print the local time first.
    #[arg(short, long)]
    pub timestamp: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
    /// How often.
    #[command(flatten)]
    pub refresh: RefreshArgs,
}

/// What the columns are to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// All columns, also those without any value.
    pub extended: bool,
}

pub(super) async fn run(session: &Session, args: ListArgs) -> anyhow::Result<()> {
    let scopes = session.scopes(&args.cluster_names)?;
    refresh::repeat(&args.refresh, async || {
        if args.timestamp {
            terminal::print(&format!("{}\n", terminal::local_time("%Y-%m-%d %H:%M:%S")))?;
        }
        for scope in &scopes {
            let cluster = session.store(scope)?.read().await?;
            let options = ListOptions { extended: args.extended };
            terminal::print(&render(&cluster, scope, args.format, options))?;
        }
        Ok(())
    })
    .await
}

/// The members of a cluster in one format.
pub fn render(cluster: &Cluster, scope: &str, format: Format, options: ListOptions) -> String {
    let rows = members::rows(cluster);
    let is_for_people = format == Format::Pretty;
    let columns = columns(&rows, options);
    let heading = |column: &&Column| Heading {
        text: if is_for_people { column.heading } else { column.name },
        align: column.align,
    };
    let mut headings = columns.iter().map(heading).collect::<Vec<_>>();
    let cells = |row: &MemberRow| columns.iter().map(|column| (column.value)(row)).collect();
    let mut cells = rows.iter().map(cells).collect::<Vec<Vec<Value>>>();
    if is_for_people {
        hide_long_reasons(&columns, &mut cells);
    } else {
        headings.insert(0, left("Cluster"));
        cells.iter_mut().for_each(|row| row.insert(0, scope.into()));
    }
    let records = Records { headings, rows: cells, omits_empty: true };
    let title = is_for_people.then(|| title(cluster, scope));
    let footer = if is_for_people { footer(cluster) } else { String::new() };
    records.write(format, title) + &footer
}

/// The members of a cluster as a tree, each below the one it streams from.
pub(super) fn render_tree(cluster: &Cluster, scope: &str, rows: &[MemberRow]) -> String {
    let columns = columns(rows, ListOptions::default());
    let headings = columns.iter().map(|one| Heading { text: one.heading, align: one.align });
    let on_one_line = |value: Value| match value {
        Value::Object(_) => super::yaml_text::flow(&value).into(),
        other => other,
    };
    let cell = |row: &MemberRow, column: &&Column| on_one_line((column.value)(row));
    let cells = |row: &MemberRow| columns.iter().map(|column| cell(row, column)).collect();
    let mut cells = rows.iter().map(cells).collect::<Vec<Vec<Value>>>();
    hide_long_reasons(&columns, &mut cells);
    let records = Records { headings: headings.collect(), rows: cells, omits_empty: true };
    records.write(Format::Pretty, Some(title(cluster, scope))) + &footer(cluster)
}

struct Column {
    /// Its name for programs.
    name: &'static str,
    /// Its name for people.
    heading: &'static str,
    align: Align,
    value: fn(&MemberRow) -> Value,
    /// Shown only where any member has a value, or when asked for.
    is_extra: bool,
}

const fn column(
    name: &'static str,
    heading: &'static str,
    align: Align,
    value: fn(&MemberRow) -> Value,
) -> Column {
    Column { name, heading, align, value, is_extra: false }
}

const fn extra(name: &'static str, value: fn(&MemberRow) -> Value) -> Column {
    Column { name, heading: name, align: Align::Left, value, is_extra: true }
}

const REASON: &str = "Pending restart reason";

/// Not among Patroni's: where nobody has a value, it is not there.
const UNFIT: &str = "Unfit";

const COLUMNS: [Column; 14] = [
    column("Member", "Member", Align::Left, |row| row.name.clone().into()),
    column("Host", "Host", Align::Left, |row| row.host.clone().into()),
    column("Role", "Role", Align::Left, |row| row.role.into()),
    column("State", "State", Align::Left, |row| row.state.clone().into()),
    column("TL", "TL", Align::Right, |row| or_empty(row.timeline.map(u64::from))),
    column("Receive LSN", "Receive LSN", Align::Right, |row| row.received.lsn.clone().into()),
    column("Receive Lag", "Lag", Align::Right, |row| lag(&row.received)),
    column("Replay LSN", "Replay LSN", Align::Right, |row| row.replayed.lsn.clone().into()),
    column("Replay Lag", "Lag", Align::Right, |row| lag(&row.replayed)),
    extra("Pending restart", |row| if row.pending_restart { "*" } else { "" }.into()),
    extra(REASON, |row| row.pending_reasons.join("\n").into()),
    extra("Scheduled restart", |row| row.scheduled_restart.clone().into()),
    extra(UNFIT, |row| row.unfit.clone().into()),
    extra("Tags", |row| match row.tags.is_empty() {
        true => "".into(),
        false => Value::Object(row.tags.clone()),
    }),
];

fn columns(rows: &[MemberRow], options: ListOptions) -> Vec<&'static Column> {
    let has_value =
        |column: &Column| rows.iter().any(|row| !row.host.is_empty() && (column.value)(row) != "");
    let is_asked_for = |column: &Column| options.extended && column.name != UNFIT;
    let is_shown = |column: &&Column| !column.is_extra || is_asked_for(column) || has_value(column);
    COLUMNS.iter().filter(is_shown).collect()
}

fn or_empty(number: Option<u64>) -> Value {
    number.map_or_else(|| "".into(), Value::from)
}

fn lag(position: &Position) -> Value {
    or_empty(position.lag_mb)
}

fn hide_long_reasons(columns: &[&Column], rows: &mut [Vec<Value>]) {
    let Some(index) = columns.iter().position(|column| column.name == REASON) else { return };
    for row in rows {
        let Some(reasons) = row[index].as_str() else { continue };
        let shown = reasons.lines().map(|line| match line.split_once(':') {
            Some((setting, _)) if line.chars().count() > REASON_WIDTH_MAX => {
                format!("{setting}: [hidden - too long]")
            }
            _ => line.to_owned(),
        });
        row[index] = shown.collect::<Vec<_>>().join("\n").into();
    }
}

fn title(cluster: &Cluster, scope: &str) -> String {
    let system_id = match cluster.initialize.as_ref().map(|initialize| initialize.value) {
        None => "uninitialized".to_owned(),
        Some(Initialize::Claimed) => "initializing".to_owned(),
        Some(Initialize::Done(id)) => id.to_string(),
    };
    format!(" Cluster: {scope} ({system_id}) ")
}

fn footer(cluster: &Cluster) -> String {
    let mut lines = String::new();
    if members::dynamic(cluster).pause {
        lines.push_str(" Maintenance mode: on\n");
    }
    let request = cluster.pending_request();
    if let Some((request, at)) = request.and_then(|one| Some((one, one.scheduled_at.as_ref()?))) {
        lines.push_str(&format!(" Switchover scheduled at: {at}\n"));
        for (word, name) in [("from", &request.leader), ("to", &request.candidate)] {
            if let Some(name) = name {
                lines.push_str(&format!("{word:>24}: {name}\n"));
            }
        }
    }
    lines
}
