//! The example application on a real server that goes away and comes back: nothing counts twice, nothing is
//! lost.

use std::net::SocketAddr;
use std::time::Duration;

use pgbaton::postgres::{Server, StartAs, StopMode};
use serde_json::Value;
use tokio::net::TcpListener;

use super::support::http::{Answer, Request};
use super::support::machine::{Postgres, Turn};
use super::support::postgres::{BOUND, Site, TestServer};
use super::support::sql;

#[path = "../../examples/counter/pool.rs"]
mod pool;
#[path = "../../examples/counter/service.rs"]
mod service;

use service::{Counter, Settings};

const INCREMENT: &str = "/api/counter/increment";

/// An instance of the service, on the same server for reads and writes.
async fn instance(server: &TestServer) -> SocketAddr {
    let config = sql::superuser(server.address, Duration::from_secs(2));
    let settings = Settings {
        write: config.clone(),
        read: config,
        name: "visits".to_owned(),
        connections: 2,
        retry_within: BOUND,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, service::router(Counter::new(settings))).await });
    address
}

/// A request with an `Idempotency-Key`, if one is given.
async fn ask(to: SocketAddr, method: &'static str, path: &str, key: Option<&str>) -> Answer {
    let header = key.map(|key| format!("\r\nIdempotency-Key: {key}\r\nX-More:"));
    // The client of the tests has no headers of its own.
    let path = format!("{path} HTTP/1.0{}", header.unwrap_or("\r\nX-More:".to_owned()));
    let send = move || Request::new(method, &path, "").send(to).expect("an answer");
    tokio::task::spawn_blocking(send).await.expect("it does not panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_through_a_restart_count_once_each() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    let instances = [instance(&server).await, instance(&server).await];
    let increments: Vec<_> = (0..40)
        .map(|number| tokio::spawn(ask(instances[number % 2], "POST", INCREMENT, None)))
        .collect();
    server.server.stop(StopMode::Immediate, BOUND).await.unwrap();
    let health = ask(instances[0], "GET", "/health", None).await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    server.server.start(&StartAs::Primary, BOUND).await.unwrap();
    let mut values = Vec::new();
    for increment in increments {
        let answer = increment.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        values.push(answer.json()["value"].as_i64().expect("a number"));
    }
    assert_eq!(values.iter().max(), Some(&40));
    let read = ask(instances[1], "GET", "/api/counter", None).await.json();
    assert_eq!((&read["value"], &read["role"]), (&Value::from(40), &"primary".into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_counts_once() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let server = site.server("a", 1);
    server.bootstrap().await;
    let to = instance(&server).await;
    for (key, code, expected) in [("a", 200, 1), ("b", 200, 2), ("a", 200, 2), ("", 400, 0)] {
        let answer = ask(to, "POST", INCREMENT, Some(key)).await;
        assert_eq!(answer.status, code, "{}", answer.body);
        assert!(code != 200 || answer.json()["value"] == expected, "{}", answer.body);
    }
    server.stop().await;
}
