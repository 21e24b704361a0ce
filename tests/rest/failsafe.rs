//! `POST /failsafe` between two agents, and as Patroni's agents ask it; what is shown meanwhile.

use std::time::Duration;

use pgbaton::api::HttpPeers;
use pgbaton::cluster::{FailsafeAsk, NotAccepted};
use pgbaton::observe::{Peer, PeerError, Peers};
use pgbaton::publish::Status;
use pgbaton::values::{Incarnation, Term};
use pgbaton::wake::Call;

use crate::support::rest::{Answer, Api, NOW, credentials, primary, standby};

const WITHIN: Duration = Duration::from_secs(10);
/// What an agent of Patroni's kind sends.
const PATRONIS: &str = r#"{"name": "b", "conn_url": "postgres://10.1.0.6:5432/postgres",
    "api_url": "http://10.1.0.6:8008/patroni", "slots": {"a": 67108864}}"#;

fn ask() -> FailsafeAsk {
    FailsafeAsk {
        name: "b".into(),
        conn_url: "postgres://10.1.0.6:5432/postgres".to_owned(),
        api_url: "http://10.1.0.6:8008/patroni".to_owned(),
        lease: Some((Term(8), Incarnation(0xff))),
        ttl: Duration::from_secs(5),
    }
}

/// Answers for the loop; returns what was asked.
async fn the_loop(api: &mut Api, answered: Result<(), NotAccepted>) -> FailsafeAsk {
    match api.calls.recv().await {
        Some(Call::Failsafe { ask, answer }) => {
            answer.send(answered).expect("it waits for the answer");
            ask
        }
        other => panic!("{other:?}"),
    }
}

async fn round(
    peers: &HttpPeers,
    api: &mut Api,
    answered: Result<(), NotAccepted>,
) -> Result<Result<(), NotAccepted>, PeerError> {
    let peer = Peer { name: "a".into(), api_url: format!("http://{}/patroni", api.address) };
    let address = api.address.clone();
    let asking = async { peers.failsafe(&peer, &ask(), WITHIN).await };
    let (told, asked) = tokio::join!(asking, the_loop(api, answered));
    assert_eq!(asked, ask(), "{address}");
    told
}

#[tokio::test]
async fn an_acceptance_and_every_refusal_arrive_as_they_were_given() {
    let mut api = Api::with_password(standby(), Some("s3cret")).await;
    let peers = HttpPeers::new(Some(credentials("s3cret")));
    for answered in [Ok(()), Err(NotAccepted::Leads), Err(NotAccepted::SwitchedOff)] {
        let told = round(&peers, &mut api, answered.clone()).await;
        assert_eq!(told.expect("an answer"), answered);
    }
    let must_not = Err(NotAccepted::MustNot("it has promised term 9".to_owned()));
    let told = round(&peers, &mut api, must_not).await.expect("an answer");
    assert_eq!(told, Err(NotAccepted::MustNot("code 409: it has promised term 9".to_owned())));
}

/// Sends a body as it is, and answers for the loop.
async fn send(api: &mut Api, answered: Result<(), NotAccepted>) -> (Answer, FailsafeAsk) {
    let mut calls = std::mem::replace(&mut api.calls, tokio::sync::mpsc::unbounded_channel().1);
    let asking = api.ask("POST", "/failsafe", Some(PATRONIS));
    let answering = async {
        match calls.recv().await {
            Some(Call::Failsafe { ask, answer }) => {
                answer.send(answered).expect("it waits for the answer");
                ask
            }
            other => panic!("{other:?}"),
        }
    };
    let answer = tokio::join!(asking, answering);
    api.calls = calls;
    answer
}

#[tokio::test]
async fn patronis_agents_get_the_code_and_the_words_they_look_for() {
    let mut api = Api::of(standby()).await;
    let (answer, asked) = send(&mut api, Ok(())).await;
    assert_eq!((answer.code, answer.body.as_str()), (200, "Accepted"));
    assert_eq!(answer.header("lsn"), Some("960"));
    assert_eq!((asked.name.as_str(), asked.lease), ("b", None));
    let (answer, _) = send(&mut api, Err(NotAccepted::Leads)).await;
    assert_eq!((answer.code, answer.body.as_str()), (500, "Running as a leader"));
    let (answer, _) = send(&mut api, Err(NotAccepted::SwitchedOff)).await;
    assert_eq!(answer.code, 502);
    let (answer, _) = send(&mut api, Err(NotAccepted::MustNot("b was deposed".to_owned()))).await;
    assert_eq!((answer.code, answer.body.as_str()), (409, "b was deposed"));
}

/// Two members publish one address: an acceptance would be counted for the one that was never asked.
#[tokio::test]
async fn who_is_asked_in_anothers_name_does_not_accept() {
    let api = Api::of(standby()).await;
    let peer = Peer { name: "c".into(), api_url: format!("http://{}/patroni", api.address) };
    let told = HttpPeers::new(None).failsafe(&peer, &ask(), WITHIN).await.expect("an answer");
    let why = "code 409: this is for c, and here is a: its api_url is another's";
    assert_eq!(told, Err(NotAccepted::MustNot(why.to_owned())));
}

#[tokio::test]
async fn a_question_without_an_address_is_refused() {
    let api = Api::of(standby()).await;
    for (body, why) in [
        (r#"{"name": "b", "conn_url": "postgres://x"}"#, "api_url: expected a text"),
        (r#"{"conn_url": "x", "api_url": "y"}"#, "name: expected a text"),
        ("{}", "the body is an empty object: nothing is asked for"),
    ] {
        let answer = api.ask("POST", "/failsafe", Some(body)).await;
        assert_eq!((answer.code, answer.body.as_str()), (400, why));
    }
    let protected = Api::with_password(standby(), Some("s3cret")).await;
    assert_eq!(protected.ask("POST", "/failsafe", Some(PATRONIS)).await.code, 401);
}

#[tokio::test]
async fn the_mode_is_shown_while_it_lasts() {
    let until = Some(NOW + Duration::from_millis(10));
    for status in [primary(), standby()] {
        let api = Api::of(Status { failsafe_until: until, ..status }).await;
        let metric = |text: &str| {
            let lines = text.lines().map(str::to_owned);
            lines.into_iter().find(|line| line.starts_with("patroni_failsafe_mode_is_active{"))
        };
        let body = api.ask("GET", "/patroni", None).await.body;
        assert!(body.contains("\"failsafe_mode_is_active\": true"), "{body}");
        let metrics = api.ask("GET", "/metrics", None).await.body;
        assert!(metric(&metrics).is_some_and(|line| line.ends_with(" 1")), "{metrics}");
        api.clock.turn_to(Duration::from_millis(10));
        let body = api.ask("GET", "/patroni", None).await.body;
        assert!(!body.contains("failsafe_mode_is_active"), "{body}");
        let metrics = api.ask("GET", "/metrics", None).await.body;
        assert!(metric(&metrics).is_some_and(|line| line.ends_with(" 0")), "{metrics}");
    }
}
