//! `POST /promise`, both sides' spelling of it: a candidate asks for a promise to its term and for a
//! position; the answer is a vote or a refusal.

use axum::extract::Request;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::reply::{self, Refused, Reply};
use super::{ApiState, body};
use crate::cluster::{Ancestor, Refusal, Vote};
use crate::observe::Ask;
use crate::values::{Lsn, MemberName, Term, Timeline, WalPosition};
use crate::wake::Call;

/// The path.
pub const PATH: &str = "/promise";
/// The code of a vote.
pub const VOTE: StatusCode = StatusCode::OK;
/// The code of a refusal.
pub const REFUSAL: StatusCode = StatusCode::CONFLICT;

/// The question's body.
pub fn question(ask: &Ask) -> Value {
    json!({"term": ask.term, "candidate": ask.candidate})
}

#[derive(Serialize, Deserialize)]
struct VoteDocument {
    name: MemberName,
    timeline: Timeline,
    lsn: u64,
    ancestors: Vec<(Timeline, u64)>,
    may_lead: bool,
    priority: i64,
}

/// A vote's document.
pub fn vote_document(vote: &Vote) -> Value {
    let ancestors = vote.ancestors.iter().map(|one| (one.timeline, one.ended_at.0)).collect();
    let document = VoteDocument {
        name: vote.name.clone(),
        timeline: vote.position.timeline,
        lsn: vote.position.lsn.0,
        ancestors,
        may_lead: vote.may_lead,
        priority: vote.priority,
    };
    json!(document)
}

/// Reads a vote.
///
/// # Errors
/// What is wrong with it.
pub fn read_vote(text: &str) -> Result<Vote, String> {
    let read: VoteDocument =
        serde_json::from_str(text).map_err(|error| format!("a vote that is none: {error}"))?;
    let ancestor = |(timeline, lsn)| Ancestor { timeline, ended_at: Lsn(lsn) };
    Ok(Vote {
        name: read.name,
        position: WalPosition { timeline: read.timeline, lsn: Lsn(read.lsn) },
        ancestors: read.ancestors.into_iter().map(ancestor).collect(),
        may_lead: read.may_lead,
        priority: read.priority,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "refused", rename_all = "snake_case")]
enum RefusalDocument {
    HolderIsAlive,
    Promised { term: Term },
    NotAVoter { what: String },
    Abstains { what: String },
    Carries { what: String },
    StoreIsOlder,
}

/// A refusal's document.
pub fn refusal_document(refusal: &Refusal) -> Value {
    json!(match refusal {
        Refusal::HolderIsAlive => RefusalDocument::HolderIsAlive,
        Refusal::Promised(term) => RefusalDocument::Promised { term: *term },
        Refusal::NotAVoter(what) => RefusalDocument::NotAVoter { what: what.clone() },
        Refusal::Abstains(what) => RefusalDocument::Abstains { what: what.clone() },
        Refusal::Carries(what) => RefusalDocument::Carries { what: what.clone() },
        Refusal::StoreIsOlder => RefusalDocument::StoreIsOlder,
    })
}

/// Reads a refusal.
///
/// # Errors
/// What is wrong with it.
pub fn read_refusal(text: &str) -> Result<Refusal, String> {
    let read: RefusalDocument =
        serde_json::from_str(text).map_err(|error| format!("a refusal that is none: {error}"))?;
    Ok(match read {
        RefusalDocument::HolderIsAlive => Refusal::HolderIsAlive,
        RefusalDocument::Promised { term } => Refusal::Promised(term),
        RefusalDocument::NotAVoter { what } => Refusal::NotAVoter(what),
        RefusalDocument::Abstains { what } => Refusal::Abstains(what),
        RefusalDocument::Carries { what } => Refusal::Carries(what),
        RefusalDocument::StoreIsOlder => Refusal::StoreIsOlder,
    })
}

/// Answers the question, as the loop does.
///
/// # Errors
/// The refusal to answer with where there is neither vote nor refusal.
pub async fn answer(api: &ApiState, request: Request) -> Result<Reply, Refused> {
    let fields = body::object(request).await?;
    body::only(&fields, &["term", "candidate"])?;
    let term = fields.get("term").and_then(Value::as_u64).filter(|term| *term > 0);
    let term = term.ok_or_else(|| body::bad("term: expected a whole number from 1"))?;
    let candidate = body::text(&fields, "candidate")?;
    let candidate = candidate.ok_or_else(|| body::bad("candidate: expected a member's name"))?;
    tracing::info!(term, candidate, "a promise is asked for");
    let (answer, answered) = oneshot::channel();
    let gone = |why: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let call = Call::Promise { term: Term(term), answer };
    api.0.calls.send(call).map_err(|_| gone("the agent is ending"))?;
    // Longer than this nobody waits: the race is another one by then.
    let within = api.0.published.get().times.ttl;
    match tokio::time::timeout(within, answered).await {
        Ok(Ok(Ok(vote))) => Ok(reply::document(VOTE, &vote_document(&vote))),
        Ok(Ok(Err(refusal))) => Ok(reply::document(REFUSAL, &refusal_document(&refusal))),
        Ok(Err(_)) => Err(gone("this node could not settle: it has no position to tell")),
        Err(_) => Err(gone("this node did not settle within ttl: it has no position to tell")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn votes_and_refusals_survive_their_text() {
        let vote = Vote {
            name: "pg-a".into(),
            position: WalPosition { timeline: Timeline(3), lsn: Lsn(u64::MAX) },
            ancestors: vec![Ancestor { timeline: Timeline(1), ended_at: Lsn(100) }],
            may_lead: true,
            priority: 2,
        };
        let text = vote_document(&vote).to_string();
        assert_eq!(read_vote(&text).unwrap(), vote, "{text}");
        for refusal in [
            Refusal::HolderIsAlive,
            Refusal::Promised(Term(7)),
            Refusal::NotAVoter("a primary".to_owned()),
            Refusal::Abstains("there is no data".to_owned()),
            Refusal::Carries("it has accepted a".to_owned()),
        ] {
            let text = refusal_document(&refusal).to_string();
            assert_eq!(read_refusal(&text).unwrap(), refusal, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Err(what) = read_vote(&text) {
                prop_assert!(what.starts_with("a vote that is none"));
            }
            if let Err(what) = read_refusal(&text) {
                prop_assert!(what.starts_with("a refusal that is none"));
            }
        }
    }
}
