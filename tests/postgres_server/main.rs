//! The real server behind its port, on a real PostgreSQL: what an agent relies on when it decides.

#[path = "../support/mod.rs"]
mod support;

mod counter;
mod fenced;
mod found;
mod made;
mod moved;
mod rejoined;
mod stalled;
mod statistics;
mod synchronous;
mod traffic;

use pgbaton::postgres::State;
use pgbaton::values::Lsn;
use support::postgres::{Site, TestServer};

fn received(state: &State) -> Option<Lsn> {
    match state {
        State::Standby(standby) => standby.received,
        _ => None,
    }
}

/// Two servers, the second a standby of the first.
async fn pair(site: &Site) -> (TestServer, TestServer) {
    let (a, b) = (site.server("a", 1), site.server("b", 2));
    a.bootstrap().await;
    a.run("CREATE TABLE t (n int)").await;
    b.join(&a).await;
    (a, b)
}
