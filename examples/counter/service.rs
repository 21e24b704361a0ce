//! The counter and its HTTP interface. An increment carries a key, so that it can be sent again when nobody
//! knows whether it was done: the second time, the database sees that it was.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Config, Error};

use super::pool::Pool;

/// Between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long one try may take.
const TRY_WITHIN: Duration = Duration::from_secs(5);
/// How long the health check may take.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);
/// A key of a client is not longer than this.
const KEY_LENGTH_MAX: usize = 200;

/// Two instances may start at once: the lock lets them make the tables one after the other.
const TABLES: &str = "SELECT pg_advisory_xact_lock(7204411); \
    CREATE TABLE IF NOT EXISTS counters (name text PRIMARY KEY, value bigint NOT NULL); \
    CREATE TABLE IF NOT EXISTS counter_requests (key text PRIMARY KEY, \
        at timestamptz NOT NULL DEFAULT now()); \
    DELETE FROM counter_requests WHERE at < now() - interval '1 day'";
const INCREMENT: &str = "WITH first AS (\
        INSERT INTO counter_requests (key) VALUES ($2) ON CONFLICT DO NOTHING RETURNING key), \
    changed AS (INSERT INTO counters AS c (name, value) SELECT $1, 1 FROM first \
        ON CONFLICT (name) DO UPDATE SET value = c.value + 1 RETURNING value) \
    SELECT coalesce((SELECT value FROM changed), (SELECT value FROM counters WHERE name = $1), 0), \
        coalesce(host(inet_server_addr()), 'local'), inet_server_port(), pg_is_in_recovery()";
const READ: &str = "SELECT coalesce((SELECT value FROM counters WHERE name = $1), 0), \
    coalesce(host(inet_server_addr()), 'local'), inet_server_port(), pg_is_in_recovery()";

/// What an instance is told.
pub struct Settings {
    /// Where writes go.
    pub write: Config,
    /// Where reads go.
    pub read: Config,
    /// Which counter.
    pub name: String,
    /// Connections to each of the two.
    pub connections: usize,
    /// How long a request is tried again.
    pub retry_within: Duration,
}

/// One instance.
pub struct Counter {
    write: Pool,
    read: Pool,
    name: String,
    retry_within: Duration,
    has_tables: tokio::sync::OnceCell<()>,
}

impl Counter {
    /// Nothing is connected yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            write: Pool::new(settings.write, settings.connections),
            read: Pool::new(settings.read, settings.connections),
            name: settings.name,
            retry_within: settings.retry_within,
            has_tables: tokio::sync::OnceCell::new(),
        })
    }

    async fn make_tables(&self) -> Result<(), Error> {
        let tables = || async {
            let made = |client: Client| async {
                client.batch_execute(TABLES).await?;
                Ok((client, ()))
            };
            self.write.with(made).await
        };
        self.has_tables.get_or_try_init(tables).await?;
        Ok(())
    }

    async fn increment(&self, key: &str) -> Result<Value, Error> {
        self.make_tables().await?;
        let increment = |client: Client| async {
            let row = client.query_one(INCREMENT, &[&self.name, &key]).await?;
            Ok((client, shown(&row)))
        };
        self.write.with(increment).await
    }

    async fn value(&self, pool: &Pool) -> Result<Value, Error> {
        let read = |client: Client| async {
            let row = client.query_one(READ, &[&self.name]).await?;
            Ok((client, shown(&row)))
        };
        pool.with(read).await
    }
}

fn shown(row: &tokio_postgres::Row) -> Value {
    let (value, host): (i64, String) = (row.get(0), row.get(1));
    let port: Option<i32> = row.get(2);
    let role = if row.get(3) { "standby" } else { "primary" };
    json!({"value": value, "node": format!("{host}:{}", port.unwrap_or(0)), "role": role})
}

/// The interface.
pub fn router(counter: Arc<Counter>) -> Router {
    Router::new()
        .route("/api/counter/increment", post(increment))
        .route("/api/counter", get(read))
        .route("/health", get(health))
        .with_state(counter)
}

/// Whoever sends the same `Idempotency-Key` twice counts once.
async fn increment(State(counter): State<Arc<Counter>>, headers: HeaderMap) -> Response {
    let given = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default());
    let key = match given {
        None => format!("{:032x}", rand::rng().random::<u128>()),
        Some(key) if key.is_empty() || key.len() > KEY_LENGTH_MAX => {
            let what = format!("Idempotency-Key: expected 1 to {KEY_LENGTH_MAX} ASCII characters");
            return answer(StatusCode::BAD_REQUEST, &json!({"error": what}));
        }
        Some(key) => key.to_owned(),
    };
    patiently(&counter, || counter.increment(&key)).await
}

async fn read(State(counter): State<Arc<Counter>>) -> Response {
    patiently(&counter, || async {
        match counter.value(&counter.read).await {
            Ok(value) => Ok(value),
            // No standby answers, or nobody has counted yet: the primary knows it, too.
            Err(_) => {
                counter.make_tables().await?;
                counter.value(&counter.write).await
            }
        }
    })
    .await
}

/// Whether this instance can be sent requests: not whether the cluster has a primary now, which no other
/// instance could help with.
async fn health(State(counter): State<Arc<Counter>>) -> Response {
    let database = match timeout(HEALTH_WITHIN, counter.value(&counter.read)).await {
        Ok(Ok(_)) => "answers",
        Ok(Err(_)) | Err(_) => "does not answer",
    };
    answer(StatusCode::OK, &json!({"status": "ok", "database": database}))
}

/// Tries until it works or its time is over.
async fn patiently<F>(counter: &Counter, job: impl Fn() -> F) -> Response
where
    F: Future<Output = Result<Value, Error>>,
{
    let since = Instant::now();
    let mut pause = PAUSE.0;
    let mut tries = 0;
    loop {
        tries += 1;
        let why = match timeout(TRY_WITHIN, job()).await {
            Ok(Ok(mut value)) => {
                value["tries"] = tries.into();
                return answer(StatusCode::OK, &value);
            }
            Ok(Err(error)) => words(&error),
            Err(_) => format!("no answer within {TRY_WITHIN:?}"),
        };
        if since.elapsed() + pause > counter.retry_within {
            let body = json!({"error": why, "tries": tries});
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
            let seconds = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return response;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => error.to_string(),
    }
}

fn answer(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
