//! Leadership moves because somebody asked for it, or does not, with the reason in the answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::{BOUND, HANDOVER_BOUND, under_load};
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::http::{Answer, Request};
use crate::support::machine::Postgres;
use crate::support::sql;
use crate::support::wait::wait_until;

#[track_caller]
fn ask(cluster: &Cluster, path: &str, body: &Value) -> Answer {
    let leader = cluster.wait_for_leader(START_BOUND);
    cluster.nodes[leader].send("POST", path, &body.to_string())
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    let text = answer.body.to_lowercase();
    assert!(answer.status == status && text.contains(reason), "{}: {}", answer.status, answer.body);
}

/// A switchover to whoever is best, on one of PostgreSQL's releases.
#[track_caller]
pub fn switch_to_any(postgres: Postgres) {
    let plan = Plan { postgres, ..Plan::default() };
    let scenario = under_load(plan, |cluster, leader| {
        let answer = ask(cluster, "/switchover", &json!({ "leader": cluster.nodes[leader].name }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("Successfully switched over to"), "{}", answer.body);
    });
    scenario.report.print(&format!("switchover to any ({postgres:?})"), scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, HANDOVER_BOUND);
    assert_ne!(scenario.leader_now(), scenario.leader);
    scenario.cluster.wait_until_whole(BOUND);
    let log = scenario.cluster.nodes[scenario.leader].log();
    assert!(!log.contains("pg_rewind"), "after a switchover there is nothing to rewind");
}

#[test]
fn a_switchover_to_any_loses_nothing() {
    switch_to_any(Postgres::Installed);
}

#[test]
fn a_switchover_goes_to_the_named_candidate() {
    let mut candidate = 0;
    let scenario = under_load(Plan::default(), |cluster, leader| {
        candidate = cluster.others(leader)[1];
        let names = (&cluster.nodes[leader].name, &cluster.nodes[candidate].name);
        let body = json!({ "leader": names.0, "candidate": names.1 });
        let answer = ask(cluster, "/switchover", &body);
        assert_eq!(answer.body, format!("Successfully switched over to \"{}\"", names.1));
    });
    scenario.report.print("switchover to a named candidate", scenario.since);
    scenario.report.assert_nothing_lost();
    scenario.report.assert_gap(scenario.since, HANDOVER_BOUND);
    assert_eq!(scenario.leader_now(), candidate);
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn the_command_line_switches_over_and_shows_it() {
    let mut candidate = 0;
    let scenario = under_load(Plan::default(), |cluster, leader| {
        candidate = cluster.others(leader)[0];
        let name = cluster.nodes[candidate].name.clone();
        let output = cluster.nodes[leader].ctl(&["switchover", "--candidate", &name, "--force"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(&format!("Successfully switched over to \"{name}\"")), "{text}");
    });
    scenario.report.print("switchover from the command line", scenario.since);
    scenario.report.assert_nothing_lost();
    assert_eq!(scenario.leader_now(), candidate);
    scenario.cluster.wait_until_whole(BOUND);
    let output = scenario.cluster.nodes[0].ctl(&["list", "-f", "json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = rows.as_array().expect("rows");
    let leads = |row: &&Value| row["Role"] == "Leader";
    let leaders: Vec<&Value> = rows.iter().filter(leads).map(|row| &row["Member"]).collect();
    assert_eq!(leaders, [&json!(scenario.cluster.nodes[candidate].name)]);
    let output = scenario.cluster.nodes[0].ctl(&["history", "-f", "json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(!rows.as_array().expect("rows").is_empty(), "the switchover is in the history");
}

#[test]
fn a_manual_failover_goes_to_the_named_candidate() {
    let mut candidate = 0;
    let scenario = under_load(Plan::default(), |cluster, leader| {
        candidate = cluster.others(leader)[0];
        let answer =
            ask(cluster, "/failover", &json!({ "candidate": cluster.nodes[candidate].name }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("Successfully failed over to"), "{}", answer.body);
    });
    scenario.report.print("manual failover", scenario.since);
    scenario.report.assert_nothing_lost();
    assert_eq!(scenario.leader_now(), candidate);
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn the_failover_key_alone_is_enough() {
    let mut candidate = 0;
    let scenario = under_load(Plan::default(), |cluster, leader| {
        candidate = cluster.others(leader)[0];
        let names = (&cluster.nodes[leader].name, &cluster.nodes[candidate].name);
        let request = json!({ "leader": names.0, "member": names.1 }).to_string();
        crate::store::put(cluster, "failover", &request);
        cluster.wait_for_another_leader(leader, BOUND);
    });
    scenario.report.print("switchover through the failover key", scenario.since);
    scenario.report.assert_nothing_lost();
    assert_eq!(scenario.leader_now(), candidate);
    scenario.cluster.wait_until_whole(BOUND);
    let is_gone = || crate::store::get(&scenario.cluster, "failover").is_none_or(|it| it == "{}");
    wait_until("the request is taken off the store", BOUND, is_gone);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let plan = Plan { nodes: 4, ..Plan::default() };
    let mut cluster = Cluster::prepare(plan);
    cluster.nodes[3].set("/tags/nofailover", true);
    for node in &mut cluster.nodes {
        node.start();
    }
    let leader = cluster.wait_until_whole(START_BOUND);
    assert_ne!(leader, 3, "a node tagged nofailover leads");
    let name = |index: usize| cluster.nodes[index].name.clone();
    let (down, other) = (cluster.others(leader)[0], cluster.others(leader)[1]);
    let ask = |path, body| ask(&cluster, path, &body);

    assert_refused(&ask("/switchover", json!({ "candidate": name(other) })), 400, "leader");
    assert_refused(&ask("/failover", json!({})), 400, "");
    assert_refused(&ask("/failover", json!({ "leader": name(leader) })), 400, "candidate");
    let same = json!({ "leader": name(leader), "candidate": name(leader) });
    assert_refused(&ask("/switchover", same), 400, "same");
    let not_leading = json!({ "leader": name(other) });
    assert_refused(&ask("/switchover", not_leading), 412, "does not lead");
    let unknown = json!({ "leader": name(leader), "candidate": "nobody" });
    assert_refused(&ask("/switchover", unknown), 400, "nobody");
    let tagged = json!({ "leader": name(leader), "candidate": name(3) });
    assert_refused(&ask("/switchover", tagged), 412, "nofailover");

    let (down_name, leader_name) = (name(down), name(leader));
    cluster.nodes[down].kill_host();
    let dead = json!({ "leader": leader_name, "candidate": down_name });
    let answer = crate::switchover::ask(&cluster, "/switchover", &dead);
    assert!(answer.status == 412 || answer.status == 503, "{}: {}", answer.status, answer.body);
    assert_eq!(cluster.leader(), Some(leader), "nobody was deposed by all this");

    let output = cluster.nodes[leader].ctl(&["switchover", "--candidate", "nobody", "--force"]);
    assert!(!output.status.success(), "a refused request does not exit with 0");
}

#[test]
fn a_candidate_that_is_too_far_behind_is_refused() {
    let plan =
        Plan { nodes: 2, dcs: json!({ "maximum_lag_on_failover": 4096 }), ..Plan::default() };
    let cluster = Cluster::start(plan);
    let leader = cluster.wait_for_leader(START_BOUND);
    let standby = cluster.others(leader)[0];
    let server = cluster.nodes[leader].postgresql();
    wait_until("the standby has said how far it is", BOUND, || {
        let sql = "SELECT count(flush_lsn) FROM pg_stat_replication";
        sql::value(server, sql).as_deref() == Ok("1")
    });
    // The standby's connection to the primary is stopped where it stands.
    let receiver = cluster.nodes[standby].receiver();
    nix::sys::signal::kill(receiver, nix::sys::signal::Signal::SIGSTOP).expect("a process of ours");
    sql::run(server, "CREATE TABLE big AS SELECT generate_series(1, 20000)");
    let since = Instant::now();
    let (leader_name, name) = (&cluster.nodes[leader].name, &cluster.nodes[standby].name);
    let body = json!({ "leader": leader_name, "candidate": name });
    let answer = ask(&cluster, "/switchover", &body);
    assert!(answer.status == 412 || answer.status == 503, "{}: {}", answer.status, answer.body);
    assert!(answer.body.to_lowercase().contains("lags by"), "{}", answer.body);
    assert!(since.elapsed() < BOUND);
    assert_eq!(cluster.leader(), Some(leader));
}

#[test]
fn of_two_switchovers_at_once_one_is_refused() {
    let scenario = under_load(Plan::default(), |cluster, leader| {
        let body = json!({ "leader": cluster.nodes[leader].name }).to_string();
        let to = cluster.nodes[leader].rest();
        let send = || Request::new("POST", "/switchover", &body).send(to).expect("an answer");
        let (first, second) = std::thread::scope(|scope| {
            let other = scope.spawn(send);
            (send(), other.join().expect("a request does not panic"))
        });
        let worked = [&first, &second].iter().filter(|answer| answer.status == 200).count();
        assert!(worked >= 1, "{first:?} {second:?}");
        cluster.wait_for_another_leader(leader, BOUND);
    });
    scenario.report.print("two switchovers at once", scenario.since);
    scenario.report.assert_nothing_lost();
    assert_eq!(scenario.timelines().len(), 2, "leadership moved once");
    scenario.cluster.wait_until_whole(BOUND);
}

#[test]
fn who_may_not_lead_does_not_and_who_is_preferred_does() {
    let mut cluster = Cluster::prepare(Plan::default());
    cluster.nodes[0].start();
    cluster.wait_for_leader(START_BOUND);
    cluster.nodes[1].set("/tags/nofailover", true);
    cluster.nodes[2].set("/tags/failover_priority", 5);
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.wait_until_whole(START_BOUND);
    let ledger = cluster.open_ledger();
    let since = Instant::now();
    cluster.nodes[0].stop();
    assert_eq!(cluster.wait_for_another_leader(0, BOUND), 2);
    ledger.wait_for_writes(2, 50, BOUND);
    // Only the one that may not is left: nobody leads.
    cluster.nodes[2].stop();
    let ttl = Duration::from_secs(cluster.plan.ttl);
    let until = Instant::now() + ttl * 2;
    while Instant::now() < until {
        assert_eq!(cluster.leader(), None, "the node tagged nofailover leads");
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.nodes[0].start();
    cluster.nodes[2].start();
    let leader = cluster.wait_until_whole(BOUND);
    ledger.wait_for_writes(leader, 50, BOUND);
    let report = ledger.close(cluster.nodes[leader].postgresql());
    report.print("tags", since);
    report.assert_nothing_lost();
}
