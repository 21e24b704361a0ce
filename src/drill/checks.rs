//! What a scenario has to show, as a pure function of what was seen. The bounds are those of the promises:
//! `ttl` and what a takeover takes, and the second that HAProxy may need to follow.

use std::time::Duration;

use serde::Serialize;

use super::scenario::Scenario;
use super::sight::Terms;
use super::timeline::Outage;
use crate::traffic::Report;

/// How long writes may pause where nobody has to take over.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a planned handover may take, HAProxy's second included.
const HANDOVER_MAX: Duration = Duration::from_secs(6);
/// What a takeover may take beyond `ttl`, HAProxy's second included.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);
/// How soon a replica streams after its start.
const REPLICA_BACK_WITHIN: Duration = Duration::from_secs(15);

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// What was played.
    pub scenario: Scenario,
    /// What the cluster is set to.
    pub terms: Terms,
    /// Who led before.
    pub leader_before: &'a str,
    /// Who leads at the end.
    pub leader_after: Option<&'a str>,
    /// Whether what had to be waited for came, within its time.
    pub came: Result<(), String>,
    /// Until all is as before, from the start of what was down; or what was missing in the end.
    pub whole_after: Result<Duration, String>,
    /// The clients' longest time without a write since the fault.
    pub outage: Option<Outage>,
    /// What the clients saw.
    pub report: &'a Report,
}

/// One thing that had to be so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Whether it was.
    pub passed: bool,
    /// What, with the figure.
    pub what: String,
}

/// All checks of a scenario.
pub fn checks(seen: &Seen<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |passed: bool, what: String| checks.push(Check { passed, what });
    if let Err(why) = &seen.came {
        add(false, why.clone());
    }
    let bound = pause_bound(seen.scenario, seen.terms).as_secs_f64();
    match seen.outage.map(|outage| outage.to - outage.from) {
        Some(pause) => {
            add(pause <= bound, format!("writes paused for {pause:.3} s; at most {bound:.1} s"));
        }
        None => add(true, "writes went on without a pause worth telling".to_owned()),
    }
    leadership(seen, &mut add);
    clients(seen, &mut add);
    losses(seen, &mut add);
    match &seen.whole_after {
        Err(why) => add(false, format!("the cluster is not whole again: {why}")),
        Ok(after) => {
            let after = after.as_secs_f64();
            let what = format!("all members are back and stream, {after:.1} s after the start");
            let bound = REPLICA_BACK_WITHIN.as_secs_f64();
            if seen.scenario == Scenario::ReplicaStop {
                add(after <= bound, format!("{what}; at most {bound:.0} s"));
            } else {
                add(true, what);
            }
        }
    }
    checks
}

/// How long writes may pause.
fn pause_bound(scenario: Scenario, terms: Terms) -> Duration {
    match scenario {
        Scenario::PrimaryKill => terms.ttl + TAKEOVER_MAX,
        Scenario::PrimaryStop | Scenario::Switchover => HANDOVER_MAX,
        // A commit that waits for the stopped one goes on when another is waited for in its place.
        Scenario::ReplicaStop if terms.is_synchronous => terms.ttl + TAKEOVER_MAX,
        Scenario::ReplicaStop | Scenario::EtcdOne | Scenario::EtcdTwo | Scenario::HaproxyStop => {
            PAUSE_MAX
        }
    }
}

fn leadership(seen: &Seen<'_>, add: &mut impl FnMut(bool, String)) {
    let (before, after) = (seen.leader_before, seen.leader_after.unwrap_or("nobody"));
    if seen.scenario.moves_leadership() {
        let moved = after != before && seen.leader_after.is_some();
        add(moved, format!("leadership moved from {before} to {after}"));
    } else {
        add(after == before, format!("{after} leads, as {before} did before"));
    }
}

fn clients(seen: &Seen<'_>, add: &mut impl FnMut(bool, String)) {
    if seen.scenario.moves_leadership() {
        return;
    }
    if let Some(writes) = &seen.report.writes {
        let (failed, unknown, all) = (writes.failed, writes.unknown, writes.requests);
        let what = format!("of {all} writes {failed} failed and {unknown} had no answer");
        add(failed + unknown == 0, what);
    }
    if let Some(reads) = &seen.report.reads {
        add(reads.failed == 0, format!("of {} reads {} failed", reads.requests, reads.failed));
    }
}

/// Whoever kills an asynchronous primary may lose its last commits, and is told so.
fn losses(seen: &Seen<'_>, add: &mut impl FnMut(bool, String)) {
    let ledger = &seen.report.ledger;
    if let Some(why) = &ledger.not_verified_because {
        return add(false, format!("what was acknowledged could not be looked for: {why}"));
    }
    let (missing, acknowledged) = (ledger.missing, ledger.acknowledged);
    let may_lose = seen.scenario == Scenario::PrimaryKill && !seen.terms.is_synchronous;
    let what = format!("of {acknowledged} acknowledged writes {missing} are missing");
    match may_lose {
        true => add(true, format!("{what} (replication is asynchronous: some may be)")),
        false => add(missing == 0, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sample_report;

    fn seen(scenario: Scenario, report: &Report) -> Seen<'_> {
        let ttl = Duration::from_secs(5);
        let after = if scenario.moves_leadership() { "pg-b" } else { "pg-a" };
        Seen {
            scenario,
            terms: Terms { ttl, is_synchronous: true, is_failsafe: true },
            leader_before: "pg-a",
            leader_after: Some(after),
            came: Ok(()),
            whole_after: Ok(Duration::from_secs(4)),
            outage: Some(Outage { from: -0.1, to: 0.4 }),
            report,
        }
    }

    fn failed(seen: &Seen<'_>) -> Vec<String> {
        checks(seen).into_iter().filter(|it| !it.passed).map(|it| it.what).collect()
    }

    #[test]
    fn what_is_as_promised_passes() {
        let report = sample_report(0, 0);
        for scenario in Scenario::ALL {
            assert_eq!(failed(&seen(scenario, &report)), [""; 0], "{scenario:?}");
        }
    }

    #[test]
    fn a_missing_row_passes_only_where_an_asynchronous_primary_was_killed() {
        let report = sample_report(2, 0);
        for scenario in Scenario::ALL {
            let mut seen = seen(scenario, &report);
            assert!(failed(&seen)[0].contains("2 are missing"), "{scenario:?}");
            seen.terms.is_synchronous = false;
            assert_eq!(failed(&seen).is_empty(), scenario == Scenario::PrimaryKill, "{scenario:?}");
        }
    }

    #[test]
    fn a_long_pause_or_a_failed_write_does_not_pass() {
        let report = sample_report(0, 0);
        let mut long = seen(Scenario::EtcdTwo, &report);
        long.outage = Some(Outage { from: 0.0, to: 2.5 });
        assert!(failed(&long)[0].contains("writes paused for 2.500 s"));
        let errors = sample_report(0, 3);
        assert!(failed(&seen(Scenario::ReplicaStop, &errors))[0].contains("3 failed"));
        assert!(
            failed(&seen(Scenario::Switchover, &errors)).is_empty(),
            "its clients may see some"
        );
    }

    #[test]
    fn who_leads_has_to_be_whom_the_scenario_says() {
        let report = sample_report(0, 0);
        let mut stayed = seen(Scenario::PrimaryStop, &report);
        stayed.leader_after = Some("pg-a");
        assert!(failed(&stayed)[0].contains("leadership"));
        let mut nobody = seen(Scenario::EtcdTwo, &report);
        nobody.leader_after = None;
        assert!(failed(&nobody)[0].contains("nobody leads"));
        let mut slow = seen(Scenario::ReplicaStop, &report);
        slow.whole_after = Ok(Duration::from_secs(16));
        assert!(failed(&slow)[0].contains("at most 15 s"));
    }
}
