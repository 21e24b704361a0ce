//! The files that deploy pgbaton elsewhere say the same as compose.yaml does, and fit the schemas of who reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file, with what is merged into others (`<<`) merged.
fn documents(path: &str) -> Vec<Value> {
    let text = text(path);
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| {
        let mut value = serde_yaml::Value::deserialize(document).expect("YAML");
        value.apply_merge().expect("what is merged is a mapping");
        serde_json::to_value(value).expect("plain data")
    });
    documents.collect()
}

fn services(path: &str) -> Value {
    documents(path)[0]["services"].clone()
}

#[test]
fn the_swarm_stack_runs_what_the_compose_file_runs() {
    let (compose, swarm) = (services("compose.yaml"), services("deploy/swarm/stack.yaml"));
    for name in ["etcd-1", "etcd-2", "etcd-3", "pg-a", "pg-b", "pg-c", "haproxy", "prometheus"] {
        let (here, there) = (&compose[name], &swarm[name]);
        assert!(there.is_object(), "{name} is missing");
        assert_eq!(here["image"], there["image"], "{name}");
        assert_eq!(here["environment"], there["environment"], "{name}");
        assert_eq!(here["volumes"], there["volumes"], "{name}");
        assert_eq!(there["deploy"]["endpoint_mode"], "dnsrr", "{name}: no virtual address");
        for port in there["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["mode"], "host", "{name}: {port}");
        }
    }
}

#[test]
fn every_stateful_service_of_the_swarm_stays_with_its_machine_and_is_not_killed_for_its_health() {
    let swarm = services("deploy/swarm/stack.yaml");
    for name in ["etcd-1", "etcd-2", "etcd-3", "pg-a", "pg-b", "pg-c"] {
        let service = &swarm[name];
        assert_eq!(service["healthcheck"]["disable"], true, "{name}");
        assert_eq!(service["deploy"]["update_config"]["order"], "stop-first", "{name}");
        let places = service["deploy"]["placement"]["constraints"].as_array();
        assert_eq!(places.map(Vec::len), Some(1), "{name}");
    }
}

#[test]
fn every_node_of_the_compose_file_is_routed_to_and_scraped() {
    let compose = services("compose.yaml");
    let haproxy = text("docker/haproxy.cfg");
    let prometheus = text("docker/prometheus/prometheus.yml");
    let names: BTreeSet<&str> = compose
        .as_object()
        .expect("services")
        .iter()
        .filter_map(|(_, service)| service["environment"]["PATRONI_NAME"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(["pg-a", "pg-b", "pg-c"]));
    for name in names {
        let server = format!("server {name} {name}:5432 check port 8008");
        assert_eq!(haproxy.matches(&server).count(), 2, "{name}: for writes and for reads");
        assert!(prometheus.contains(&format!("\"{name}:8008\"")), "{name}");
        let service = &compose[name];
        assert!(service["init"].is_null(), "{name}: the guardian has to be the first process");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
    }
}

/// The two ways of routing differ in names only.
#[test]
fn the_checks_of_all_haproxy_files_are_the_same() {
    let checks = |path: &str| {
        let kept = ["option httpchk", "http-check", "timeout", "retries", "option redispatch"];
        let lines = text(path);
        let lines = lines.lines().map(str::trim);
        let mut found: Vec<String> = lines
            .filter(|line| kept.iter().any(|start| line.starts_with(start)))
            .filter(|line| !line.starts_with("timeout resolve") && *line != "timeout retry   1s")
            .filter(|line| !line.starts_with("timeout retry"))
            .map(str::to_owned)
            .collect();
        found.push(
            text(path)
                .lines()
                .find_map(|line| line.trim().strip_prefix("default-server "))
                .expect("how servers are checked")
                .split(" resolvers ")
                .next()
                .expect("a first part")
                .to_owned(),
        );
        found
    };
    let ours = checks("haproxy.cfg");
    assert_eq!(checks("docker/haproxy.cfg"), ours);
    assert_eq!(checks("deploy/k3s/30-haproxy.yaml"), ours);
}

#[test]
fn the_kubernetes_manifests_probe_the_agent() {
    let all = documents("deploy/k3s/20-postgresql.yaml");
    let set = all.iter().find(|one| one["kind"] == "StatefulSet").expect("a StatefulSet");
    let node = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(node["livenessProbe"]["httpGet"]["path"], "/liveness");
    assert_eq!(node["readinessProbe"]["httpGet"]["path"], "/readiness");
    assert_eq!(set["spec"]["volumeClaimTemplates"].as_array().map(Vec::len), Some(1));
    let headless = all.iter().find(|one| one["kind"] == "Service").expect("a Service");
    assert_eq!(headless["spec"]["clusterIP"], "None");
    assert_eq!(headless["spec"]["publishNotReadyAddresses"], true);
}

#[test]
fn the_kubernetes_manifests_fit_the_schemas() {
    let output = Command::new(root().join("scripts/check-manifests")).output();
    let output = output.expect("the script can be started");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
