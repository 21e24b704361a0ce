//! What an agent costs, and how many probes it answers.

use std::fs;
use std::process::Command;

use crate::figure::Figure;
use crate::rig::Rig;

/// `GET /primary` by `wrk`: 16 connections of one thread on the second core, the agent on the first.
pub fn probes_a_second(rig: &mut Rig) -> Vec<Figure> {
    let runs = rig.runs;
    let cluster = rig.cluster();
    let leader = cluster.wait_for_leader(crate::rig::BOUND);
    let node = &cluster.nodes[leader];
    let pid = node.pid().to_string();
    let allowed = pin(&pid, "0");
    let url = format!("http://{}/primary", node.rest());
    let once = |_| {
        let mut command = Command::new("taskset");
        command.args(["-c", "1", "wrk", "-c16", "-t1", "-d5s", &url]);
        let output = command.output().expect("wrk and taskset (Debian: wrk, util-linux)");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        assert!(!text.contains("Non-2xx"), "{text}");
        line.unwrap_or_else(|| panic!("wrk failed: {text}")).trim().parse().expect("a number")
    };
    let samples: Vec<f64> = (0..runs).map(once).collect();
    pin(&pid, &allowed);
    vec![Figure::new("/primary, requests a second (wrk, 16 connections)", "", "≥ 20,000", samples)]
}

/// Lets a process run on these cores only; returns those it was allowed before.
fn pin(pid: &str, cores: &str) -> String {
    let output = Command::new("taskset").args(["-acp", cores, pid]).output();
    let output = output.expect("taskset (Debian: util-linux)");
    let text = String::from_utf8_lossy(&output.stdout);
    let before = text.lines().next().and_then(|line| line.rsplit_once(": "));
    before.map_or_else(|| panic!("{text}"), |(_, cores)| cores.to_owned())
}

/// Proportional set size of the agents alone, in a running cluster.
pub fn memory(rig: &mut Rig) -> Vec<Figure> {
    let cluster = rig.cluster();
    let leader = cluster.wait_for_leader(crate::rig::BOUND);
    let sizes = |nodes: &[usize]| -> Vec<f64> {
        nodes.iter().map(|index| pss_megabytes(cluster.nodes[*index].pid().as_raw())).collect()
    };
    vec![
        Figure::new("agent's memory (Pss), leader", "MB", "≤ 12", sizes(&[leader])),
        Figure::new("agent's memory (Pss), standbys", "MB", "≤ 12", sizes(&cluster.others(leader))),
    ]
}

fn pss_megabytes(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("our own process");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line for it");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes / 1024.0
}
