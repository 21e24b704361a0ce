//! The files that the processes read: one for each node, HAProxy's, and a copy of this program where its
//! place is closed to them. The node files have the form of the samples in `config/`, HAProxy's is the
//! repository's own with other addresses.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::folder::Folder;
use super::identity::Identity;
use super::plan::{Node, Plan};
use super::ports::HOST;
use super::programs::Programs;

/// A node's file, its places marked by `@NAME@`.
const NODE_TEMPLATE: &str = include_str!("node.yml.in");
/// The file that users are given.
const HAPROXY_SAMPLE: &str = include_str!("../../haproxy.cfg");
/// The name of HAProxy's file.
pub const HAPROXY_FILE: &str = "haproxy.cfg";
/// The cluster's name.
pub const SCOPE: &str = "demo";

/// Writes everything, readable by the processes' user alone: there are passwords in it.
pub fn write_all(
    plan: &Plan,
    programs: &Programs,
    folder: &Folder,
    identity: Option<&Identity>,
) -> Result<()> {
    for node in &plan.nodes {
        let text = node_file(plan, node, &programs.postgresql_bin, folder.path());
        let text = without_unknown_parameters(text, programs.postgresql_major);
        write(&folder.path().join(node.file_name()), &text, identity)?;
        let place = folder.path().join(&node.name);
        fs::create_dir_all(&place)
            .with_context(|| format!("`{}` could not be made", place.display()))?;
        if let Some(identity) = identity {
            identity.own(&place)?;
        }
    }
    write(&folder.path().join(HAPROXY_FILE), &haproxy_file(plan), identity)
}

fn write(path: &Path, text: &str, identity: Option<&Identity>) -> Result<()> {
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    open.open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("`{}` could not be written", path.display()))?;
    identity.map_or(Ok(()), |identity| identity.own(path))
}

/// The two shorter times that fit a `ttl`: loop_wait + 2 x retry_timeout <= ttl, in whole seconds as far
/// as there are any.
fn shorter_times(ttl_seconds: u64) -> (u64, u64) {
    let retry_timeout = (ttl_seconds.saturating_sub(1) / 2).clamp(1, 10);
    let loop_wait = ttl_seconds.saturating_sub(2 * retry_timeout).clamp(1, 10);
    (loop_wait, retry_timeout)
}

fn node_file(plan: &Plan, node: &Node, bin_dir: &Path, dir: &Path) -> String {
    let (loop_wait, retry_timeout) = shorter_times(plan.ttl_seconds);
    let senders = plan.nodes.len().max(8) + 2;
    let passwords = &plan.passwords;
    let places = [
        ("SCOPE", SCOPE.to_owned()),
        ("NAME", node.name.clone()),
        ("ETCD_HOSTS", plan.etcd_hosts()),
        ("REST", node.rest_address()),
        ("REST_PASSWORD", passwords.rest.clone()),
        ("TTL", plan.ttl_seconds.to_string()),
        ("LOOP_WAIT", loop_wait.to_string()),
        ("RETRY_TIMEOUT", retry_timeout.to_string()),
        ("SENDERS", senders.to_string()),
        ("POSTGRESQL", format!("{HOST}:{}", node.postgresql_port)),
        ("DIR", dir.display().to_string()),
        ("BIN_DIR", bin_dir.display().to_string()),
        ("SUPERUSER_PASSWORD", passwords.superuser.clone()),
        ("REPLICATION_PASSWORD", passwords.replication.clone()),
        ("REWIND_PASSWORD", passwords.rewind.clone()),
    ];
    places.iter().fold(NODE_TEMPLATE.to_owned(), |text, (place, value)| {
        text.replace(&format!("@{place}@"), value)
    })
}

/// Leaves out what an older PostgreSQL does not know and would not start with.
fn without_unknown_parameters(text: String, major: u32) -> String {
    if major >= 14 {
        return text;
    }
    let known = text.lines().filter(|line| !line.contains("recovery_init_sync_method"));
    known.flat_map(|line| [line, "\n"]).collect()
}

/// The sample with the plan's addresses: each `bind` its port, each list of servers this cluster's.
fn haproxy_file(plan: &Plan) -> String {
    let mut text = String::new();
    let mut servers_are_written = false;
    for line in HAPROXY_SAMPLE.lines() {
        match line.trim_start().split_once(' ') {
            Some(("bind", address)) => {
                let port = match address.rsplit_once(':').map_or("", |(_, port)| port) {
                    "5000" => plan.proxy.write,
                    "5001" => plan.proxy.read,
                    _ => plan.proxy.stats,
                };
                text.push_str(&format!("    bind {HOST}:{port}\n"));
            }
            Some(("server", _)) => {
                if !servers_are_written {
                    text.extend(plan.nodes.iter().map(server_line));
                }
                servers_are_written = true;
            }
            _ => {
                servers_are_written = false;
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn server_line(node: &Node) -> String {
    let Node { name, postgresql_port, rest_port } = node;
    format!("    server {name} {HOST}:{postgresql_port} check port {rest_port}\n")
}

/// The program that the agents run: this one, or a copy where the user they run as cannot reach it.
pub fn binary_for(identity: Option<&Identity>, folder: &Folder) -> Result<PathBuf> {
    let binary = env::current_exe().context("this program does not find itself")?;
    let Some(identity) = identity else { return Ok(binary) };
    if identity.stopped_at(&binary).is_none() {
        return Ok(binary);
    }
    let copy = folder.path().join("pgbaton");
    fs::copy(&binary, &copy)
        .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("this program could not be copied to `{}`", copy.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::super::plan::sample;
    use super::*;

    #[test]
    fn the_samples_are_what_the_demo_writes() {
        let plan = sample();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        for node in &plan.nodes {
            let path = root.join(node.file_name());
            let bin = Path::new("/usr/lib/postgresql/15/bin");
            let written = node_file(&plan, node, bin, Path::new("/var/lib/pgbaton"));
            assert!(!written.contains('@'), "a place was left open:\n{written}");
            let sample = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(sample, written, "{} is out of step with node.yml.in", path.display());
        }
    }

    #[test]
    fn nothing_is_wrong_with_a_sample() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pg-b.yml");
        let loaded = crate::config::load(Some(&path), &Default::default());
        let findings: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{findings:#?}");
        assert_eq!(loaded.config.map(|node| node.name.to_string()).as_deref(), Some("pg-b"));
    }

    #[test]
    fn the_times_fit_the_ttl() {
        assert_eq!(shorter_times(5), (1, 2));
        assert_eq!(shorter_times(30), (10, 10));
        for ttl in 3..100 {
            let (loop_wait, retry_timeout) = shorter_times(ttl);
            assert!(loop_wait + 2 * retry_timeout <= ttl, "{ttl}: {loop_wait} {retry_timeout}");
        }
    }

    #[test]
    fn the_proxy_has_every_node_on_both_sides_and_nothing_of_the_sample() {
        let mut plan = sample();
        plan.proxy.write = 15_000;
        plan.nodes.truncate(2);
        plan.nodes[1].postgresql_port = 15_433;
        let text = haproxy_file(&plan);
        assert_eq!(text.matches("server pg-b 127.0.0.1:15433 check port 8009\n").count(), 2);
        assert_eq!(text.matches("    server ").count(), 4);
        assert!(text.contains("bind 127.0.0.1:15000\n") && !text.contains("bind *"), "{text}");
        assert!(text.contains("bind 127.0.0.1:5001\n") && text.contains("bind 127.0.0.1:7000\n"));
    }
}
