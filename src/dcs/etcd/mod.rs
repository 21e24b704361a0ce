//! The store over etcd's v3 API. One try at one member at a time: who calls says how long a try may
//! take, and after one without a result the next goes to the next member. The client library neither
//! balances nor retries; both would hide a member that swallows requests.

mod addresses;
mod check;
mod errors;
mod options;
mod pool;
mod tls;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client as etcd;

pub use check::{Finding, election_timeout_max};
pub use options::{EtcdOptions, EtcdOptionsError};
pub use watch::EtcdChanges;

use self::options::Settings;
use self::pool::Pool;
use super::{Compare, LeaseId, Op, RawSnapshot, RawValue, Store, StoreError, Txn, TxnReply};
use crate::values::Revision;

/// Replies hold a whole cluster's keys; the library's default of 4 MiB is less than etcd may send.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// The store in an etcd cluster. A clone shares the connections, [`EtcdStore::separate`] gives a
/// store with its own. Connections belong to the runtime that first needed them, and are made then.
#[derive(Clone)]
pub struct EtcdStore {
    pool: Arc<Pool>,
}

impl EtcdStore {
    /// A store that has not contacted anybody yet.
    ///
    /// # Errors
    /// When an endpoint is no URL or a certificate or key file cannot be used.
    pub fn new(options: EtcdOptions) -> Result<Self, EtcdOptionsError> {
        let settings = Arc::new(Settings::check(options)?);
        Ok(Self { pool: Arc::new(Pool::new(settings, 0)) })
    }

    /// The same store over connections of its own, for whom a stuck request of others must not delay.
    pub fn separate(&self) -> Self {
        Self { pool: Arc::new(self.pool.separate()) }
    }

    /// Looks up the members that were given by name, and remembers for this store, its clones and the
    /// separate ones where each takes connections. To be called at the start and now and then from
    /// somewhere that may wait: without it, each new connection looks its name up.
    pub async fn remember_addresses(&self) {
        let settings = &self.pool.settings;
        for (member, endpoint) in settings.endpoints.iter().enumerate() {
            if !endpoint.is_named() {
                continue;
            }
            if let Some(address) = addresses::reachable(&endpoint.host, endpoint.port).await {
                settings.addresses.remember(member, address);
            }
        }
    }

    fn absolute(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.pool.settings.prefix).into_bytes()
    }

    fn txn_of(&self, txn: Txn) -> etcd::Txn {
        let equal = etcd::CompareOp::Equal;
        let compare = |compare| match compare {
            Compare::ModRevision(key, revision) => {
                etcd::Compare::mod_revision(self.absolute(&key), equal, revision.0)
            }
            Compare::Value(key, value) => etcd::Compare::value(self.absolute(&key), equal, value),
        };
        let op = |op| match op {
            Op::Put(key, value, lease) => {
                let attached = |lease: LeaseId| etcd::PutOptions::new().with_lease(lease.0);
                etcd::TxnOp::put(self.absolute(&key), value, lease.map(attached))
            }
            Op::Delete(key) => etcd::TxnOp::delete(self.absolute(&key), None),
        };
        etcd::Txn::new()
            .when(txn.compares.into_iter().map(compare).collect::<Vec<_>>())
            .and_then(txn.ops.into_iter().map(op).collect::<Vec<_>>())
    }
}

impl Store for EtcdStore {
    type Changes = EtcdChanges;

    async fn read_all(&self, within: Duration) -> Result<RawSnapshot, StoreError> {
        let prefix = &self.pool.settings.prefix;
        let read = |client: etcd::Client| async move {
            let range = etcd::GetOptions::new().with_prefix();
            let mut kv = client.kv_client().max_decoding_message_size(REPLY_BYTES_MAX);
            kv.get(prefix.as_str(), Some(range)).await
        };
        let mut reply = self.pool.call(within, read).await?;
        let revision = revision_of(reply.header());
        let keys = reply.take_kvs();
        let keys = keys.into_iter().filter_map(|pair| relative(prefix, pair)).collect();
        Ok(RawSnapshot { revision, keys })
    }

    async fn commit(&self, txn: Txn, within: Duration) -> Result<TxnReply, StoreError> {
        let request = self.txn_of(txn);
        let run = |client: etcd::Client| {
            let request = request.clone();
            async move { client.kv_client().txn(request).await }
        };
        let reply = self.pool.call(within, run).await?;
        Ok(TxnReply { succeeded: reply.succeeded(), revision: revision_of(reply.header()) })
    }

    async fn watch(&self, after: Revision, within: Duration) -> Result<EtcdChanges, StoreError> {
        watch::open(&self.pool, after, within).await
    }

    async fn grant_lease(&self, ttl: Duration, within: Duration) -> Result<LeaseId, StoreError> {
        // etcd counts in whole seconds, and a lease lives at least as long as asked.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
        let grant =
            |client: etcd::Client| async move { client.lease_client().grant(seconds, None).await };
        Ok(LeaseId(self.pool.call(within, grant).await?.id()))
    }

    async fn keep_lease(&self, lease: LeaseId, within: Duration) -> Result<(), StoreError> {
        // One request, one answer: a stream that stays open would have to tell which answer is whose.
        let keep =
            |client: etcd::Client| async move { client.lease_client().keep_alive(lease.0).await };
        self.pool.call(within, keep).await.map(drop)
    }
}

fn revision_of(header: Option<&etcd::ResponseHeader>) -> Revision {
    Revision(header.map_or(0, etcd::ResponseHeader::revision))
}

/// A key and its value as the port has them; a key that is no text is nobody's here.
fn relative(prefix: &str, pair: etcd::KeyValue) -> Option<(String, RawValue)> {
    let key = pair.key_str().ok()?.strip_prefix(prefix)?.to_owned();
    Some((key, raw_value(&pair)))
}

fn raw_value(pair: &etcd::KeyValue) -> RawValue {
    RawValue {
        value: Bytes::copy_from_slice(pair.value()),
        mod_revision: Revision(pair.mod_revision()),
        lease: Some(pair.lease()).filter(|lease| *lease != 0).map(LeaseId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_futures_may_be_spawned_on_any_runtime() {
        fn may_move<T: Send>(_: T) {}
        let options = EtcdOptions {
            endpoints: vec!["http://127.0.0.1:1".to_owned()],
            prefix: "/service/demo/".to_owned(),
            ..EtcdOptions::default()
        };
        let store = EtcdStore::new(options).expect("usable options");
        let within = Duration::from_secs(1);
        may_move(store.read_all(within));
        may_move(store.commit(Txn::default(), within));
        may_move(store.watch(Revision(1), within));
        may_move(store.grant_lease(within, within));
        may_move(store.keep_lease(LeaseId(1), within));
        may_move(store.findings(within));
    }
}
