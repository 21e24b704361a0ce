//! `POST /failsafe`, both sides' spelling of it: a primary that does not reach the store asks a member
//! whether it still takes it for the leader. Codes and words are Patroni's; ours add `to`, `term`,
//! `incarnation` and `ttl_ms`, which Patroni's agents pass over.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::reply::{self, Refused, Reply};
use super::{ApiState, body};
use crate::cluster::{FailsafeAsk, NotAccepted};
use crate::publish::Status;
use crate::values::{Incarnation, Lsn, MemberName, Term};
use crate::wake::Call;

/// The path.
pub const PATH: &str = "/failsafe";
/// The body of an acceptance, to the letter.
const ACCEPTED: &str = "Accepted";
const LEADS: &str = "Running as a leader";
const SWITCHED_OFF: &str = "failsafe_mode is not enabled in this cluster's configuration";
const LSN: HeaderName = HeaderName::from_static("lsn");

/// The question's body. It says whom it is for, which only our agents read: whoever else answers at that address
/// would be counted for somebody who was never asked.
pub fn question(ask: &FailsafeAsk, to: &MemberName) -> Value {
    let mut body = json!({
        "to": to,
        "name": ask.name,
        "conn_url": ask.conn_url,
        "api_url": ask.api_url,
        "slots": {},
        "ttl_ms": u64::try_from(ask.ttl.as_millis()).unwrap_or(u64::MAX),
    });
    if let Some((term, incarnation)) = ask.lease {
        body["term"] = term.0.into();
        body["incarnation"] = incarnation.to_string().into();
    }
    body
}

/// Reads the question.
///
/// # Errors
/// What is wrong with it, with 400.
pub fn read_question(fields: &Map<String, Value>) -> Result<FailsafeAsk, Refused> {
    let needed = |name: &str| {
        body::text(fields, name)?.ok_or_else(|| body::bad(format!("{name}: expected a text")))
    };
    let number = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| body::bad(format!("{name}: expected a whole number"))),
    };
    let incarnation = match body::text(fields, "incarnation")? {
        None => None,
        Some(text) => Some(u64::from_str_radix(&text, 16).map_err(|_| {
            body::bad(format!("incarnation: expected 16 hexadecimal digits, not {text:?}"))
        })?),
    };
    let lease = match (number("term")?, incarnation) {
        (Some(term), Some(incarnation)) => Some((Term(term), Incarnation(incarnation))),
        (None, None) => None,
        _ => return Err(body::bad("term and incarnation: expected both or neither")),
    };
    Ok(FailsafeAsk {
        name: needed("name")?.as_str().into(),
        conn_url: needed("conn_url")?,
        api_url: needed("api_url")?,
        lease,
        ttl: std::time::Duration::from_millis(number("ttl_ms")?.unwrap_or(0)),
    })
}

/// Reads the answer. Only this code with this text is an acceptance.
///
/// # Errors
/// The refusal.
pub fn read_answer(code: u16, text: &str) -> Result<(), NotAccepted> {
    match (code, text.trim_end()) {
        (200, ACCEPTED) => Ok(()),
        (500, LEADS) => Err(NotAccepted::Leads),
        (502, _) => Err(NotAccepted::SwitchedOff),
        (code, text) => {
            let text: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            Err(NotAccepted::MustNot(format!("code {code}: {text}")))
        }
    }
}

/// Answers the question, as the loop does: an acceptance binds what it decides from then on.
///
/// # Errors
/// The refusal to answer with.
pub async fn answer(api: &ApiState, request: Request) -> Result<Reply, Refused> {
    let fields = body::object(request).await?;
    let ask = read_question(&fields)?;
    let me = api.0.published.get().name.clone();
    if let Some(to) = body::text(&fields, "to")?.filter(|to| to != me.as_str()) {
        let why = format!("this is for {to}, and here is {me}: its api_url is another's");
        return Err(Refused::new(StatusCode::CONFLICT, why));
    }
    let gone = |why: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let (answer, answered) = oneshot::channel();
    let call = Call::Failsafe { ask, answer };
    api.0.calls.send(call).map_err(|_| gone("the agent is ending"))?;
    // Longer than this nobody waits: a later question is another one.
    let within = api.0.published.get().times.ttl;
    match tokio::time::timeout(within, answered).await {
        Ok(Ok(Ok(()))) => Ok(accepted(&api.0.published.get())),
        Ok(Ok(Err(NotAccepted::SwitchedOff))) => {
            Err(Refused::new(StatusCode::BAD_GATEWAY, SWITCHED_OFF))
        }
        Ok(Ok(Err(NotAccepted::Leads))) => {
            Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, LEADS))
        }
        Ok(Ok(Err(NotAccepted::MustNot(why)))) => Err(Refused::new(StatusCode::CONFLICT, why)),
        Ok(Err(_)) | Err(_) => Err(gone("the loop did not turn in time")),
    }
}

fn accepted(status: &Status) -> Reply {
    let mut reply = reply::text(StatusCode::OK, ACCEPTED);
    let shown = super::shown::Shown { status, now: status.turned_at };
    let lsn = shown.received().max(shown.replayed()).and_then(Lsn::known);
    if let Some(lsn) = lsn {
        reply.headers_mut().insert(LSN, HeaderValue::from(lsn.0));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask() -> FailsafeAsk {
        FailsafeAsk {
            name: "pg-a".into(),
            conn_url: "postgres://10.1.0.6:5432/postgres".to_owned(),
            api_url: "http://10.1.0.6:8008/patroni".to_owned(),
            lease: Some((Term(7), Incarnation(0xff))),
            ttl: std::time::Duration::from_secs(5),
        }
    }

    fn read(body: &Value) -> Result<FailsafeAsk, Refused> {
        read_question(body.as_object().expect("an object"))
    }

    #[test]
    fn a_question_survives_its_text() {
        assert_eq!(read(&question(&ask(), &"b".into())).unwrap(), ask());
    }

    #[test]
    fn patronis_question_tells_no_term() {
        let body = json!({"name": "a", "conn_url": "postgres://a/postgres",
            "api_url": "http://a:8008/patroni", "slots": {"b": 67}});
        let read = read(&body).unwrap();
        assert_eq!((read.lease, read.ttl), (None, std::time::Duration::ZERO));
    }

    #[test]
    fn half_a_question_is_refused_with_what_is_missing() {
        for (field, why) in [
            ("name", "name: expected a text"),
            ("api_url", "api_url: expected a text"),
            ("term", "term and incarnation: expected both or neither"),
        ] {
            let mut body = question(&ask(), &"b".into());
            body.as_object_mut().unwrap().remove(field);
            assert_eq!(read(&body).unwrap_err().why, why);
        }
    }

    #[test]
    fn only_one_answer_is_an_acceptance() {
        assert_eq!(read_answer(200, "Accepted"), Ok(()));
        let refused = |code, text| read_answer(code, text).unwrap_err();
        assert_eq!(refused(500, LEADS), NotAccepted::Leads);
        assert_eq!(refused(502, "<html>"), NotAccepted::SwitchedOff);
        assert!(matches!(refused(200, "accepted"), NotAccepted::MustNot(_)));
        assert!(matches!(refused(202, "Accepted"), NotAccepted::MustNot(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_no_acceptance(text in ".{0,40}") {
            prop_assume!(text.trim_end() != ACCEPTED);
            prop_assert!(read_answer(200, &text).is_err());
        }
    }
}
