//! Connections, methods, bodies and credentials.

use pgbaton::api::Access;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::rest::{Api, primary, section, standby};

/// Reads one answer whose length is told.
async fn read_answer(stream: &mut TcpStream) -> (String, usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the connection stays open"));
    }
    let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("an answer tells its length").parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the whole body");
    (head, length)
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let api = Api::of(primary()).await;
    let mut stream = TcpStream::connect(&api.address).await.expect("it listens");
    for (method, path, code) in [
        ("GET", "/primary", 200),
        ("HEAD", "/primary", 200),
        ("OPTIONS", "/replica", 503),
        ("GET", "/liveness", 200),
        ("GET", "/patroni", 200),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let (head, length) = read_answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {code} ")), "{method} {path}: {head}");
        assert_eq!(length > 0, method == "GET" && path != "/liveness", "{method} {path}");
    }
}

#[tokio::test]
async fn an_old_client_gets_its_answer_and_the_end() {
    let api = Api::of(primary()).await;
    let answer = api.send(b"OPTIONS /primary HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.code, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("x-frame-options"), None);
    let answer = api.send(b"GET /primary HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.code, 200);
    assert!(answer.header("server").expect("it says what it is").starts_with("pgbaton/"));
}

#[tokio::test]
async fn what_no_method_does_is_501_in_the_words_that_tools_look_for() {
    let api = Api::of(primary()).await;
    for (method, path) in [
        ("POST", "/foo"),
        ("POST", "/"),
        ("DELETE", "/failover"),
        ("PATCH", "/foo"),
        ("PUT", "/patroni"),
        ("BREW", "/primary"),
    ] {
        let answer = api.ask(method, path, Some("{}")).await;
        assert_eq!(answer.code, 501, "{method} {path}");
        let words = "Server does not support this operation";
        assert!(answer.body.contains(words), "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_not_built_says_so_and_what_to_do() {
    let api = Api::of(primary()).await;
    for (method, path, text) in [
        ("POST", "/reinitialize", "reinitialize is not built yet: "),
        ("POST", "/citus", "Citus clusters are not built yet"),
        ("POST", "/mpp", "Citus clusters are not built yet"),
        ("POST", "/sigterm", "send SIGTERM to the agent's process"),
    ] {
        let answer = api.ask(method, path, Some("{}")).await;
        assert_eq!(answer.code, 501, "{method} {path}");
        assert!(answer.body.starts_with(text), "{method} {path}: {}", answer.body);
        assert!(!answer.body.contains("Server does not support"), "{}", answer.body);
    }
}

const PROTECTED: &[(&str, &str)] = &[
    ("PATCH", "/config"),
    ("PUT", "/config"),
    ("POST", "/switchover"),
    ("DELETE", "/switchover"),
    ("POST", "/failover"),
    ("POST", "/reload"),
    ("POST", "/promise"),
    ("POST", "/position"),
    ("POST", "/restart"),
    ("DELETE", "/restart"),
    ("POST", "/reinitialize"),
    ("POST", "/failsafe"),
    ("POST", "/citus"),
    ("POST", "/mpp"),
    ("POST", "/sigterm"),
];

#[tokio::test]
async fn whoever_changes_something_must_know_the_password() {
    let mut api = Api::with_password(primary(), Some("s3cret")).await;
    // A loop that hears everything and answers nothing.
    let mut calls = std::mem::replace(&mut api.calls, tokio::sync::mpsc::unbounded_channel().1);
    tokio::spawn(async move { while calls.recv().await.is_some() {} });
    // admin:s3cret, admin:wrong
    let (right, wrong) = ("YWRtaW46czNjcmV0", "YWRtaW46d3Jvbmc=");
    for (method, path) in PROTECTED {
        let answer = api.ask(method, path, None).await;
        assert_eq!(answer.code, 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Patroni\""));
        assert!(answer.body.starts_with("no authorization header"), "{}", answer.body);
        let header = format!("Authorization: Basic {wrong}\r\n");
        let answer = api.ask_with(method, path, &header, None).await;
        assert_eq!(answer.code, 401, "{method} {path}");
        assert!(answer.body.starts_with("not authorized"), "{}", answer.body);
        let header = format!("Authorization: Basic {right}\r\n");
        let answer = api.ask_with(method, path, &header, None).await;
        assert_ne!(answer.code, 401, "{method} {path}: {}", answer.body);
    }
    for path in ["/primary", "/patroni", "/cluster", "/metrics", "/pgbaton/events"] {
        assert_eq!(api.code(path).await, 200, "{path} is not protected");
    }
    api.state.set_access(Access::of(&section(None)).0);
    assert_eq!(api.ask("POST", "/reload", None).await.code, 202, "after a reload without one");
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_with_a_reason() {
    let api = Api::of(primary()).await;
    let too_large = format!("{{\"a\": \"{}\"}}", "x".repeat(1024 * 1024));
    let deep = "[".repeat(100_000);
    for (method, path) in [
        ("PATCH", "/config"),
        ("PUT", "/config"),
        ("POST", "/switchover"),
        ("POST", "/failover"),
        ("POST", "/promise"),
    ] {
        for (body, code, text) in [
            (None, 411, "there is no body"),
            (Some(""), 400, "the body is empty"),
            (Some("{}"), 400, "the body is an empty object"),
            (Some("[]"), 400, "the body is a list: expected a JSON object"),
            (Some("\"x\""), 400, "the body is a text: expected a JSON object"),
            (Some("ttl: 5"), 400, "the body is not JSON: "),
            (Some(deep.as_str()), 400, "the body is not JSON: recursion limit"),
            (Some(too_large.as_str()), 413, "the body is larger than "),
        ] {
            let answer = api.ask(method, path, body).await;
            assert_eq!(answer.code, code, "{method} {path} {text}: {}", answer.body);
            assert!(answer.body.starts_with(text), "{method} {path}: {}", answer.body);
        }
    }
    assert_eq!(api.store.cluster().config, None, "nothing was written");
}

#[tokio::test]
async fn requests_that_are_no_http_do_not_hurt() {
    let api = Api::of(standby()).await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET\r\n\r\n",
        b"GET /primary HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.0\r\n\r\n",
        b"POST /promise HTTP/1.0\r\nContent-Length: -1\r\n\r\n",
        b"POST /promise HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&api.address).await.expect("it listens");
        stream.write_all(request).await.expect("it reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.0 200"), "{request:?}");
    }
    assert_eq!(api.code("/replica").await, 200);
}

/// A body of the shape that changes have, often with the fields they look for.
fn some_body() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|yes| yes.to_string()),
        ".{0,8}".prop_map(|text| serde_json::json!(text).to_string()),
        Just("{\"x\":[null]}".to_owned()),
        Just("\"b\"".to_owned()),
    ];
    let names =
        vec!["leader", "candidate", "member", "scheduled_at", "term", "ttl", "pause", "postgresql"];
    let field = (prop::sample::select(names), value);
    let object = prop::collection::vec(field, 0..5).prop_map(|fields| {
        let spelled = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", spelled.collect::<Vec<_>>().join(","))
    });
    prop_oneof![4 => object, 1 => "\\PC{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_body_and_any_query_get_an_answer(body in some_body(), query in "[!-~&&[^#]]{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let api = Api::of(standby()).await;
            // Nobody answers for the loop here: no promise is to wait for one.
            drop(api.calls);
            let api = Api { calls: tokio::sync::mpsc::unbounded_channel().1, ..api };
            for (method, path) in PROTECTED {
                let answer = api.ask(method, path, Some(&body)).await;
                assert!((200..=599).contains(&answer.code), "{method} {path} {body}");
                assert!(answer.code < 300 || !answer.body.is_empty(), "{method} {path} {body}");
            }
            for path in ["/replica", "/readiness", "/health", "/cluster", "/metrics"] {
                let answer = api.ask("GET", &format!("{path}?{query}"), Some(&body)).await;
                assert!([200, 400, 503].contains(&answer.code), "{path}?{query}");
            }
        });
    }
}
