//! Single statements on a node's server, without a connection that is kept.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

/// The accounts' passwords, in every cluster of the tests.
pub const SUPERUSER_PASSWORD: &str = "it's the superuser";
pub const REPLICATION_PASSWORD: &str = "replication only";
pub const REWIND_PASSWORD: &str = "rewind";

/// How to reach a server as the superuser.
pub fn superuser(server: SocketAddr, connect_within: Duration) -> Config {
    let mut config = Config::new();
    config.host(server.ip().to_string()).port(server.port()).dbname("postgres");
    config.user("postgres").password(SUPERUSER_PASSWORD).application_name("test");
    config.connect_timeout(connect_within);
    config
}

/// A connection whose other half is driven beside it.
pub async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // Its end shows in what the client is asked next.
        let _ = connection.await;
    });
    Ok(client)
}

/// A runtime for the calling thread.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// The rows of a statement as text, or why there are none.
pub fn query(server: SocketAddr, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let ask = async {
        let client = connect(&superuser(server, Duration::from_secs(2))).await?;
        client.simple_query(sql).await
    };
    let bound = Duration::from_secs(30);
    let answer = runtime().block_on(async { timeout(bound, ask).await });
    let messages = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| {
        error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned())
    })?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let field = |index| row.get(index).unwrap_or_default().to_owned();
                Some((0..row.len()).map(field).collect())
            }
            _ => None,
        })
        .collect())
}

/// The one value of a statement.
pub fn value(server: SocketAddr, sql: &str) -> Result<String, String> {
    let rows = query(server, sql)?;
    rows.into_iter().flatten().next().ok_or_else(|| format!("no row: {sql}"))
}

/// A statement that has to work.
#[track_caller]
pub fn run(server: SocketAddr, sql: &str) {
    if let Err(error) = query(server, sql) {
        panic!("`{sql}` failed on {server}: {error}");
    }
}
