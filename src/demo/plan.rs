//! What the cluster will look like: members, ports, passwords. Kept in the directory, so that a later
//! run goes on with the same.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

use super::Options;
use super::folder::{Folder, RECORD};
use super::ports::{HOST, Ports};

/// The whole cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster's `ttl`, in seconds.
    pub ttl_seconds: u64,
    /// The members, by name.
    pub nodes: Vec<Node>,
    /// etcd's members.
    pub etcd: Vec<EtcdMember>,
    /// HAProxy's ports.
    pub proxy: ProxyPorts,
    /// The accounts' passwords.
    pub passwords: Passwords,
    /// Ports that somebody else has, and that were therefore left out.
    #[serde(skip)]
    pub avoided_ports: Vec<u16>,
    /// Whether there is data of an earlier run.
    #[serde(skip)]
    pub is_continued: bool,
}

/// One node: an agent and its server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The member's name.
    pub name: String,
    /// PostgreSQL's port.
    pub postgresql_port: u16,
    /// The REST API's port.
    pub rest_port: u16,
}

impl Node {
    /// The name of its configuration file.
    pub fn file_name(&self) -> String {
        format!("{}.yml", self.name)
    }

    /// Where its REST API answers.
    pub fn rest_address(&self) -> String {
        format!("{HOST}:{}", self.rest_port)
    }
}

/// One member of etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EtcdMember {
    /// Its name, also that of its data directory.
    pub name: String,
    /// Where clients reach it.
    pub client_port: u16,
    /// Where the other members reach it.
    pub peer_port: u16,
}

impl EtcdMember {
    /// Where clients reach it.
    pub fn client_address(&self) -> String {
        format!("{HOST}:{}", self.client_port)
    }
}

/// HAProxy's ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyPorts {
    /// To the primary.
    pub write: u16,
    /// To the standbys.
    pub read: u16,
    /// Statistics page and metrics.
    pub stats: u16,
}

/// Passwords, made up for one demo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passwords {
    /// Of `postgres`.
    pub superuser: String,
    /// Of `replicator`.
    pub replication: String,
    /// Of `rewind_user`.
    pub rewind: String,
    /// Of the REST API's user.
    pub rest: String,
}

impl Passwords {
    fn make_up() -> Self {
        let word =
            || rand::rng().sample_iter(&Alphanumeric).take(16).map(char::from).collect::<String>();
        Self { superuser: word(), replication: word(), rewind: word(), rest: word() }
    }
}

impl Plan {
    /// Plans what was asked for, on ports that are free now, with what an earlier run in the same
    /// directory has settled; and writes it down there.
    pub fn make(options: &Options, folder: &Folder) -> Result<Self> {
        let before = read_record(folder)?;
        let plan = Self::after(before.as_ref(), options)?;
        plan.write_record(folder)?;
        Ok(plan)
    }

    /// What the demo in this directory runs on.
    ///
    /// # Errors
    /// When no demo has written anything there.
    pub fn recorded_in(dir: &Path) -> Result<Self> {
        let path = dir.join(RECORD);
        let text = fs::read(&path).with_context(|| {
            format!("`{}` cannot be read; expected the --dir of a running demo", path.display())
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is not what a demo writes", path.display()))
    }

    fn after(before: Option<&Self>, options: &Options) -> Result<Self> {
        if let Some(before) = before {
            ensure!(
                before.etcd.len() == usize::from(options.etcd_members),
                "this demo has {} etcd members; start it again with `--etcd {0}`",
                before.etcd.len()
            );
        }
        let mut ports = Ports::starting_at(options.first_port);
        // The ports of etcd's members stand in its data: they come first, before another takes them.
        let etcd = (0..usize::from(options.etcd_members))
            .map(|index| plan_etcd(index, before, &mut ports))
            .collect::<Result<Vec<_>>>()?;
        let was = before.map(|before| &before.proxy);
        let proxy = ProxyPorts {
            write: ports.take(was.map(|was| was.write), 5000)?,
            read: ports.take(was.map(|was| was.read), 5001)?,
            stats: ports.take(was.map(|was| was.stats), 7000)?,
        };
        let nodes = (0..options.nodes)
            .map(|index| {
                let name = node_name(index);
                let was = before.and_then(|it| it.nodes.iter().find(|node| node.name == name));
                let postgresql_port =
                    ports.take(was.map(|was| was.postgresql_port), 5432 + index)?;
                let rest_port = ports.take(was.map(|was| was.rest_port), 8008 + index)?;
                Ok(Node { name, postgresql_port, rest_port })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            ttl_seconds: before.map_or(options.ttl_seconds, |before| before.ttl_seconds),
            nodes,
            etcd,
            proxy,
            passwords: before.map_or_else(Passwords::make_up, |before| before.passwords.clone()),
            avoided_ports: ports.avoided().collect(),
            is_continued: before.is_some(),
        })
    }

    fn write_record(&self, folder: &Folder) -> Result<()> {
        let path = folder.path().join(RECORD);
        let text = serde_json::to_vec_pretty(self).context("the plan cannot be written down")?;
        let mut open = fs::OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        open.open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &text))
            .with_context(|| format!("`{}` could not be written", path.display()))
    }

    /// The members' client addresses, as a node file lists them.
    pub fn etcd_hosts(&self) -> String {
        self.etcd.iter().map(EtcdMember::client_address).collect::<Vec<_>>().join(",")
    }
}

fn read_record(folder: &Folder) -> Result<Option<Plan>> {
    let path: PathBuf = folder.path().join(RECORD);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("`{}` cannot be read", path.display()));
        }
    };
    let plan = serde_json::from_slice(&text).with_context(|| {
        format!("`{}` is not what a demo writes; remove it to start anew", path.display())
    })?;
    Ok(Some(plan))
}

/// `pg-a`, `pg-b`, ...
fn node_name(index: u16) -> String {
    let letter = u8::try_from(index).ok().and_then(|index| b'a'.checked_add(index));
    match letter.filter(u8::is_ascii_lowercase) {
        Some(letter) => format!("pg-{}", char::from(letter)),
        None => format!("pg-{index}"),
    }
}

fn plan_etcd(index: usize, before: Option<&Plan>, ports: &mut Ports) -> Result<EtcdMember> {
    let name = format!("etcd-{}", index + 1);
    let usual = 2379 + 2 * u16::try_from(index).context("so many members")?;
    match before.and_then(|before| before.etcd.get(index).map(|was| (was, before.etcd.len()))) {
        Some((was, members)) if members > 1 => {
            let why = "the data of etcd's members names it";
            let peer_port = ports.take_again(was.peer_port, why)?;
            let client_port = ports.take(Some(was.client_port), usual)?;
            Ok(EtcdMember { name, client_port, peer_port })
        }
        was => {
            let was = was.map(|(was, _)| was);
            let client_port = ports.take(was.map(|was| was.client_port), usual)?;
            let peer_port = ports.take(was.map(|was| was.peer_port), usual + 1)?;
            Ok(EtcdMember { name, client_port, peer_port })
        }
    }
}

/// The plan behind the sample files in `config/`.
#[cfg(test)]
pub fn sample() -> Plan {
    let node = |index: u16| Node {
        name: node_name(index),
        postgresql_port: 5432 + index,
        rest_port: 8008 + index,
    };
    Plan {
        ttl_seconds: 5,
        nodes: (0..3).map(node).collect(),
        etcd: vec![EtcdMember { name: "etcd-1".to_owned(), client_port: 2379, peer_port: 2380 }],
        proxy: ProxyPorts { write: 5000, read: 5001, stats: 7000 },
        passwords: Passwords {
            superuser: "change-me-superuser".to_owned(),
            replication: "change-me-replication".to_owned(),
            rewind: "change-me-rewind".to_owned(),
            rest: "change-me-rest".to_owned(),
        },
        avoided_ports: Vec::new(),
        is_continued: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test has ports of its own: they run side by side.
    fn options(nodes: u16, etcd_members: u16, first_port: u16) -> Options {
        Options { nodes, dir: None, ttl_seconds: 5, etcd_members, first_port: Some(first_port) }
    }

    #[test]
    fn a_later_run_keeps_ports_passwords_and_ttl() {
        let first = Plan::after(None, &options(3, 1, 23_000)).unwrap();
        let asked = Options { ttl_seconds: 9, ..options(4, 1, 23_000) };
        let second = Plan::after(Some(&first), &asked).unwrap();
        assert_eq!(second.nodes[..3], first.nodes[..]);
        assert_eq!(second.etcd, first.etcd);
        assert_eq!(second.passwords, first.passwords);
        assert_eq!((second.nodes.len(), second.ttl_seconds), (4, 5));
    }

    #[test]
    fn the_number_of_etcd_members_stands_in_its_data() {
        let first = Plan::after(None, &options(3, 1, 23_100)).unwrap();
        let refused = Plan::after(Some(&first), &options(3, 3, 23_100)).unwrap_err();
        assert!(refused.to_string().contains("--etcd 1"), "{refused:#}");
    }

    #[test]
    fn no_port_is_planned_twice() {
        let plan = Plan::after(None, &options(5, 3, 23_200)).unwrap();
        let mut ports = vec![plan.proxy.write, plan.proxy.read, plan.proxy.stats];
        ports.extend(plan.nodes.iter().flat_map(|node| [node.postgresql_port, node.rest_port]));
        ports.extend(plan.etcd.iter().flat_map(|member| [member.client_port, member.peer_port]));
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((ports.len(), count), (19, 19));
    }
}
