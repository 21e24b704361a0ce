//! The containers of a compose project as the place of a drill. What they are is read from what Docker says
//! of them: labels, environment, published ports. Nothing is read from a compose file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::place::{Keeper, Node, Place, Proxy};
use crate::config::Credentials;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const FILES: &str = "com.docker.compose.project.config_files";
/// The ports inside the containers.
const POSTGRESQL: &str = "5432/tcp";
const REST: &str = "8008/tcp";
const WRITES: &str = "5000/tcp";
const READS: &str = "5001/tcp";

/// A compose project's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Containers by the names that a drill uses.
    containers: BTreeMap<String, String>,
}

impl Project {
    /// The container of a node, an etcd member or HAProxy.
    pub fn container(&self, name: &str) -> Result<String> {
        self.containers.get(name).cloned().with_context(|| format!("{name} has no container"))
    }

    /// Runs the `docker` program.
    pub async fn docker(&self, arguments: &[&str]) -> Result<()> {
        docker(arguments).await.map(drop)
    }
}

/// Finds a project: by its name, by its file, or the only one that has nodes of ours.
///
/// # Errors
/// When there is none, or more than one to choose from.
pub async fn find(name: Option<&str>, file: Option<&Path>) -> Result<Place> {
    let label = format!("label={PROJECT}");
    let listed = docker(&["ps", "--all", "--quiet", "--filter", &label]).await?;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    ensure!(!ids.is_empty(), "no compose project has a container here: `docker compose up` first");
    let mut arguments = vec!["inspect"];
    arguments.extend(ids);
    let text = docker(&arguments).await?;
    let containers: Vec<Value> = serde_json::from_str(&text).context("`docker inspect`")?;
    let file = match file {
        Some(file) => Some(file.canonicalize().with_context(|| file.display().to_string())?),
        None => None,
    };
    let found = projects(&containers, name, file.as_deref());
    match &found[..] {
        [one] => read(&containers, one),
        [] => bail!(
            "no running container has PATRONI_NAME and the compose project that was asked for; \
             `docker compose ls` lists projects"
        ),
        many => {
            bail!("more than one project has nodes: {}; choose with --project", many.join(", "))
        }
    }
}

async fn docker(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().await.context("the program `docker` could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {}", arguments[0], said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn label<'a>(container: &'a Value, name: &str) -> &'a str {
    container["Config"]["Labels"][name].as_str().unwrap_or_default()
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let variables = container["Config"]["Env"].as_array()?;
    variables.iter().filter_map(Value::as_str).find_map(|line| {
        line.split_once('=').filter(|(found, _)| *found == name).map(|(_, value)| value)
    })
}

/// The names of the projects that have nodes of ours.
fn projects(containers: &[Value], name: Option<&str>, file: Option<&Path>) -> Vec<String> {
    let mut found: Vec<String> = containers
        .iter()
        .filter(|it| variable(it, "PATRONI_NAME").is_some())
        .filter(|it| name.is_none_or(|name| label(it, PROJECT) == name))
        .filter(|it| {
            file.is_none_or(|file| label(it, FILES).split(',').any(|one| Path::new(one) == file))
        })
        .map(|it| label(it, PROJECT).to_owned())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What a project has.
fn read(containers: &[Value], project: &str) -> Result<Place> {
    let ours: Vec<&Value> = containers.iter().filter(|it| label(it, PROJECT) == project).collect();
    let mut names = BTreeMap::new();
    let (mut nodes, mut etcd, mut proxy, mut superuser, mut rest) =
        (Vec::new(), Vec::new(), None, None, None);
    for container in ours {
        let id = container["Id"].as_str().unwrap_or_default().to_owned();
        let service = label(container, SERVICE);
        if let Some(name) = variable(container, "PATRONI_NAME") {
            names.insert(name.to_owned(), id);
            nodes.push(node(container, name)?);
            superuser = superuser.or_else(|| account(container, "PATRONI_SUPERUSER"));
            rest = rest.or_else(|| account(container, "PATRONI_RESTAPI"));
        } else if let Some(name) = variable(container, "ETCD_NAME") {
            names.insert(name.to_owned(), id);
            etcd.push(name.to_owned());
        } else if service == "haproxy" {
            let (host, write) = published(container, WRITES)?;
            let (_, read) = published(container, READS)?;
            names.insert(service.to_owned(), id);
            proxy = Some(Proxy { name: service.to_owned(), host, write, read });
        }
    }
    nodes.sort_by(|a: &Node, b| a.name.cmp(&b.name));
    etcd.sort();
    let superuser = superuser.context("no node has PATRONI_SUPERUSER_PASSWORD")?;
    let project = Project { name: project.to_owned(), containers: names };
    Ok(Place { keeper: Keeper::Compose(project), nodes, etcd, proxy, superuser, rest })
}

fn node(container: &Value, name: &str) -> Result<Node> {
    let (rest_host, rest_port) = published(container, REST)?;
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let addresses = networks.into_iter().flatten();
    let address = addresses.filter_map(|(_, network)| network["IPAddress"].as_str()).next();
    Ok(Node {
        name: name.to_owned(),
        rest: format!("{rest_host}:{rest_port}"),
        postgres: published(container, POSTGRESQL)?,
        own_address: format!("{}:5432", address.unwrap_or_default()),
    })
}

/// Where a container's port is reached from this machine.
fn published(container: &Value, port: &str) -> Result<(String, u16)> {
    let name = container["Name"].as_str().unwrap_or_default().trim_start_matches('/');
    let bindings = container["NetworkSettings"]["Ports"][port].as_array();
    let first = bindings.and_then(|bindings| bindings.first());
    let first = first.with_context(|| {
        format!("the container {name} does not publish its port {port}, or does not run")
    })?;
    let host = match first["HostIp"].as_str().unwrap_or_default() {
        "" | "0.0.0.0" | "::" => "127.0.0.1",
        host => host,
    };
    let number = first["HostPort"].as_str().and_then(|text| text.parse().ok());
    Ok((host.to_owned(), number.with_context(|| format!("{name}: no number for {port}"))?))
}

fn account(container: &Value, prefix: &str) -> Option<Credentials> {
    let part = |name: &str| variable(container, &format!("{prefix}_{name}")).map(str::to_owned);
    Some(Credentials { username: part("USERNAME")?, password: part("PASSWORD")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(service: &str, environment: &[&str], ports: Value) -> Value {
        json!({
            "Id": format!("id-of-{service}"),
            "Name": format!("/stack_{service}_1"),
            "Config": {
                "Env": environment,
                "Labels": {PROJECT: "stack", SERVICE: service, FILES: "/srv/compose.yaml"},
            },
            "NetworkSettings": {
                "Networks": {"stack_cluster": {"IPAddress": "172.20.0.5"}},
                "Ports": ports,
            },
        })
    }

    fn stack() -> Vec<Value> {
        let accounts = [
            "PATRONI_NAME=pg-a",
            "PATRONI_SUPERUSER_USERNAME=postgres",
            "PATRONI_SUPERUSER_PASSWORD=a=b",
        ];
        let at = |port: &str| json!([{"HostIp": "0.0.0.0", "HostPort": port}]);
        vec![
            container("pg-a", &accounts, json!({POSTGRESQL: at("5432"), REST: at("8008")})),
            container("etcd-1", &["ETCD_NAME=etcd-1"], json!({})),
            container("haproxy", &[], json!({WRITES: at("5000"), READS: at("5001")})),
            container("prometheus", &[], json!({})),
        ]
    }

    #[test]
    fn what_there_is_is_read_from_what_docker_says() {
        let place = read(&stack(), "stack").unwrap();
        assert_eq!((place.nodes.len(), place.etcd.as_slice()), (1, &["etcd-1".to_owned()][..]));
        let node = &place.nodes[0];
        assert_eq!(
            (node.rest.as_str(), node.own_address.as_str()),
            ("127.0.0.1:8008", "172.20.0.5:5432")
        );
        assert_eq!(place.superuser.password, "a=b");
        assert_eq!(place.proxy.as_ref().map(|proxy| (proxy.write, proxy.read)), Some((5000, 5001)));
        let Keeper::Compose(project) = &place.keeper else { panic!("compose") };
        assert_eq!(project.container("pg-a").unwrap(), "id-of-pg-a");
        assert!(project.container("prometheus").is_err());
    }

    #[test]
    fn a_project_is_chosen_by_name_or_file() {
        let containers = stack();
        assert_eq!(projects(&containers, None, None), ["stack"]);
        assert_eq!(projects(&containers, Some("other"), None), [""; 0]);
        assert_eq!(projects(&containers, None, Some(Path::new("/srv/compose.yaml"))), ["stack"]);
        assert!(projects(&containers, None, Some(Path::new("/elsewhere.yaml"))).is_empty());
    }

    #[test]
    fn a_port_that_is_not_published_is_named() {
        let lonely = container("pg-a", &["PATRONI_NAME=pg-a"], json!({}));
        let error = read(&[lonely], "stack").unwrap_err().to_string();
        assert!(error.contains("stack_pg-a_1") && error.contains("8008/tcp"), "{error}");
    }
}
