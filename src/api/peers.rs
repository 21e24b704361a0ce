//! The way to the other members over HTTP.

use std::time::Duration;

use axum::http::Method;
use serde_json::Value;

use super::client::{RestAnswer, RestCall, RestError, call, endpoint};
use super::{failsafe, position, promise};
use crate::cluster::{FailsafeAsk, NotAccepted, Refusal, Vote};
use crate::config::{Credentials, NodeConfig};
use crate::observe::{Ask, Peer, PeerError, PeerStatus, Peers};
use crate::values::{Lsn, Timeline};

/// Calls the members' REST APIs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HttpPeers {
    credentials: Option<Credentials>,
}

impl HttpPeers {
    /// Calls with these credentials.
    pub fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials }
    }

    /// Calls with `ctl.authentication`, else `restapi.authentication`, as Patroni's agents do.
    pub fn of(config: &NodeConfig) -> Self {
        let own = config.restapi.authentication.clone();
        Self::new(config.ctl.authentication.clone().or(own))
    }

    async fn call(
        &self,
        peer: &Peer,
        (method, url): (Method, &str),
        body: Option<&Value>,
        within: Duration,
    ) -> Result<RestAnswer, PeerError> {
        let credentials = self.credentials.as_ref();
        let answer = call(RestCall { method, url, credentials, body, within }).await;
        answer.map_err(|error| match error {
            RestError::Url { .. } => nonsense(peer, error.to_string()),
            RestError::NoConnection { .. }
            | RestError::Silent { .. }
            | RestError::Broken { .. } => {
                tracing::debug!(peer = %peer.name, error = &error as &dyn std::error::Error,
                    "a member did not answer");
                PeerError::Silent(peer.name.clone())
            }
        })
    }
}

impl Peers for HttpPeers {
    async fn promise(
        &self,
        peer: &Peer,
        ask: &Ask,
        within: Duration,
    ) -> Result<Result<Vote, Refusal>, PeerError> {
        let url = endpoint(&peer.api_url, promise::PATH)
            .ok_or_else(|| nonsense(peer, format!("{:?} is no api_url", peer.api_url)))?;
        let question = promise::question(ask);
        let answer = self.call(peer, (Method::POST, &url), Some(&question), within).await?;
        match answer.code {
            code if code == promise::VOTE => {
                let vote = promise::read_vote(&answer.text).map_err(|what| nonsense(peer, what))?;
                if vote.name != peer.name {
                    let what = format!("a vote of {}: its api_url is another's", vote.name);
                    return Err(nonsense(peer, what));
                }
                Ok(Ok(vote))
            }
            code if code == promise::REFUSAL => {
                promise::read_refusal(&answer.text).map(Err).map_err(|what| nonsense(peer, what))
            }
            code => Err(nonsense(peer, format!("code {code}: {}", first_line(&answer.text)))),
        }
    }

    async fn failsafe(
        &self,
        peer: &Peer,
        ask: &FailsafeAsk,
        within: Duration,
    ) -> Result<Result<(), NotAccepted>, PeerError> {
        let url = endpoint(&peer.api_url, failsafe::PATH)
            .ok_or_else(|| nonsense(peer, format!("{:?} is no api_url", peer.api_url)))?;
        let question = failsafe::question(ask, &peer.name);
        let answer = self.call(peer, (Method::POST, &url), Some(&question), within).await?;
        Ok(failsafe::read_answer(answer.code, &answer.text))
    }

    async fn status(&self, peer: &Peer, within: Duration) -> Result<PeerStatus, PeerError> {
        let url = endpoint(&peer.api_url, position::PATH)
            .ok_or_else(|| nonsense(peer, format!("{:?} is no api_url", peer.api_url)))?;
        let question = position::question();
        let answer = self.call(peer, (Method::POST, &url), Some(&question), within).await?;
        if answer.code != position::POSITION {
            let what = format!("code {}: {}", answer.code, first_line(&answer.text));
            return Err(nonsense(peer, what));
        }
        read_status(&answer.text).map_err(|what| nonsense(peer, what))
    }
}

fn nonsense(peer: &Peer, what: String) -> PeerError {
    PeerError::Nonsense { name: peer.name.clone(), what }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Reads a status document, a Patroni agent's included.
fn read_status(text: &str) -> Result<PeerStatus, String> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| format!("a status that is not JSON ({error}): {}", first_line(text)))?;
    let name = document["patroni"]["name"].as_str();
    let xlog = document.get("xlog").or_else(|| document.get("wal"));
    let xlog = xlog.and_then(Value::as_object).ok_or("a status without positions")?;
    let lsn = |field: &str| xlog.get(field).and_then(Value::as_u64).map(Lsn);
    let flushed = lsn("location");
    let leads = matches!(document["role"].as_str(), Some("primary" | "master"));
    let furthest = flushed.or(lsn("received_location").max(lsn("replayed_location")));
    let timeline = document["timeline"].as_u64().and_then(|id| u32::try_from(id).ok());
    Ok(PeerStatus {
        name: name.ok_or("a status without the member's name")?.into(),
        in_recovery: flushed.is_none() && !leads,
        lsn: furthest.ok_or("a status without positions")?,
        timeline: timeline.map(Timeline),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_is_read_as_patroni_peers_read_it() {
        let replica = r#"{"role": "replica", "xlog": {"received_location": 90,
            "replayed_location": 100, "replayed_timestamp": null, "paused": false},
            "timeline": 3, "patroni": {"version": "4.1.5", "scope": "shop", "name": "b"}}"#;
        let expected = PeerStatus {
            name: "b".into(),
            in_recovery: true,
            lsn: Lsn(100),
            timeline: Some(Timeline(3)),
        };
        assert_eq!(read_status(replica).unwrap(), expected);
        let primary = r#"{"role": "primary", "xlog": {"location": 7}, "patroni": {"name": "a"}}"#;
        let read = read_status(primary).unwrap();
        assert_eq!((read.in_recovery, read.lsn, read.timeline), (false, Lsn(7), None));
    }

    #[test]
    fn a_status_that_tells_no_position_is_none() {
        for text in [
            "",
            "<html>",
            "[]",
            r#"{"patroni": {"name": "a"}}"#,
            r#"{"xlog": {}, "patroni": {"name": "a"}}"#,
            r#"{"xlog": {"location": 7}}"#,
        ] {
            assert!(read_status(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            prop_assert!(read_status(&text).is_err());
        }
    }
}
