//! What the demo sees of the cluster: the same REST answers that HAProxy and people get.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::plan::{Node, Plan};

/// An agent that takes longer is not waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// More than any answer that is asked for here.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The members that have shown up so far.
    pub members: Vec<Member>,
    /// The members that say they accept writes.
    pub writable: Vec<String>,
}

/// One member as `GET /cluster` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `leader`, `replica` and their kin.
    #[serde(default)]
    pub role: String,
    /// `running`, `streaming`, `creating replica` and so on.
    #[serde(default)]
    pub state: String,
    /// The timeline it is on.
    pub timeline: Option<u64>,
    /// How far it is behind, in bytes; absent for the leader, a word when that is not known.
    pub lag: Option<Lag>,
}

/// How far a member is behind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Lag {
    /// By this many bytes.
    Bytes(u64),
    /// Not known.
    Word(String),
}

#[derive(Deserialize)]
struct ClusterAnswer {
    members: Vec<Member>,
}

impl Sight {
    /// Who holds the leader key.
    pub fn leader(&self) -> Option<&str> {
        self.members.iter().find(|it| it.role.ends_with("leader")).map(|it| it.name.as_str())
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Whether one member accepts writes and all the others stream from it.
    pub fn is_complete(&self, plan: &Plan) -> bool {
        let [writable] = self.writable.as_slice() else { return false };
        plan.nodes.iter().all(|node| {
            node.name == *writable
                || self.member(&node.name).is_some_and(|member| member.state == "streaming")
        })
    }
}

/// Asks the agents.
#[derive(Clone, Debug)]
pub struct Observer {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Observer {
    /// Keeps its connections between looks.
    pub fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Looks at the whole cluster. What does not answer is absent.
    pub async fn look(&self, plan: &Plan) -> Sight {
        let probes = join_all(plan.nodes.iter().map(|node| self.accepts_writes(node))).await;
        let writable = plan.nodes.iter().zip(probes).filter(|(_, accepts)| *accepts);
        let writable: Vec<String> = writable.map(|(node, _)| node.name.clone()).collect();
        let answers = join_all(plan.nodes.iter().map(|node| self.members(node))).await;
        // The longest list knows most while the cluster comes up.
        let members = answers.into_iter().flatten().max_by_key(Vec::len).unwrap_or_default();
        Sight { members, writable }
    }

    /// Whether `GET /health` of this etcd member answers.
    pub async fn etcd_answers(&self, address: &str) -> bool {
        matches!(self.get(address, "/health").await, Ok((StatusCode::OK, _)))
    }

    async fn accepts_writes(&self, node: &Node) -> bool {
        matches!(self.get(&node.rest_address(), "/primary").await, Ok((StatusCode::OK, _)))
    }

    async fn members(&self, node: &Node) -> Option<Vec<Member>> {
        let (status, body) = self.get(&node.rest_address(), "/cluster").await.ok()?;
        if status != StatusCode::OK {
            return None;
        }
        serde_json::from_slice(&body).ok().map(|answer: ClusterAnswer| answer.members)
    }

    async fn get(&self, address: &str, path: &str) -> Result<(StatusCode, Bytes)> {
        let uri: Uri = format!("http://{address}{path}").parse().context("an address")?;
        let exchange = async {
            let response = self.client.get(uri).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(ANSWER_WITHIN, exchange).await.context("no answer in time")?
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::sample;
    use super::*;

    fn read(text: &str) -> Vec<Member> {
        serde_json::from_str::<ClusterAnswer>(text).unwrap().members
    }

    const ANSWER: &str = r#"{"members": [
        {"name": "pg-a", "role": "leader", "state": "running", "timeline": 1, "api_url": "x"},
        {"name": "pg-b", "role": "replica", "state": "streaming", "timeline": 1, "lag": 0},
        {"name": "pg-c", "role": "replica", "state": "streaming", "lag": "unknown"}
    ], "scope": "demo"}"#;

    #[test]
    fn the_cluster_is_complete_when_one_writes_and_the_others_stream() {
        let plan = sample();
        let mut sight = Sight { members: read(ANSWER), writable: vec!["pg-a".to_owned()] };
        assert_eq!(sight.leader(), Some("pg-a"));
        assert!(sight.is_complete(&plan));
        sight.writable.push("pg-b".to_owned());
        assert!(!sight.is_complete(&plan), "two that write are not a cluster");
        sight.writable.clear();
        assert!(!sight.is_complete(&plan));
        sight.writable.push("pg-a".to_owned());
        sight.members.pop();
        assert!(!sight.is_complete(&plan));
    }

    #[test]
    fn a_lag_is_a_number_or_a_word() {
        let members = read(ANSWER);
        assert_eq!(members[1].lag, Some(Lag::Bytes(0)));
        assert_eq!(members[2].lag, Some(Lag::Word("unknown".to_owned())));
    }
}
