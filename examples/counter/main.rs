//! A counter behind HTTP, as an application would be written for a cluster that fails over: writes go to the
//! write port, reads to the read port, and whatever is in the way of a failover is tried again. Any number
//! of instances may run beside each other: they share nothing but the database.

mod pool;
mod service;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;

use service::{Counter, Settings};

/// A counter behind HTTP: POST /api/counter/increment, GET /api/counter, GET /health.
#[derive(Debug, Parser)]
#[command(name = "counter")]
struct Args {
    /// Where to listen.
    #[arg(long, env = "COUNTER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where writes go: a URL or key=value pairs.
    #[arg(long, env = "COUNTER_WRITE", hide_env_values = true)]
    #[arg(default_value = "postgresql://postgres@localhost:5000/postgres")]
    write: tokio_postgres::Config,
    /// Where reads go; the write port is asked where nobody answers there.
    #[arg(long, env = "COUNTER_READ", hide_env_values = true)]
    #[arg(default_value = "postgresql://postgres@localhost:5001/postgres")]
    read: tokio_postgres::Config,
    /// Which counter.
    #[arg(long, env = "COUNTER_NAME", default_value = "visits")]
    name: String,
    /// Connections to each of the two.
    #[arg(long, env = "COUNTER_CONNECTIONS", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
    connections: u16,
    /// For how many seconds a request is tried again while nobody takes it.
    #[arg(long, env = "COUNTER_RETRY_SECONDS", default_value_t = 15)]
    retry_seconds: u64,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let mut targets = [args.write, args.read];
    for target in &mut targets {
        if let (None, Ok(password)) = (target.get_password(), std::env::var("PGPASSWORD")) {
            target.password(password);
        }
    }
    let [write, read] = targets;
    let settings = Settings {
        write,
        read,
        name: args.name,
        connections: args.connections.into(),
        retry_within: Duration::from_secs(args.retry_seconds),
    };
    let listener = match TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("Error: --listen {}: {error}", args.listen);
            return std::process::ExitCode::FAILURE;
        }
    };
    println!("counter: listening on {}", args.listen);
    let router = service::router(Counter::new(settings));
    match axum::serve(listener, router).with_graceful_shutdown(told_to_stop()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or what a container is stopped with.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
