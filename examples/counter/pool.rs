//! Connections that are kept between requests. One that is broken is dropped; which server is behind a port
//! may change at any time, so no connection is trusted to be what it was.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::{Client, Config, NoTls};

/// How long a host may take to accept a connection, and all of it to be ready.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// At most so many connections to one place.
pub struct Pool {
    config: Config,
    idle: Mutex<Vec<Client>>,
    places: Semaphore,
}

impl Pool {
    /// No connection stands yet.
    pub fn new(mut config: Config, connections: usize) -> Self {
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WITHIN);
        }
        if config.get_application_name().is_none() {
            config.application_name("counter");
        }
        Self { config, idle: Mutex::new(Vec::new()), places: Semaphore::new(connections) }
    }

    /// Uses a connection for one statement. It is kept only if that worked: after an error the next request
    /// connects anew, and so finds whoever is the primary by then.
    pub async fn with<T, F>(
        &self,
        job: impl FnOnce(Client) -> F,
    ) -> Result<T, tokio_postgres::Error>
    where
        F: Future<Output = Result<(Client, T), tokio_postgres::Error>>,
    {
        let _place = self.places.acquire().await.expect("the pool is never closed");
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let client = match kept.filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect().await?,
        };
        let (client, answer) = job(client).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(async move {
            // Its end shows in what the client is asked next.
            let _ = connection.await;
        });
        Ok(client)
    }
}
