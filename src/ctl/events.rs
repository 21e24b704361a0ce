//! `events`: what the members decided and did, and why, on one time line.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures_util::future::join_all;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::output::{Format, Records, json_text, left, right};
use super::rest::Call;
use super::selection::{self, RoleArg};
use super::session::Session;
use super::{terminal, yaml_text};
use crate::cluster::Member;

/// How long a member may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(5);

const HELP: &str = "\
Each agent keeps its last 1000 events on its disk, also over restarts. Times are each member's own
clock, in UTC; T+ counts from the first line.

Examples:
  pgbaton ctl -c node.yml events --since 15m                why did it fail over?
  pgbaton ctl -c node.yml events --kind lease,leader,promotion,guardian
  pgbaton ctl -c node.yml events --member pg-a --facts      what did it know when it decided?
  pgbaton ctl -c node.yml events -f json | jq '.[] | select(.error)'";

/// The arguments of `events`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct EventsArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// Only from then on: 2026-03-02T08:15:44Z, Unix seconds, or how long ago (90s, 15m, 2h, 1d).
    #[arg(short, long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only of this member; may be given several times.
    #[arg(short, long, value_name = "NAME")]
    pub member: Vec<String>,
    /// Only of these kinds: agent, decision, step, server, lease, leader, promotion, guardian, loss.
    #[arg(long, value_name = "KIND,...")]
    pub kind: Option<String>,
    /// Only the latest so many; 0 for all.
    #[arg(short = 'n', long, default_value_t = 200)]
    pub limit: usize,
    /// Also print the facts that a decision was made of.
    #[arg(long)]
    pub facts: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

/// One event and whose it is.
#[derive(Clone, Debug)]
pub struct MemberEvent {
    /// The member.
    pub member: String,
    /// The event, as the member tells it.
    pub event: Map<String, Value>,
}

pub(super) async fn run(session: &Session, args: EventsArgs) -> anyhow::Result<()> {
    let path = path(&args, Timestamp::now().as_microsecond())?;
    let scope = session.scope(args.cluster_name.as_deref())?;
    let cluster = session.store(&scope)?.read().await?;
    let members = selection::select(&cluster, RoleArg::Any, &args.member)?;
    let asked = members.iter().map(|member| ask(session, member, &path));
    let (mut events, mut answered) = (Vec::new(), 0);
    for (member, answer) in members.iter().zip(join_all(asked).await) {
        match answer {
            Ok(told) => {
                answered += 1;
                events.extend(told);
            }
            Err(error) => {
                eprintln!("Warning: {}: its events are missing: {error:#}", member.name);
            }
        }
    }
    if answered == 0 {
        bail!("no member answered");
    }
    sort(&mut events);
    let surplus = if args.limit == 0 { 0 } else { events.len().saturating_sub(args.limit) };
    if surplus > 0 {
        events.drain(..surplus);
        eprintln!("Note: {surplus} earlier events are left out; --limit 0 prints all");
    }
    terminal::print(&render(&events, args.format, args.facts))
}

fn path(args: &EventsArgs, now_micros: i64) -> anyhow::Result<String> {
    let mut query = Vec::new();
    if let Some(text) = &args.since {
        let micros = crate::api::moment_micros(text, now_micros).map_err(anyhow::Error::msg);
        let micros = micros.context("--since")?;
        query.push(format!("since={}.{:06}", micros / 1_000_000, micros % 1_000_000));
    }
    if let Some(kinds) = &args.kind {
        let is_word = |letter: char| letter.is_ascii_lowercase() || letter == ',';
        if !kinds.chars().all(is_word) {
            bail!("--kind: expected words with commas between them, such as lease,promotion");
        }
        query.push(format!("kind={kinds}"));
    }
    Ok(format!("/pgbaton/events?{}", query.join("&")))
}

async fn ask(session: &Session, member: &Member, path: &str) -> anyhow::Result<Vec<MemberEvent>> {
    let Some(api_url) = member.api_url.as_deref() else {
        bail!("it publishes no REST address");
    };
    let credentials = session.credentials();
    let call =
        Call { method: Method::GET, api_url, path, body: None, credentials, within: ANSWER_BOUND };
    let answer = call.send().await?;
    if answer.status != 200 {
        bail!("it answered {}: {}", answer.status, answer.text);
    }
    let document: Value = serde_json::from_str(&answer.text).context("its answer is no JSON")?;
    // Patroni takes the path for a health check and answers with its status.
    let Some(Value::Array(events)) = document.get("events") else {
        bail!("its agent keeps no events");
    };
    let objects = events.iter().filter_map(Value::as_object);
    let name = member.name.to_string();
    Ok(objects.map(|event| MemberEvent { member: name.clone(), event: event.clone() }).collect())
}

/// By their time; what a member says happened in the same moment stays in its order.
fn sort(events: &mut [MemberEvent]) {
    let order = |one: &MemberEvent| {
        let seq = one.event.get("seq").and_then(Value::as_u64).unwrap_or_default();
        (micros(one), one.member.clone(), seq)
    };
    events.sort_by_cached_key(order);
}

fn micros(event: &MemberEvent) -> i64 {
    event.event.get("at_micros").and_then(Value::as_i64).unwrap_or_default()
}

/// Events in one format, in the order in which they come.
pub fn render(events: &[MemberEvent], format: Format, with_facts: bool) -> String {
    match format {
        Format::Pretty => time_line(events, with_facts),
        Format::Tsv => {
            let headings = ["Time", "Member", "Kind", "What", "Why"].map(left).to_vec();
            let mut headings = headings;
            headings.insert(4, right("Seconds"));
            let cells = |one: &MemberEvent| {
                let why = why(one, with_facts).replace(['\t', '\n'], " ");
                let seconds = one.event.get("seconds").cloned().unwrap_or_else(|| "".into());
                let time = text(one, "at").into();
                let words = [text(one, "kind").into(), text(one, "what").into()];
                let [kind, what] = words;
                vec![time, one.member.clone().into(), kind, what, seconds, why.into()]
            };
            let rows = events.iter().map(cells).collect();
            Records { headings, rows, omits_empty: true }.write(format, None)
        }
        Format::Json => json_text(&objects(events)) + "\n",
        Format::Yaml => yaml_text::block(&objects(events)) + "\n",
    }
}

fn objects(events: &[MemberEvent]) -> Value {
    let object = |one: &MemberEvent| {
        let mut object = Map::new();
        object.insert("member".to_owned(), one.member.clone().into());
        object.extend(one.event.clone());
        Value::Object(object)
    };
    events.iter().map(object).collect()
}

/// Lines for people: moment, member, what happened, and why.
fn time_line(events: &[MemberEvent], with_facts: bool) -> String {
    let first = events.first().map_or(0, micros);
    let widest =
        |text: fn(&MemberEvent) -> usize| events.iter().map(text).max().unwrap_or_default();
    let member = widest(|one| one.member.chars().count()).max("Member".len());
    let what = widest(|one| text(one, "what").chars().count()).max("What".len());
    let mut lines = format!(
        "{:<27} {:>10}  {:<member$}  {:<9}  {:<what$}  {:>9}  Why\n",
        "Time (UTC)", "T+", "Member", "Kind", "What", "Took"
    );
    for one in events {
        let since = (micros(one) - first) as f64 / 1e6;
        let took = match one.event.get("seconds").and_then(Value::as_f64) {
            Some(seconds) if text(one, "kind") == "step" => format!("{seconds:.3} s"),
            _ => String::new(),
        };
        let line = format!(
            "{:<27} {since:>+10.3}  {:<member$}  {:<9}  {:<what$}  {took:>9}  {}",
            text(one, "at"),
            one.member,
            text(one, "kind"),
            text(one, "what"),
            why(one, with_facts),
        );
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// On one line: what failed or is particular, what is asked for, what mattered.
fn why(one: &MemberEvent, with_facts: bool) -> String {
    let mut parts = Vec::new();
    for (name, before) in [("error", "failed: "), ("detail", "")] {
        let said = text(one, name).replace('\n', " ");
        if !said.is_empty() {
            parts.push(format!("{before}{said}"));
        }
    }
    if let Some(effects) = one.event.get("effects").and_then(Value::as_array) {
        let effects: Vec<&str> = effects.iter().filter_map(Value::as_str).collect();
        parts.push(format!("-> {}", effects.join(", ")));
    }
    let is_decision = text(one, "kind") == "decision";
    if let Some(seconds) = one.event.get("seconds").and_then(Value::as_f64)
        && is_decision
    {
        parts.push(format!("[the one before lasted {seconds:.3} s]"));
    }
    let facts = one.event.get("facts").and_then(Value::as_object);
    // What a guardian did is in its detail, word for word.
    let is_deed = text(one, "kind") == "guardian" && text(one, "what") != "strength";
    let is_told = is_decision || is_deed;
    if let Some(facts) = facts.filter(|_| with_facts || !is_told) {
        parts.push(
            facts.iter().map(|(name, value)| fact(name, value)).collect::<Vec<_>>().join(" "),
        );
    }
    if let Some(times) = one.event.get("times").and_then(Value::as_u64) {
        parts.push(format!("({times} times by now)"));
    }
    parts.join("  ")
}

fn fact(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(' ') => format!("{name}={text}"),
        other => format!("{name}={other}"),
    }
}

fn text<'a>(one: &'a MemberEvent, name: &str) -> &'a str {
    one.event.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(since: Option<&str>, kind: Option<&str>) -> EventsArgs {
        EventsArgs {
            cluster_name: None,
            since: since.map(str::to_owned),
            member: Vec::new(),
            kind: kind.map(str::to_owned),
            limit: 0,
            facts: false,
            format: Format::Pretty,
        }
    }

    #[test]
    fn what_is_asked_of_a_member_is_what_was_typed() {
        let now = 1_772_439_400_000_000;
        let asked = path(&args(Some("15m"), Some("lease,promotion")), now).unwrap();
        assert_eq!(asked, "/pgbaton/events?since=1772438500.000000&kind=lease,promotion");
        assert_eq!(path(&args(None, None), now).unwrap(), "/pgbaton/events?");
        assert!(path(&args(Some("then"), None), now).is_err());
        assert!(path(&args(None, Some("lease&limit=1")), now).is_err());
    }
}
