//! `docker` and `docker compose` as programs: version 2 of the latter, or the 1.29 that Debian 12 has.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command of `docker` printed, or why it failed.
pub fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.args(arguments);
    said(command, arguments)
}

/// The same for one that has to work.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap_or_else(|why| panic!("{why}"))
}

fn said(mut command: Command, arguments: &[&str]) -> Result<String, String> {
    let what = || format!("{} {}", command_name(&command), arguments.join(" "));
    let name = what();
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name}: cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}: {}", output.status, errors.trim()))
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// One project: the files of this repository under a name and ports of its own.
#[derive(Debug)]
pub struct Project {
    pub name: String,
    /// The variables that the files ask for.
    pub variables: BTreeMap<String, String>,
}

impl Project {
    /// A command of compose that has to work.
    #[track_caller]
    pub fn compose(&self, arguments: &[&str]) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = match Command::new("docker-compose").arg("version").output() {
            Ok(output) if output.status.success() => Command::new("docker-compose"),
            Ok(_) | Err(_) => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
        };
        command.current_dir(root).envs(&self.variables);
        command.args(["-p", &self.name, "-f", "compose.yaml"]);
        command.args(["-f", "tests/stack/with-sys-admin.yaml"]).args(arguments);
        said(command, arguments).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The containers of a service, those that do not run included.
    fn containers(&self, service: Option<&str>) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let mut arguments = vec!["ps", "--all", "--quiet", "--filter", &project];
        let service = service.map(|name| format!("label=com.docker.compose.service={name}"));
        if let Some(service) = &service {
            arguments.extend(["--filter", service]);
        }
        docker(&arguments).lines().map(str::to_owned).collect()
    }

    /// The container of a service.
    #[track_caller]
    pub fn container(&self, service: &str) -> String {
        let found = self.containers(Some(service));
        assert_eq!(found.len(), 1, "containers of {service}: {found:?}");
        found.into_iter().next().expect("just counted")
    }

    /// What `docker inspect` says of a service's container.
    #[track_caller]
    pub fn inspect(&self, service: &str, template: &str) -> String {
        docker(&["inspect", "--format", template, &self.container(service)])
    }

    /// What is there of this project: containers, volumes, networks.
    pub fn remains(&self) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let mut all = self.containers(None);
        for kind in ["volume", "network"] {
            let found = docker(&[kind, "ls", "--quiet", "--filter", &filter]);
            all.extend(found.lines().map(|line| format!("{kind} {line}")));
        }
        all
    }
}
