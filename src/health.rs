//! `pgbaton health`: whether the agent of this machine answers and its server runs, as an exit code. For
//! health checks of containers, which have no HTTP client of their own.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::http::Method;

use crate::api::{RestCall, call};
use crate::cli::HealthArgs;
use crate::config::{self, HostPort, NodeConfig};

/// An agent that lives answers at once.
const BOUND: Duration = Duration::from_secs(2);

/// Asks once. The exit code is 1 where the agent does not answer, or answers that its server does not run.
pub fn run(args: &HealthArgs) -> ExitCode {
    match ask(args.config.as_deref()) {
        Ok(()) => {
            println!("running");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(path: Option<&Path>) -> Result<(), String> {
    let loaded = config::load(path, &config::environment());
    let Some(node) = loaded.config else {
        return Err("the configuration cannot be used: `pgbaton check` says why".to_owned());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let url = own_url(&node);
    let asked =
        RestCall { method: Method::GET, url: &url, credentials: None, body: None, within: BOUND };
    let answer = runtime.block_on(call(asked));
    match answer.map_err(|error| format!("the agent does not answer: {error}"))?.code {
        200 => Ok(()),
        code => Err(format!("the agent answers {code} to GET /health: its server does not run")),
    }
}

fn own_url(node: &NodeConfig) -> String {
    format!("http://{}/health", from_here(&node.restapi.listen))
}

/// The address of whoever listens there, as seen from this machine.
fn from_here(listen: &HostPort) -> HostPort {
    let host = match listen.host.as_str() {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    HostPort { host: host.to_owned(), port: listen.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_listens_everywhere_is_asked_on_the_loopback_address() {
        for (host, expected) in [
            ("*", "127.0.0.1:8008"),
            ("0.0.0.0", "127.0.0.1:8008"),
            ("::", "[::1]:8008"),
            ("10.1.0.7", "10.1.0.7:8008"),
        ] {
            let listen = HostPort { host: host.to_owned(), port: 8008 };
            assert_eq!(from_here(&listen).to_string(), expected);
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_said() {
        let error = ask(Some(Path::new("/nonexistent/node.yml"))).unwrap_err();
        assert!(error.contains("pgbaton check"), "{error}");
    }
}
