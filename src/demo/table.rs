//! What people read: the table of members, the lines about what has changed, the text once it is up.

use std::path::Path;

use super::files::SCOPE;
use super::folder::Folder;
use super::plan::Plan;
use super::ports::HOST;
use super::sight::{Lag, Sight};

const HEAD: [&str; 7] = ["member", "role", "state", "timeline", "lag", "PostgreSQL", "agent"];

/// The table, one line each, its head first. `agent` tells of a node's agent by name.
pub fn lines(plan: &Plan, sight: &Sight, mut agent: impl FnMut(&str) -> String) -> Vec<String> {
    let mut rows: Vec<[String; 7]> = vec![HEAD.map(str::to_owned)];
    for node in &plan.nodes {
        let member = sight.member(&node.name);
        rows.push([
            node.name.clone(),
            member.map_or("-", |member| &member.role).to_owned(),
            member.map_or("no word yet", |member| &member.state).to_owned(),
            member
                .and_then(|member| member.timeline)
                .map_or_else(|| "-".to_owned(), |timeline| timeline.to_string()),
            lag_in_words(member.and_then(|member| member.lag.as_ref())),
            format!("port {}", node.postgresql_port),
            agent(&node.name),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
        })
        .collect()
}

fn lag_in_words(lag: Option<&Lag>) -> String {
    match lag {
        None => String::new(),
        Some(Lag::Word(word)) => word.clone(),
        Some(Lag::Bytes(bytes)) if *bytes < 10_240 => format!("{bytes} B"),
        Some(Lag::Bytes(bytes)) if *bytes < 10 << 20 => format!("{} kB", bytes >> 10),
        Some(Lag::Bytes(bytes)) => format!("{} MB", bytes >> 20),
    }
}

/// What is worth a line between two looks.
pub fn changes(before: &Sight, after: &Sight) -> Vec<String> {
    let mut lines = Vec::new();
    if before.leader() != after.leader() && !after.members.is_empty() {
        lines.push(match (before.leader(), after.leader()) {
            (Some(before), Some(after)) => format!("the baton goes from {before} to {after}"),
            (None, Some(after)) => format!("{after} holds the baton"),
            (_, None) => "nobody holds the baton".to_owned(),
        });
    }
    for name in &after.writable {
        if !before.writable.contains(name) {
            lines.push(format!("{name} accepts writes"));
        }
    }
    for name in &before.writable {
        if !after.writable.contains(name) {
            lines.push(format!("{name} no longer accepts writes"));
        }
    }
    for member in &after.members {
        let was = before.member(&member.name);
        if was.is_none_or(|was| was.state != member.state) && !member.state.is_empty() {
            lines.push(format!("{}: {}", member.name, member.state));
        }
    }
    for member in &before.members {
        if after.member(&member.name).is_none() && !after.members.is_empty() {
            lines.push(format!("{}: gone", member.name));
        }
    }
    lines
}

/// Where everything is, and what to try.
pub fn welcome(plan: &Plan, folder: &Folder, leader: &str, agent_pid: u32) -> Vec<String> {
    let dir = folder.path().display();
    let password = &plan.passwords.superuser;
    let url = |port: u16| format!("postgresql://postgres:{password}@{HOST}:{port}/postgres");
    let psql = |port: u16| format!("psql {}", url(port));
    let rest: Vec<String> =
        plan.nodes.iter().map(|node| format!("{} {}", node.name, node.rest_port)).collect();
    let program = std::env::current_exe().unwrap_or_else(|_| "pgbaton".into());
    let file = folder.path().join(format!("{leader}.yml"));
    let ctl = format!("{} ctl -c {}", shown(&program), shown(&file));
    let mut lines = vec![
        String::new(),
        format!("  writes   {}", psql(plan.proxy.write)),
        format!("  reads    {}", psql(plan.proxy.read)),
        format!("  stats    http://{HOST}:{0}/   for Prometheus: /metrics", plan.proxy.stats),
        format!("  REST     http://{HOST}, ports: {}", rest.join(", ")),
        format!("  etcd     {} (keys below /service/{SCOPE}/)", plan.etcd_hosts()),
        format!("  logs     {dir}/{leader}.log and its like"),
        String::new(),
        "Try in another terminal:".to_owned(),
        format!("  {ctl} list"),
        format!("  {ctl} switchover --force"),
        format!(
            "  {0} traffic --write {1} --read {2}",
            shown(&program),
            url(plan.proxy.write),
            url(plan.proxy.read)
        ),
        format!("  {} drill --demo {}", shown(&program), shown(folder.path())),
        // Not by postmaster.pid: the id in there may be that of a guardian's PID namespace.
        format!(
            "  pkill -9 -o -f 'postgres -D {dir}/{leader}/data'   # the leader's server crashes"
        ),
        format!("  kill {agent_pid}      # the leader's agent is told to stop, and hands over"),
        format!("  kill -9 {agent_pid}   # the leader's agent is gone without a word"),
    ];
    let stays = if folder.is_temporary() {
        "Ctrl-C stops everything and removes it."
    } else {
        "Ctrl-C stops everything; its files stay, and the next demo in this directory goes on."
    };
    lines.extend([String::new(), stays.to_owned(), String::new()]);
    lines
}

/// A path as one would paste it into a shell.
fn shown(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::plan::sample;
    use super::super::sight::Member;
    use super::*;

    fn member(name: &str, role: &str, state: &str) -> Member {
        let (name, role, state) = (name.to_owned(), role.to_owned(), state.to_owned());
        Member { name, role, state, timeline: Some(2), lag: Some(Lag::Bytes(20_480)) }
    }

    fn led_by_a() -> Sight {
        let members = vec![member("pg-a", "leader", "running"), member("pg-b", "replica", "x")];
        Sight { members, writable: vec!["pg-a".to_owned()] }
    }

    #[test]
    fn every_node_has_a_row_also_one_that_says_nothing() {
        let lines = lines(&sample(), &led_by_a(), |_| "pid 7".to_owned());
        assert_eq!(lines.len(), 4);
        assert!(lines[1].contains("pg-a") && lines[1].contains("leader"), "{lines:#?}");
        assert!(lines[1].contains("20 kB") && lines[1].ends_with("pid 7"), "{lines:#?}");
        assert!(lines[3].contains("pg-c") && lines[3].contains("no word yet"), "{lines:#?}");
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:#?}");
    }

    #[test]
    fn a_failover_is_told_once() {
        let before = led_by_a();
        let members = vec![member("pg-a", "replica", "stopped"), member("pg-b", "leader", "x")];
        let after = Sight { members, writable: vec!["pg-b".to_owned()] };
        let told = changes(&before, &after);
        let expected = [
            "the baton goes from pg-a to pg-b",
            "pg-b accepts writes",
            "pg-a no longer accepts writes",
            "pg-a: stopped",
        ];
        assert_eq!(told, expected);
        assert_eq!(changes(&after, &after), [""; 0]);
    }
}
