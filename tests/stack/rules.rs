//! The alert rules in a Prometheus that scrapes the stack. `tests/alerts.rs` has `promtool` try each of them on
//! made-up series; here they meet the real ones.

use std::collections::BTreeSet;
use std::time::Duration;

use super::prometheus;
use super::stack::{NODES, Stack};
use super::support::wait::wait_until;

/// The longest pause before an alert of those waited for, three scrapes, and a busy machine.
const ALERT_BOUND: Duration = Duration::from_secs(60);

/// Until Prometheus fires an alert, or none of that name.
#[track_caller]
pub fn wait_for_alert(stack: &Stack, name: &str, fires: bool) {
    let query = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}");
    let what = format!("{name} {}", if fires { "fires" } else { "is resolved" });
    wait_until(&what, ALERT_BOUND, || prometheus::now(stack, &query).is_empty() != fires);
}

/// The words of an expression that are names of metrics.
fn metrics(expression: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = expression.split(|letter| !is_part(letter));
    let starts = ["pgbaton_", "patroni_", "haproxy_", "up"];
    words
        .filter(|word| starts.iter().any(|start| word.starts_with(start)) && *word != "upper")
        .map(str::to_owned)
        .collect()
}

pub fn every_alert_asks_for_what_there_is(stack: &Stack) {
    let alerts = prometheus::alerts(stack);
    assert!(alerts.len() >= 10, "{alerts:?}");
    let known: BTreeSet<String> = prometheus::names(stack).into_iter().collect();
    for (name, expression) in &alerts {
        let wanted = metrics(expression);
        assert!(!wanted.is_empty(), "{name}: no metric in {expression}");
        for metric in wanted {
            assert!(known.contains(&metric), "{name} asks for {metric}, which nobody exports");
        }
        // It can be asked; that a cluster that is well has none of these is below.
        let _ = prometheus::now(stack, expression);
    }
    for quiet in
        ["PgbatonNoLeader", "PgbatonSeveralPrimaries", "PgbatonNotFenced", "PgbatonNoWayIn"]
    {
        let firing = format!("ALERTS{{alertname=\"{quiet}\",alertstate=\"firing\"}}");
        let ever = prometheus::over_time(stack, &firing);
        assert!(ever.is_empty(), "{quiet} fired: {ever:?}");
    }
}

pub fn all_stopped_is_alerted_and_comes_back(stack: &Stack) {
    stack.tell(&["stop"], &NODES);
    wait_for_alert(stack, "PgbatonNoLeader", true);
    wait_for_alert(stack, "PgbatonNoWayIn", true);
    stack.tell(&["start"], &NODES);
    stack.settle();
    wait_for_alert(stack, "PgbatonNoLeader", false);
    wait_for_alert(stack, "PgbatonNoWayIn", false);
}
