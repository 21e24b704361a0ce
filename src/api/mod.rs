//! The agent's HTTP side. Probes and documents are read from the published status alone; whoever asks
//! for a change is answered by what then shows up there.
//!
//! The paths, codes and documents are those of Patroni's REST API. Ours are `/promise` and
//! `/position`, which the agents ask of each other, and `/pgbaton/events`.

mod auth;
mod body;
mod client;
mod config_writes;
mod desk;
mod documents;
mod events;
mod exposition;
mod failsafe;
mod handover;
mod health;
pub(crate) mod json;
mod patroni_metrics;
mod peers;
mod position;
mod preflight;
mod probes;
mod promise;
mod query;
mod reply;
mod router;
mod server;
mod shown;
mod store;
mod time;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;

pub use auth::Access;
pub use client::{RestAnswer, RestCall, RestError, call, endpoint};
pub use desk::{StoreClerk, StoreDesk, store_desk};
pub use documents::cluster_document;
pub use events::moment_micros;
pub use exposition::metrics_document;
pub use peers::HttpPeers;
pub use router::router;
pub use server::serve;

use exposition::Counted;

use crate::publish::{Events, Metrics, Published, ServerStatistics, Status};
use crate::values::{Clock, Monotonic};
use crate::wake::Calls;

/// For how long a rendered status is given out again. Only the times in it grow old meanwhile; what a
/// probe claims is looked at anew for each request.
const RENDERED_FOR: Duration = Duration::from_millis(100);

/// What the API is made of.
pub struct ApiParts {
    /// Where the status is read.
    pub published: Published,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The way to the loop.
    pub calls: Calls,
    /// The way to the store, for changes.
    pub store: StoreDesk,
    /// What was counted.
    pub metrics: Metrics,
    /// What happened lately.
    pub events: Events,
    /// What the server tells of itself.
    pub server: ServerStatistics,
    /// Who may change something.
    pub access: Access,
}

/// The API's state. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    published: Published,
    clock: Arc<dyn Clock>,
    calls: Calls,
    store: StoreDesk,
    counted: Counted,
    access: ArcSwap<Access>,
    rendered: ArcSwapOption<Rendered>,
}

/// A status document, and of what it was made.
struct Rendered {
    status: Arc<Status>,
    claims: [bool; 3],
    at: Monotonic,
    body: Bytes,
}

impl ApiState {
    /// Puts the parts together.
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts { published, clock, calls, store, metrics, events, server, access } = parts;
        let counted = Counted { metrics, events, server };
        let (access, rendered) = (ArcSwap::from_pointee(access), ArcSwapOption::empty());
        let inner = Inner { published, clock, calls, store, counted, access, rendered };
        Self(Arc::new(inner))
    }

    /// Replaces who may change something, after the configuration was read again.
    pub fn set_access(&self, access: Access) {
        self.0.access.store(Arc::new(access));
    }

    fn status(&self) -> (Arc<Status>, Monotonic) {
        // The clock is read last: a claim must not outlive its end because a thread slept in between.
        let status = self.0.published.get();
        (status, self.0.clock.now())
    }

    /// The status document, rendered once for many requests.
    fn status_body(&self, status: &Arc<Status>, now: Monotonic) -> Bytes {
        let claims = [
            status.is_writable(now),
            status.cluster_in_sight(now).is_some(),
            status.is_in_failsafe(now),
        ];
        if let Some(last) = &*self.0.rendered.load()
            && Arc::ptr_eq(&last.status, status)
            && last.claims == claims
            && now.since(last.at) < RENDERED_FOR
        {
            return last.body.clone();
        }
        let body = json::to_bytes(&wire::status_document(status, now));
        let rendered = Rendered { status: status.clone(), claims, at: now, body: body.clone() };
        self.0.rendered.store(Some(Arc::new(rendered)));
        body
    }
}
