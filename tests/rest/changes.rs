//! `PATCH` and `PUT /config`, `POST /reload`.

use pgbaton::wake::Call;
use serde_json::{Value, json};

use crate::support::memory_store::Fault;
use crate::support::rest::{Answer, Api, standby};

async fn with_config(config: &Value) -> Api {
    let api = Api::of(standby()).await;
    api.store.put("config", config.to_string());
    api
}

fn config_of(api: &Api) -> Value {
    serde_json::from_str(&api.store.text("config").expect("there is one")).expect("JSON")
}

#[track_caller]
fn check(answer: &Answer, code: u16, text: &str) {
    assert_eq!(answer.code, code, "{}", answer.body);
    assert!(answer.body.contains(text), "{:?} is not in {:?}", text, answer.body);
}

#[tokio::test]
async fn a_patch_merges_writes_and_wakes_the_loop() {
    let before = json!({"ttl": 30, "postgresql": {"use_slots": true, "parameters": {"a": "1"}}});
    let mut api = with_config(&before).await;
    let body = r#"{"ttl": 5, "postgresql": {"parameters": {"a": null, "b": "2"}}, "x": null}"#;
    let answer = api.ask("PATCH", "/config", Some(body)).await;
    let expected = r#"{"ttl": 5, "postgresql": {"use_slots": true, "parameters": {"b": "2"}}}"#;
    assert_eq!((answer.code, answer.body.as_str()), (200, expected));
    assert_eq!(
        api.store.text("config").expect("written"),
        expected.replace(": ", ":").replace(", ", ",")
    );
    assert!(matches!(api.calls.recv().await, Some(Call::LookAgain)));
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let config = json!({"ttl": 5, "pause": false});
    let mut api = with_config(&config).await;
    let revision = api.store.cluster().revision;
    for (method, body) in [
        ("PATCH", r#"{"ttl": "5"}"#),
        ("PATCH", r#"{"missing": null}"#),
        ("PUT", r#"{"pause": false, "ttl": 5}"#),
    ] {
        let answer = api.ask(method, "/config", Some(body)).await;
        assert_eq!(answer.code, 200, "{method} {body}: {}", answer.body);
    }
    assert_eq!(api.store.cluster().revision, revision);
    assert!(api.calls.try_recv().is_err(), "the loop was left alone");
}

#[tokio::test]
async fn a_put_replaces_the_whole() {
    let api = with_config(&json!({"ttl": 30, "loop_wait": 10})).await;
    let body = r#"{"ttl": 5, "synchronous_mode": null}"#;
    let answer = api.ask("PUT", "/config", Some(body)).await;
    assert_eq!((answer.code, answer.body.as_str()), (200, body));
    assert_eq!(config_of(&api), json!({"ttl": 5, "synchronous_mode": null}));

    let api = Api::of(standby()).await;
    check(&api.ask("PUT", "/config", Some(r#"{"ttl": 5}"#)).await, 200, "ttl");
    assert_eq!(config_of(&api), json!({"ttl": 5}), "where there was none");
}

#[tokio::test]
async fn what_no_agent_would_apply_is_refused() {
    let api = with_config(&json!({"ttl": 30})).await;
    for method in ["PATCH", "PUT"] {
        let answer = api.ask(method, "/config", Some(r#"{"ttl": "30s"}"#)).await;
        check(&answer, 400, "no agent would apply this: ttl: expected a whole number of seconds");
    }
    assert_eq!(config_of(&api), json!({"ttl": 30}));
}

#[tokio::test]
async fn a_patch_needs_something_to_patch() {
    let api = Api::of(standby()).await;
    check(&api.ask("PATCH", "/config", Some(r#"{"ttl": 5}"#)).await, 503, "PUT a whole one");
    api.store.put("config", "[1]");
    check(&api.ask("PATCH", "/config", Some(r#"{"ttl": 5}"#)).await, 503, "PUT a whole one");
    check(&api.ask("PUT", "/config", Some(r#"{"ttl": 5}"#)).await, 200, "ttl");
    assert_eq!(config_of(&api), json!({"ttl": 5}), "what cannot be read can be replaced");
}

#[tokio::test]
async fn a_lost_race_and_an_unanswered_write_say_so() {
    for method in ["PATCH", "PUT"] {
        for (fault, code, text) in [
            (Fault::Overtaken("config"), 409, "somebody else changed the config key"),
            (Fault::Lost, 503, "may have been made all the same"),
            (Fault::AppliedUnanswered, 503, "may have been made all the same"),
            (Fault::NoSpace, 503, "nothing was changed: the store has no space left"),
        ] {
            let api = with_config(&json!({"ttl": 30})).await;
            api.store.fail_next(fault);
            let answer = api.ask(method, "/config", Some(r#"{"ttl": 5}"#)).await;
            check(&answer, code, text);
        }
        let api = with_config(&json!({"ttl": 30})).await;
        api.store.fall_silent();
        let answer = api.ask(method, "/config", Some(r#"{"ttl": 5}"#)).await;
        check(&answer, 503, "nothing was done: the store did not answer within");
    }
}

#[tokio::test]
async fn a_reload_is_passed_on_to_the_loop() {
    let mut api = Api::of(standby()).await;
    check(&api.ask("POST", "/reload", None).await, 202, "reload scheduled");
    assert!(matches!(api.calls.recv().await, Some(Call::Reload)));
    drop(api.calls);
    let (_, calls) = tokio::sync::mpsc::unbounded_channel();
    let api = Api { calls, ..api };
    check(&api.ask("POST", "/reload", None).await, 503, "the agent is ending");
}
