//! The listener: connections in, each with bounds of its own, answers out.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{ApiState, router};

/// How many connections are served at once; more wait in the listener's queue. Keeps whoever opens
/// them by the thousand from using up the file descriptors that the agent needs to reach the store.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send a request's head, and how long an idle connection is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The pause after the listener failed (out of descriptors): nothing tells when that is over.
const LISTENER_PAUSE: Duration = Duration::from_millis(50);

/// Answers on the listener until the future is dropped.
pub async fn serve(listener: TcpListener, api: ApiState) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let app = router(api);
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "the REST listener could not take a connection");
                tokio::time::sleep(LISTENER_PAUSE).await;
                continue;
            }
        };
        let app = app.clone();
        tokio::spawn(async move {
            answer(stream, app).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream, app: axum::Router) {
    // Answers are small: a delay to fill packets only delays them. Where it is refused, it is slower.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a REST connection ended early");
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
