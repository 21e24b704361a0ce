//! The connections: one for each runtime and member in use, made when it is needed. The member in use
//! changes whenever one gave no result.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use tokio::runtime::{Handle, Id};

use super::errors;
use super::options::{Endpoint, Settings};
use crate::dcs::StoreError;

/// etcd closes connections that ping more often than each 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);
/// How long a ping may stay unanswered. Requests have their own, shorter bound; this one ends watches.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Requests. They may wait in a member that has no leader yet: an election ends sooner than a try.
    Requests,
    /// One watch: the member is to end it when it has lost its leader.
    Watch,
}

struct Connection {
    runtime: Id,
    member: usize,
    client: Client,
}

pub(super) struct Pool {
    pub(super) settings: Arc<Settings>,
    member_in_use: AtomicUsize,
    connections: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(settings: Arc<Settings>, member: usize) -> Self {
        Self { settings, member_in_use: AtomicUsize::new(member), connections: Mutex::default() }
    }

    /// A pool without connections, beginning at the member that works here.
    pub(super) fn separate(&self) -> Self {
        Self::new(self.settings.clone(), self.member_in_use())
    }

    pub(super) fn member_in_use(&self) -> usize {
        self.member_in_use.load(Ordering::Relaxed)
    }

    pub(super) fn endpoint(&self, member: usize) -> &Endpoint {
        &self.settings.endpoints[member]
    }

    /// One try at the member in use. Without a result, the next call goes to the next member.
    pub(super) async fn call<T, F>(
        &self,
        within: Duration,
        request: impl Fn(Client) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let member = self.member_in_use();
        let result = self.call_at(member, within, request).await;
        if result.as_ref().is_err_and(StoreError::is_ambiguous) {
            self.leave(member);
        }
        result
    }

    /// One try at one member.
    pub(super) async fn call_at<T, F>(
        &self,
        member: usize,
        within: Duration,
        request: impl Fn(Client) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempt = async {
            let client = self.connection(member, within).await?;
            let first = request(client.clone()).await;
            let has_credentials = self.settings.credentials.is_some();
            if !(has_credentials && first.as_ref().is_err_and(errors::wants_a_token)) {
                return first;
            }
            // The refused try applied nothing, so that it can be made again.
            self.authenticate(client.clone()).await?;
            request(client).await
        };
        match tokio::time::timeout(within, attempt).await {
            Ok(result) => {
                result.map_err(|error| errors::meaning(&error, &self.endpoint(member).url))
            }
            Err(_) => Err(StoreError::NoAnswer(within)),
        }
    }

    /// Forgets the connections to a member that gave no result, and moves on to the next one unless
    /// somebody did already.
    pub(super) fn leave(&self, member: usize) {
        let next = (member + 1) % self.settings.endpoints.len();
        let order = Ordering::Relaxed;
        if self.member_in_use.compare_exchange(member, next, order, order).is_ok() {
            let (from, to) = (&self.endpoint(member).url, &self.endpoint(next).url);
            tracing::debug!(from, to, "no result from an etcd member: going to the next");
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.member != member);
        self.settings.addresses.doubt(member);
    }

    /// The connection of this runtime to a member.
    async fn connection(&self, member: usize, within: Duration) -> Result<Client, Error> {
        let runtime = Handle::current().id();
        if let Some(client) = self.known(runtime, member) {
            return Ok(client);
        }
        let client = self.connect(member, Use::Requests, within).await?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|one| one.runtime != runtime || one.member != member);
        connections.push(Connection { runtime, member, client: client.clone() });
        Ok(client)
    }

    fn known(&self, runtime: Id, member: usize) -> Option<Client> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = connections.iter();
        let own = own.find(|one| one.runtime == runtime && one.member == member);
        own.map(|connection| connection.client.clone())
    }

    /// A new connection, authenticated. It is dropped with its last clone.
    pub(super) async fn connect(
        &self,
        member: usize,
        usage: Use,
        within: Duration,
    ) -> Result<Client, Error> {
        let endpoint = self.endpoint(member);
        let mut options = ConnectOptions::new()
            .with_connect_timeout(within)
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(usage == Use::Watch);
        if let Some(tls) = self.settings.tls.clone().filter(|_| endpoint.is_https) {
            options = options.with_tls(tls.domain_name(&endpoint.host));
        }
        let url = endpoint.url_at(self.settings.addresses.to_try(member));
        let client = Client::connect([url], Some(options)).await?;
        self.authenticate(client.clone()).await?;
        Ok(client)
    }

    /// Gets a token for a client and all its clones. Fine where the server wants none.
    async fn authenticate(&self, mut client: Client) -> Result<(), Error> {
        if self.settings.credentials.is_none() {
            return Ok(());
        }
        match client.update_user(self.settings.credentials.clone()).await {
            Err(error) if errors::authentication_is_off(&error) => Ok(()),
            result => result,
        }
    }
}
