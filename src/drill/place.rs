//! Where a drill takes place: which nodes, etcd members and HAProxy there are, how clients reach them, and
//! how each is stopped, killed and started. What runs them is `demo` or `compose`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{compose, demo};
use crate::config::Credentials;
use crate::traffic::Target;

/// One node as the outside reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The member's name.
    pub name: String,
    /// Its REST API: host and port.
    pub rest: String,
    /// Its server, as clients on this machine reach it: host and port.
    pub postgres: (String, u16),
    /// Its server's own address and port, by which traffic knows it.
    pub own_address: String,
}

/// Everything that a drill works on.
#[derive(Clone, Debug)]
pub struct Place {
    /// What runs it.
    pub keeper: Keeper,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
    /// etcd's members, by name.
    pub etcd: Vec<String>,
    /// HAProxy: its name, and its ports for writes and reads.
    pub proxy: Option<Proxy>,
    /// The account that traffic uses.
    pub superuser: Credentials,
    /// The account of the REST API.
    pub rest: Option<Credentials>,
}

/// HAProxy as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// The port for writes.
    pub write: u16,
    /// The port for reads.
    pub read: u16,
}

/// What runs it.
#[derive(Clone, Debug)]
pub enum Keeper {
    /// `pgbaton demo`, by its directory.
    Demo(demo::Crew),
    /// Containers of a compose project.
    Compose(compose::Project),
}

impl Place {
    /// Tells a process or container to stop, and waits until it has.
    pub async fn stop(&self, name: &str) -> Result<()> {
        match &self.keeper {
            Keeper::Demo(crew) => crew.stop(name).await,
            Keeper::Compose(project) => project.docker(&["stop", &project.container(name)?]).await,
        }
        .with_context(|| format!("{name} could not be stopped"))
    }

    /// Kills it, with all that it has started.
    pub async fn kill(&self, name: &str) -> Result<()> {
        match &self.keeper {
            Keeper::Demo(crew) => crew.kill(name).await,
            Keeper::Compose(project) => project.docker(&["kill", &project.container(name)?]).await,
        }
        .with_context(|| format!("{name} could not be killed"))
    }

    /// Starts it, or waits for whoever does so by himself.
    pub async fn start(&self, name: &str) -> Result<()> {
        match &self.keeper {
            Keeper::Demo(crew) => crew.wait_for_return(name).await,
            Keeper::Compose(project) => project.docker(&["start", &project.container(name)?]).await,
        }
        .with_context(|| format!("{name} was not started again"))
    }

    /// The same place as it is now: a container that was started again may have other ports.
    pub async fn found_again(&self) -> Result<Self> {
        match &self.keeper {
            Keeper::Demo(_) => Ok(self.clone()),
            Keeper::Compose(project) => compose::find(Some(&project.name), None).await,
        }
    }

    /// How it is called when people are asked.
    pub fn title(&self) -> String {
        match &self.keeper {
            Keeper::Demo(crew) => format!("the demo in {}", crew.dir.display()),
            Keeper::Compose(project) => format!("the compose project {}", project.name),
        }
    }

    /// Whether it was made to be broken.
    pub fn is_demo(&self) -> bool {
        matches!(self.keeper, Keeper::Demo(_))
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// How traffic reaches the cluster: through HAProxy, or by the names of all hosts.
    ///
    /// # Errors
    /// When there is no HAProxy to go through.
    pub fn targets(&self, is_direct: bool) -> Result<(Target, Target)> {
        let Credentials { username, password } = &self.superuser;
        let account =
            format!("user={} password={} dbname=postgres", quoted(username), quoted(password));
        let texts = if is_direct {
            let hosts: Vec<&str> = self.nodes.iter().map(|it| it.postgres.0.as_str()).collect();
            let ports: Vec<String> =
                self.nodes.iter().map(|it| it.postgres.1.to_string()).collect();
            let hosts = format!("{account} host={} port={}", hosts.join(","), ports.join(","));
            [
                format!("{hosts} target_session_attrs=read-write"),
                format!("{hosts} load_balance_hosts=random"),
            ]
        } else {
            let proxy = self.proxy.as_ref().context("no HAProxy was found to go through")?;
            let through = |port: u16| format!("{account} host={} port={port}", proxy.host);
            [through(proxy.write), through(proxy.read)]
        };
        let [write, read] = texts.map(|text| Target::parse(&text));
        Ok((write?, read?))
    }

    /// The nodes' names by the addresses that traffic sees.
    pub fn names(&self) -> BTreeMap<String, String> {
        self.nodes.iter().map(|node| (node.own_address.clone(), node.name.clone())).collect()
    }
}

/// A value as it can stand in a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_anything() {
        assert_eq!(quoted(r"it's a \ one"), r"'it\'s a \\ one'");
        let text = format!("host=a user='b' password={}", quoted(r"it's a \ one"));
        let target = Target::parse(&text).unwrap();
        assert_eq!(target.config().get_password(), Some(&br"it's a \ one"[..]));
    }
}
