//! `POST /promise` and `/position` between two agents: the real client against the real server.

use std::time::Duration;

use pgbaton::api::HttpPeers;
use pgbaton::cluster::{Ancestor, Refusal, Vote};
use pgbaton::observe::{Ask, Peer, PeerError, PeerStatus, Peers};
use pgbaton::publish::Status;
use pgbaton::values::{Lsn, Term, Timeline, WalPosition};
use pgbaton::wake::Call;

use crate::support::rest::{Api, credentials, primary, standby};

const WITHIN: Duration = Duration::from_secs(10);

fn peer(api: &Api, name: &str) -> Peer {
    Peer { name: name.into(), api_url: format!("http://{}/patroni", api.address) }
}

fn ask() -> Ask {
    Ask { term: Term(8), candidate: "b".into() }
}

fn vote() -> Vote {
    Vote {
        name: "a".into(),
        position: WalPosition { timeline: Timeline(3), lsn: Lsn(1000) },
        ancestors: vec![Ancestor { timeline: Timeline(1), ended_at: Lsn(100) }],
        may_lead: true,
        priority: 1,
    }
}

/// Asks, and answers for the loop.
async fn round(
    peers: &HttpPeers,
    api: &mut Api,
    name: &str,
    answered: Option<Result<Vote, Refusal>>,
) -> Result<Result<Vote, Refusal>, PeerError> {
    let (peer, ask) = (peer(api, name), ask());
    let the_loop = async {
        match api.calls.recv().await {
            Some(Call::Promise { term, answer }) => {
                assert_eq!(term, Term(8));
                answered.map(|answered| answer.send(answered));
            }
            other => panic!("{other:?}"),
        }
    };
    tokio::join!(peers.promise(&peer, &ask, WITHIN), the_loop).0
}

#[tokio::test]
async fn a_vote_and_every_refusal_arrive_as_they_were_given() {
    let mut api = Api::with_password(standby(), Some("s3cret")).await;
    let peers = HttpPeers::new(Some(credentials("s3cret")));
    for answered in [
        Ok(vote()),
        Err(Refusal::HolderIsAlive),
        Err(Refusal::Promised(Term(9))),
        Err(Refusal::NotAVoter("a primary".to_owned())),
        Err(Refusal::Abstains("there is no data".to_owned())),
        Err(Refusal::Carries("it has accepted b".to_owned())),
    ] {
        let told = round(&peers, &mut api, "a", Some(answered.clone())).await;
        assert_eq!(told.expect("an answer"), answered);
    }
}

#[tokio::test]
async fn a_node_that_could_not_settle_has_no_vote() {
    let mut api = Api::of(standby()).await;
    let error = round(&HttpPeers::default(), &mut api, "a", None).await.unwrap_err();
    assert!(error.to_string().contains("code 503: this node could not settle"), "{error}");
}

#[tokio::test]
async fn a_vote_of_somebody_else_does_not_count() {
    let mut api = Api::of(standby()).await;
    let error = round(&HttpPeers::default(), &mut api, "c", Some(Ok(vote()))).await.unwrap_err();
    assert!(error.to_string().contains("a vote of a"), "{error}");
}

#[tokio::test]
async fn without_the_password_there_is_no_vote() {
    let api = Api::with_password(standby(), Some("s3cret")).await;
    let asked = HttpPeers::default().promise(&peer(&api, "a"), &ask(), WITHIN).await;
    assert!(matches!(asked, Err(PeerError::Nonsense { what, .. }) if what.starts_with("code 401")));
}

#[tokio::test]
async fn a_question_without_term_or_candidate_is_refused() {
    let api = Api::of(standby()).await;
    for (body, text) in [
        (r#"{"candidate": "b"}"#, "term: expected a whole number from 1"),
        (r#"{"term": 0, "candidate": "b"}"#, "term: expected a whole number from 1"),
        (r#"{"term": -1, "candidate": "b"}"#, "term: expected a whole number from 1"),
        (r#"{"term": "8", "candidate": "b"}"#, "term: expected a whole number from 1"),
        (r#"{"term": 8}"#, "candidate: expected a member's name"),
        (r#"{"term": 8, "candidate": 5}"#, "candidate is a number: expected a text"),
        (r#"{"term": 8, "candidate": "b", "x": 1}"#, "unknown key \"x\": expected term"),
    ] {
        let answer = api.ask("POST", "/promise", Some(body)).await;
        assert_eq!(answer.code, 400, "{body}");
        assert!(answer.body.starts_with(text), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn nobody_there_is_silence_and_not_a_refusal() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let peer = Peer { name: "a".into(), api_url: format!("http://{address}/patroni") };
    // It listens and never answers.
    let within = Duration::from_millis(50);
    let asked = HttpPeers::default().promise(&peer, &ask(), within).await;
    assert!(matches!(asked, Err(PeerError::Silent(_))), "{asked:?}");
    drop(listener);
    let asked = HttpPeers::default().promise(&peer, &ask(), WITHIN).await;
    assert!(matches!(asked, Err(PeerError::Silent(_))), "{asked:?}");
    let nonsense = Peer { api_url: "nonsense".to_owned(), ..peer };
    let asked = HttpPeers::default().promise(&nonsense, &ask(), WITHIN).await;
    assert!(matches!(asked, Err(PeerError::Nonsense { .. })), "{asked:?}");
}

/// Asks where a node stands, and turns the loop for it, which then publishes `status`.
async fn position(api: &mut Api, status: Option<Status>) -> Result<PeerStatus, PeerError> {
    let (peers, peer) = (HttpPeers::default(), peer(api, "a"));
    let the_loop = async {
        match (api.calls.recv().await, status) {
            (Some(Call::Position { answer }), Some(status)) => {
                api.published.set(status);
                answer.send(()).expect("somebody waits");
            }
            (Some(Call::Position { answer }), None) => drop(answer),
            (other, _) => panic!("{other:?}"),
        }
    };
    tokio::join!(peers.status(&peer, WITHIN), the_loop).0
}

#[tokio::test]
async fn a_position_is_that_of_a_turn_after_the_question() {
    let mut api = Api::of(primary()).await;
    let expected = PeerStatus {
        name: "a".into(),
        in_recovery: true,
        lsn: Lsn(960),
        timeline: Some(Timeline(3)),
    };
    assert_eq!(position(&mut api, Some(standby())).await.expect("an answer"), expected);
    let status = position(&mut api, Some(primary())).await.expect("an answer");
    assert_eq!((status.in_recovery, status.lsn), (false, Lsn(83_886_432)));
    let error = position(&mut api, None).await.unwrap_err().to_string();
    assert!(error.ends_with("code 503: the loop did not turn in time"), "{error}");
}
