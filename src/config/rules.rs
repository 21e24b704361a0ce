//! What keys mean together: what is required, what contradicts, what will be adjusted.

use serde_json::Value;

use super::check::Findings;
use super::dynamic::{Dynamic, Floors};
use super::effective::{Side, merge_sides};
use super::listen::Listen;
use super::node::NodeConfig;
use super::tags::Tags;
use super::yaml::{Node, Place};
use super::{HostPort, etcd, known};
use crate::values::{LeaseTimes, SMALLEST_TTL_AT_DEFAULT_ELECTION};

/// Where a key stands, or would stand; no line when nothing of its path is there.
pub(super) fn place_of(root: &Node, key: &str) -> Place {
    let place = root.place_of(key);
    if place == &root.place { Place { line: None, ..place.clone() } } else { place.clone() }
}

/// Checks what can be checked before a [`NodeConfig`] is built.
pub(super) fn check(root: &Node, findings: &mut Findings) {
    required(root, findings);
    names(root, findings);
    store(root, findings);
    pairs(root, findings);
    addresses(root, findings);
    bootstrap(root, findings);
    let (_, contradictions) = Tags::from_map(&section(root, "tags"));
    for message in contradictions {
        findings.warning(&place_of(root, "tags"), "tags", message);
    }
}

/// Checks for what the command line tool needs: a cluster's name may be given to it otherwise.
pub(super) fn check_for_tool(root: &Node, findings: &mut Findings) {
    names(root, findings);
    store(root, findings);
    pairs(root, findings);
}

fn section(root: &Node, key: &str) -> serde_json::Map<String, Value> {
    root.at(key).map(Node::to_map).unwrap_or_default()
}

const REQUIRED: [(&str, &str); 6] = [
    ("scope", "the cluster's name, such as scope: shop"),
    ("restapi.listen", "the REST API's address, such as 10.0.0.1:8008"),
    ("postgresql.listen", "the server's address, such as 10.0.0.1:5432"),
    ("postgresql.data_dir", "the path of the data directory"),
    ("postgresql.authentication.superuser.username", "the superuser's name, such as postgres"),
    ("postgresql.authentication.replication.username", "the replicating role's name"),
];

/// Older spellings that stand for a required key.
const INSTEAD: [(&str, &str); 2] = [
    ("postgresql.authentication.superuser.username", "postgresql.superuser.username"),
    ("postgresql.authentication.replication.username", "postgresql.replication.username"),
];

fn required(root: &Node, findings: &mut Findings) {
    for (key, what) in REQUIRED {
        let is_there = |key: &str| root.at(key).is_some();
        let older = INSTEAD.iter().find(|(newer, _)| *newer == key);
        if !is_there(key) && !older.is_some_and(|(_, older)| is_there(older)) {
            findings.error(&place_of(root, key), key, format!("is missing: expected {what}"));
        }
    }
    if root.at("name").or_else(|| root.at("postgresql.name")).is_none() {
        let message = "is missing: expected this member's name, unique in the cluster";
        findings.error(&place_of(root, "name"), "name", message);
    }
}

/// Names become parts of keys in the store.
fn names(root: &Node, findings: &mut Findings) {
    for key in ["scope", "name", "namespace"] {
        let Some(name) = root.at(key).and_then(Node::text) else { continue };
        let is_odd = |c: char| c.is_control() || (c == '/' && key == "name");
        if name.is_empty() || name.contains(is_odd) {
            let message = format!("expected a name without slashes, found {name:?}");
            findings.error(&place_of(root, key), key, message);
        }
    }
}

/// Exactly one store is used, and it is etcd.
fn store(root: &Node, findings: &mut Findings) {
    const OTHERS: [&str; 5] = ["consul", "exhibitor", "kubernetes", "raft", "zookeeper"];
    if let Some(section) = root.at("etcd3") {
        let named = ["host", "hosts", "url"].iter().any(|key| section.at(key).is_some());
        if !named {
            let message = "expected host, hosts or url: where etcd answers";
            findings.error(&place_of(root, "etcd3"), "etcd3", message);
        } else if let Some((key, message)) = etcd::problem(section) {
            // A value of the wrong type was said already.
            if findings.list.iter().all(|found| !found.key.starts_with("etcd3.")) {
                let key = format!("etcd3.{key}");
                findings.error(&place_of(root, &key), &key, message);
            }
        }
        if root.at("etcd").is_some() {
            let message = "is not used: etcd3 is there, too";
            findings.warning(&place_of(root, "etcd"), "etcd", message);
        }
    } else if root.at("etcd").is_some() {
        let message = "pgbaton speaks etcd's API of version 3 only, whose keys are others than \
                       those of version 2: name the section etcd3";
        findings.error(&place_of(root, "etcd"), "etcd", message);
    } else {
        let other = OTHERS.iter().find(|name| root.at(name).is_some());
        let message = match other {
            Some(other) => format!("is missing: pgbaton cannot keep its state in {other}"),
            None => "is missing: expected how to reach etcd, such as hosts: [10.0.0.9:2379]".into(),
        };
        findings.error(&place_of(root, "etcd3"), "etcd3", message);
    }
}

/// A user without a password, or the reverse.
fn pairs(root: &Node, findings: &mut Findings) {
    for key in ["restapi.authentication", "ctl.authentication"] {
        if root.at(key).is_some() && half_of_a_pair(root, key) {
            let message = "expected both username and password";
            findings.error(&place_of(root, key), key, message);
        }
    }
    if half_of_a_pair(root, "etcd3") && root.at("etcd3.url").is_none() {
        let message = "username and password count only together: neither does";
        findings.warning(&place_of(root, "etcd3"), "etcd3", message);
    }
    if root.at("etcd3.key").is_some() && root.at("etcd3.cert").is_none() {
        let message = "does not count without etcd3.cert";
        findings.warning(&place_of(root, "etcd3.key"), "etcd3.key", message);
    }
}

fn half_of_a_pair(root: &Node, section: &str) -> bool {
    let has = |key: &str| root.at(&format!("{section}.{key}")).is_some();
    has("username") != has("password")
}

/// Others must be able to reach this node by what it publishes.
fn addresses(root: &Node, findings: &mut Findings) {
    let address = |key: &str| root.at(key)?.text()?.parse::<HostPort>().ok();
    let rest = ("restapi.connect_address", "restapi.listen", address("restapi.listen"));
    let listen = root.at("postgresql.listen").and_then(Node::text).and_then(Listen::parse);
    let first = listen.map(|listen| HostPort {
        host: listen.first_to_publish().map_or_else(|| listen.hosts[0].clone(), |one| one.host),
        port: listen.port,
    });
    let server = ("postgresql.connect_address", "postgresql.listen", first);
    for (key, fallback, otherwise) in [rest, server] {
        let given = address(key);
        let (shown, published) = match (given, otherwise) {
            (Some(given), _) => (key, given),
            (None, Some(otherwise)) if root.at(key).is_none() => (fallback, otherwise),
            _ => continue,
        };
        let is_wildcard = matches!(published.host.as_str(), "" | "*" | "0.0.0.0" | "::");
        if is_wildcard {
            let message = format!(
                "expected the address by which others reach this node, found {published} from \
                 {shown}"
            );
            findings.error(&place_of(root, shown), key, message);
        } else if published.is_local_only() && !etcd_is_on_loopback(root) {
            let message = format!("other machines cannot reach this node at {published}");
            findings.warning(&place_of(root, shown), key, message);
        }
    }
}

/// A cluster whose etcd answers on loopback lives on one machine.
fn etcd_is_on_loopback(root: &Node) -> bool {
    let mut texts = Vec::new();
    for key in ["etcd3.host", "etcd3.hosts", "etcd3.url"] {
        texts.extend(root.at(key).and_then(super::value_kinds::host_list).unwrap_or_default());
    }
    let is_loopback = |text: &String| {
        let host = text.split("//").last().unwrap_or_default();
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
    };
    !texts.is_empty() && texts.iter().all(is_loopback)
}

fn bootstrap(root: &Node, findings: &mut Findings) {
    let Some(bootstrap) = root.at("bootstrap") else { return };
    if let Some(method) = bootstrap.at("method").and_then(Node::text)
        && method != "initdb"
    {
        let message = "pgbaton can only bootstrap with initdb yet, and would make an empty cluster";
        findings.error(&place_of(root, "bootstrap.method"), "bootstrap.method", message);
    }
    let key = "bootstrap.dcs";
    let Some(document) = bootstrap.at("dcs") else {
        findings.warning(&place_of(root, key), key, "is missing: a new cluster gets the defaults");
        return;
    };
    let document = Value::Object(document.to_map());
    // A time that is no number was said key by key.
    let Ok((dynamic, adjustments)) = Dynamic::from_document(&document, Floors::Own) else { return };
    for one in adjustments {
        let key = format!("{key}.{}", one.key);
        // The types were checked already: only what does not fit together is new here, and what
        // stands in an entry whose name is the user's own.
        let above = key.rsplit_once('.').map_or("", |(above, _)| above);
        let is_known = known::find(&key).is_some() || known::find(above).is_some();
        if is_known && findings.list.iter().all(|found| found.key != key) {
            findings.warning(&place_of(root, &key), &key, one.message);
        }
    }
    let floor = SMALLEST_TTL_AT_DEFAULT_ELECTION;
    if dynamic.ttl.as_secs() < floor {
        let message = format!(
            "{} s does not outlive the election of a new etcd leader at etcd's default election \
             timeout of 1 s: use {floor} or more, or an election timeout of at most {} ms",
            dynamic.ttl.as_secs(),
            longest_election_millis(dynamic.ttl),
        );
        let key = format!("{key}.ttl");
        findings.warning(&place_of(root, &key), &key, message);
    }
}

/// The longest election timeout that a `ttl` outlives, in steps of 50 ms.
fn longest_election_millis(ttl: std::time::Duration) -> u64 {
    let steps = (1..=20).map(|step| step * 50);
    let fits = |millis: &u64| LeaseTimes::floor(std::time::Duration::from_millis(*millis)) <= ttl;
    steps.take_while(fits).last().unwrap_or(50)
}

/// Checks what the node's settings and those of a new cluster come to together.
pub(super) fn check_together(root: &Node, node: &NodeConfig, findings: &mut Findings) {
    let document = node.bootstrap.as_ref().map(|bootstrap| Value::Object(bootstrap.dcs.clone()));
    let dynamic = document
        .and_then(|document| Dynamic::from_document(&document, Floors::Own).ok())
        .map_or_else(Dynamic::default, |(dynamic, _)| dynamic);
    let (_, refused) = merge_sides(node, &dynamic);
    for (side, one) in refused {
        let key = match side {
            Side::Local => one.key,
            Side::Cluster => format!("bootstrap.dcs.{}", one.key),
        };
        findings.warning(&place_of(root, &key), &key, one.message);
    }
}
