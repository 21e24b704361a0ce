//! What a drill sees of the cluster: the agents' REST answers.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::place::{Node, Place};
use super::timeline::Event;
use crate::api::{RestAnswer, RestCall, call};

/// An answer that takes longer is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A switchover may take as long as an answer to it.
const SWITCHOVER_WITHIN: Duration = Duration::from_secs(60);

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Who says that it accepts writes.
    pub leader: Option<String>,
    /// The members by name: role and state.
    pub members: Vec<(String, String, String)>,
}

/// What the cluster's configuration says that matters to a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds after which a silent leader is replaced.
    pub ttl: Duration,
    /// Whether commits wait for standbys.
    pub is_synchronous: bool,
    /// Whether a primary goes on without the store.
    pub is_failsafe: bool,
}

impl Sight {
    /// What there is to wait for before the cluster is whole; `None` when it is.
    pub fn lacks(&self, place: &Place, terms: Terms) -> Option<String> {
        let Some(leader) = &self.leader else { return Some("nobody accepts writes".to_owned()) };
        for node in place.nodes.iter().filter(|node| node.name != *leader) {
            match self.members.iter().find(|(name, ..)| *name == node.name) {
                None => return Some(format!("{} is not there", node.name)),
                Some((_, _, state)) if state != "streaming" => {
                    return Some(format!("{} is {state}", node.name));
                }
                Some(_) => {}
            }
        }
        let is_sync = |(_, role, _): &(String, String, String)| {
            role.starts_with("sync") || role.starts_with("quorum")
        };
        let needs_sync = terms.is_synchronous && place.nodes.len() > 1;
        (needs_sync && !self.members.iter().any(is_sync))
            .then(|| "no standby is synchronous".to_owned())
    }
}

async fn get(node: &Node, path: &str) -> Option<RestAnswer> {
    let url = format!("http://{}{path}", node.rest);
    let request = RestCall {
        method: Method::GET,
        url: &url,
        credentials: None,
        body: None,
        within: ANSWER_WITHIN,
    };
    call(request).await.ok()
}

async fn document(node: &Node, path: &str) -> Option<Value> {
    let answer = get(node, path).await.filter(|answer| answer.code == 200)?;
    serde_json::from_str(&answer.text).ok()
}

/// Looks at the whole cluster.
pub async fn look(place: &Place) -> Sight {
    let primary =
        |node| async move { get(node, "/primary").await.is_some_and(|it| it.code == 200) };
    let says = join_all(place.nodes.iter().map(primary)).await;
    let leading: Vec<&Node> =
        place.nodes.iter().zip(says).filter(|(_, says)| *says).map(|(node, _)| node).collect();
    // Two that say so at the same time have met in the middle of a handover: it is looked again.
    let [leader] = leading[..] else { return Sight::default() };
    let document = document(leader, "/cluster").await.unwrap_or_default();
    let word = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    let members = document["members"].as_array().into_iter().flatten();
    let members = members.map(|it| (word(it, "name"), word(it, "role"), word(it, "state")));
    Sight { leader: Some(leader.name.clone()), members: members.collect() }
}

/// What the cluster's configuration says.
///
/// # Errors
/// When no agent answers.
pub async fn terms(place: &Place) -> Result<Terms> {
    for node in &place.nodes {
        if let Some(document) = document(node, "/config").await {
            let is_on = |key: &str| match &document[key] {
                Value::Bool(is_on) => *is_on,
                Value::String(word) => !matches!(word.as_str(), "off" | "false" | "no"),
                _ => false,
            };
            return Ok(Terms {
                ttl: Duration::from_secs(document["ttl"].as_u64().unwrap_or(30)),
                is_synchronous: is_on("synchronous_mode"),
                is_failsafe: is_on("failsafe_mode"),
            });
        }
    }
    bail!("no agent answers GET /config")
}

/// Asks the leader to hand over to whoever is best.
pub async fn switch_over(place: &Place, leader: &str) -> Result<()> {
    let node = place.node(leader).context("the leader is none of the nodes")?;
    let (url, body) = (format!("http://{}/switchover", node.rest), json!({"leader": leader}));
    let request = RestCall {
        method: Method::POST,
        url: &url,
        credentials: place.rest.as_ref(),
        body: Some(&body),
        within: SWITCHOVER_WITHIN,
    };
    let answer = call(request).await?;
    ensure!(
        answer.code == 200,
        "the switchover was refused ({}): {}",
        answer.code,
        answer.text.trim()
    );
    Ok(())
}

/// What all agents have noted since a moment, in the order in which it happened. Says who did not answer.
pub async fn events(place: &Place, since_micros: i64) -> (Vec<Event>, Vec<String>) {
    let whole = i128::from(since_micros);
    let path = format!("/pgbaton/events?since={}.{:06}", whole / 1_000_000, whole % 1_000_000);
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for node in &place.nodes {
        match document(node, &path).await {
            Some(document) => all.extend(Event::list(&node.name, &document)),
            None => silent.push(node.name.clone()),
        }
    }
    all.sort_by_key(|event| event.at_micros);
    (all, silent)
}
