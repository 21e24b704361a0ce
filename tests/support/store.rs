//! Stores over a test's etcd, and the small steps that tests of them are made of.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::Client;
use pgbaton::dcs::{Change, Changes, EtcdOptions, EtcdStore, Op, Store, Txn, TxnReply};

use super::etcd::Etcd;

/// One try at a healthy member, with room for a busy machine.
pub const TRY: Duration = Duration::from_secs(5);
/// What ends a test that waits in vain.
pub const BOUND: Duration = Duration::from_secs(30);

/// The prefix of all stores here.
pub const PREFIX: &str = "/service/demo/";

/// The options of a store without credentials.
pub fn options(endpoints: Vec<String>) -> EtcdOptions {
    EtcdOptions { endpoints, prefix: PREFIX.to_owned(), ..EtcdOptions::default() }
}

/// Such a store.
pub fn store(endpoints: Vec<String>) -> EtcdStore {
    EtcdStore::new(options(endpoints)).expect("usable options")
}

/// A store with another prefix.
pub fn store_at(endpoints: Vec<String>, prefix: &str) -> EtcdStore {
    let options = EtcdOptions { prefix: prefix.to_owned(), ..options(endpoints) };
    EtcdStore::new(options).expect("usable options")
}

/// An unconditional put.
pub fn put(key: &str, value: &str) -> Txn {
    let op = Op::Put(key.to_owned(), Bytes::copy_from_slice(value.as_bytes()), None);
    Txn { compares: Vec::new(), ops: vec![op] }
}

/// A transaction that gets an answer.
pub async fn commit(store: &EtcdStore, txn: Txn) -> TxnReply {
    store.commit(txn, TRY).await.expect("an answer")
}

/// Something that happens, or the test fails.
pub async fn bounded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.expect("it happens within the bound")
}

/// The next changes, until there are so many.
pub async fn changes(watch: &mut impl Changes, count: usize) -> Vec<Change> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(bounded(watch.next()).await.expect("a change"));
    }
    seen
}

/// A client that is not ours.
pub async fn raw_client(etcd: &Etcd) -> Client {
    Client::connect(etcd.endpoints(), None).await.expect("a connection")
}
