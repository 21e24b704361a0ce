//! What a drill has shown: each scenario's time line, what clients saw, and the verdict.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::checks::Check;
use super::scenario::Scenario;
use super::timeline::Line;
use crate::traffic::Report;

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Which.
    pub scenario: Scenario,
    /// Why it was not played, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_played_because: Option<String>,
    /// Whether all checks passed.
    pub passed: bool,
    /// Who led before.
    pub leader_before: Option<String>,
    /// Who leads at the end.
    pub leader_after: Option<String>,
    /// What had to be so.
    pub checks: Vec<Check>,
    /// What happened.
    pub timeline: Vec<Line>,
    /// Agents that did not tell what they had noted.
    pub agents_without_events: Vec<String>,
    /// Everything that the agents noted.
    pub events: Value,
    /// What clients saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Report>,
}

impl Outcome {
    /// A scenario that this cluster has nothing for.
    pub fn not_played(scenario: Scenario, why: String) -> Self {
        Self {
            scenario,
            not_played_because: Some(why),
            passed: true,
            leader_before: None,
            leader_after: None,
            checks: Vec::new(),
            timeline: Vec::new(),
            agents_without_events: Vec::new(),
            events: Value::Array(Vec::new()),
            clients: None,
        }
    }

    fn verdict(&self) -> &'static str {
        match (&self.not_played_because, self.passed) {
            (Some(_), _) => "not played",
            (None, true) => "passed",
            (None, false) => "FAILED",
        }
    }
}

/// One scenario for people; the last line ends with a line break.
pub fn text(outcome: &Outcome) -> String {
    let mut text = format!("\n{}: {}\n", outcome.scenario, outcome.verdict());
    // Writing to a string cannot fail.
    if let Some(why) = &outcome.not_played_because {
        let _ = writeln!(text, "  {why}");
        return text;
    }
    let who = outcome.timeline.iter().map(|line| line.who.chars().count()).max().unwrap_or(0);
    for line in &outcome.timeline {
        let sign = if line.at_seconds < 0.0 { '-' } else { '+' };
        let at = line.at_seconds.abs();
        let _ = writeln!(text, "  T{sign}{at:<8.3} {:<who$}  {}", line.who, line.what);
    }
    if !outcome.agents_without_events.is_empty() {
        let silent = outcome.agents_without_events.join(", ");
        let _ = writeln!(text, "  no events were to be had of {silent}");
    }
    if let Some(clients) = &outcome.clients {
        for (name, lane) in [("writes", &clients.writes), ("reads", &clients.reads)] {
            let Some(lane) = lane else { continue };
            let (latency, errors) = (lane.latency_ms, lane.failed + lane.unknown);
            let _ = writeln!(
                text,
                "  clients: {} {name}, {errors} in error, p50 {:.1} ms, p99 {:.1} ms, max {:.0} ms",
                lane.requests, latency.p50, latency.p99, latency.max
            );
        }
    }
    for check in &outcome.checks {
        let mark = if check.passed { "ok  " } else { "FAIL" };
        let _ = writeln!(text, "  {mark}  {}", check.what);
    }
    text
}

/// The last lines: one for each scenario, and the sum.
pub fn summary(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\n");
    for outcome in outcomes {
        let name = outcome.scenario.to_string();
        let _ = writeln!(text, "  {name:<13} {}", outcome.verdict());
    }
    let count = |wanted: &str| outcomes.iter().filter(|it| it.verdict() == wanted).count();
    let _ = writeln!(
        text,
        "\n{} passed, {} failed, {} not played",
        count("passed"),
        count("FAILED"),
        count("not played")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sample_report;

    #[test]
    fn a_scenario_is_told_with_its_times_and_its_verdict() {
        let line = |at_seconds, who: &str, what: &str| Line {
            at_seconds,
            who: who.to_owned(),
            what: what.to_owned(),
        };
        let outcome = Outcome {
            not_played_because: None,
            passed: false,
            checks: vec![Check { passed: false, what: "writes paused".to_owned() }],
            timeline: vec![line(-0.005, "clients", "last write"), line(0.0, "drill", "stop")],
            clients: Some(sample_report(0, 3)),
            ..Outcome::not_played(Scenario::PrimaryStop, String::new())
        };
        let expected = "
primary-stop: FAILED
  T-0.005    clients  last write
  T+0.000    drill    stop
  clients: 100 writes, 3 in error, p50 1.0 ms, p99 1.0 ms, max 1 ms
  clients: 100 reads, 0 in error, p50 1.0 ms, p99 1.0 ms, max 1 ms
  FAIL  writes paused
";
        assert_eq!(text(&outcome), expected);
        let other = Outcome::not_played(Scenario::EtcdTwo, "needs 3 members".to_owned());
        assert_eq!(text(&other), "\netcd-two: not played\n  needs 3 members\n");
        let expected = "
  primary-stop  FAILED
  etcd-two      not played

0 passed, 1 failed, 1 not played
";
        assert_eq!(summary(&[outcome, other]), expected);
    }
}
