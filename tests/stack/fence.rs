//! The guardian as the first process of a container without a capability, and of one with SYS_ADMIN.

use std::time::{Duration, Instant};

use super::stack::{NODES, Stack, TTL};
use super::support::wait::{wait_for, wait_until};

const BOUND: Duration = Duration::from_secs(30);
/// The agent is started again at once, and takes the lease up.
const AGENT_BACK_GAP: Duration = Duration::from_secs(2);
/// What the race needs beyond the lease, and HAProxy.
const TAKEOVER_GAP: Duration = Duration::from_secs(TTL.as_secs() + 3);

/// Children of the first process that are the agent; a stopped one included.
const AGENT: &str = "for dir in /proc/[0-9]*; do \
        read -r _ _ _ parent _ < $dir/stat; \
        [ \"$parent\" = 1 ] && grep -q '^pgbaton' $dir/cmdline && echo ${dir#/proc/}; \
    done 2>/dev/null; true";
/// How many processes of PostgreSQL there are.
const SERVER: &str = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^postgres:\\|/postgres$'; true";

fn shell(stack: &Stack, node: &str, script: &str) -> String {
    stack.exec(node, &["bash", "-c", script])
}

#[track_caller]
fn agent(stack: &Stack, node: &str) -> String {
    let found = shell(stack, node, AGENT);
    assert!(!found.is_empty() && !found.contains('\n'), "one agent in {node}: {found:?}");
    found
}

pub fn every_node_is_fenced_as_a_container(stack: &Stack) {
    for node in NODES {
        let status = stack.ask(node, "/patroni").expect("an answer");
        assert_eq!(status["pgbaton"]["fence"], "container", "{node}: {status}");
        let first = shell(stack, node, "tr '\\0' ' ' < /proc/1/cmdline");
        assert_eq!(first.trim(), "pgbaton run /etc/pgbaton/node.yml", "{node}");
        let lines = shell(stack, node, "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/1/status");
        let field = |name: &str| {
            let line = lines.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a line of it").split_whitespace().next().expect("a value").to_owned()
        };
        assert_ne!(field("Uid:"), "0", "{node} runs as root");
        assert_eq!(field("NoNewPrivs:"), "1", "{node}");
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16), Ok(0), "{node} has a capability");
        // The bit of SYS_ADMIN; its own user has none of it, but a program could get it.
        let bounding = if node == "pg-c" { 1 << 21 } else { 0 };
        assert_eq!(u64::from_str_radix(&field("CapBnd:"), 16), Ok(bounding), "{node}");
    }
}

pub fn a_killed_agent_is_started_again(stack: &Stack) {
    let primary = stack.primary();
    let (killed, ledger) = (agent(stack, primary), stack.ledger());
    let began = Instant::now();
    shell(stack, primary, &format!("kill -KILL {killed}"));
    let next = wait_for("another agent", BOUND, || {
        let found = shell(stack, primary, AGENT);
        (!found.is_empty() && found != killed).then_some(found)
    });
    assert_ne!(next, killed);
    ledger.wait_for_writes(0, 200, BOUND);
    assert_eq!(stack.primary(), primary, "its lease was taken up again");
    let report = ledger.close(stack.writes());
    report.print("agent killed in its container", began);
    report.assert_nothing_lost();
    report.assert_gap(began, AGENT_BACK_GAP);
}

pub fn a_stopped_agent_is_fenced(stack: &Stack) {
    stack.hand_over_to("pg-a");
    stop_the_agent(stack, "pg-a");
}

pub fn a_stopped_agent_is_fenced_with_sys_admin(stack: &Stack) {
    stack.hand_over_to("pg-c");
    stop_the_agent(stack, "pg-c");
}

/// Guardian and server are frozen together, and wake up together when another leads.
pub fn a_paused_primary_is_fenced_when_it_wakes(stack: &Stack) {
    let former = stack.primary();
    let ledger = stack.ledger();
    let began = Instant::now();
    stack.tell(&["pause"], &[former]);
    ledger.wait_for_writes(0, 100, BOUND);
    assert_ne!(stack.primary(), former);
    stack.tell(&["unpause"], &[former]);
    wait_until("it is a replica again", BOUND, || stack.streams(former));
    let report = ledger.close(stack.writes());
    report.print("primary paused", began);
    report.assert_lost_at_most(Duration::from_secs(1), began);
    report.assert_gap(began, TAKEOVER_GAP);
}

/// The guardian ends the server before another may lead; the agent that comes to itself finds that out.
fn stop_the_agent(stack: &Stack, node: &str) {
    let (stopped, ledger) = (agent(stack, node), stack.ledger());
    let restarts = stack.project.inspect(node, "{{.RestartCount}}");
    let began = Instant::now();
    shell(stack, node, &format!("kill -STOP {stopped}"));
    let other = wait_for("another primary", BOUND, || stack.leader().filter(|one| *one != node));
    assert_eq!(shell(stack, node, SERVER), "0", "processes of the server in {node}");
    println!(
        "{other} leads {:.1} s after the agent of {node} stopped",
        began.elapsed().as_secs_f64()
    );
    ledger.wait_for_writes(0, 100, BOUND);
    shell(stack, node, &format!("kill -CONT {stopped}"));
    wait_until("it is a replica again", BOUND, || stack.streams(node));
    assert_eq!(agent(stack, node), stopped, "the agent is the same");
    assert_eq!(stack.project.inspect(node, "{{.RestartCount}}"), restarts, "so is the container");
    let report = ledger.close(stack.writes());
    report.print(&format!("agent stopped in {node}"), began);
    // Replication is asynchronous here: what was acknowledged just before the server's end may be gone.
    report.assert_lost_at_most(Duration::from_secs(1), began + TTL);
    report.assert_gap(began, TAKEOVER_GAP);
}
