//! The shared store: the port through which everything reaches it, the names and spellings of its
//! keys, and the real one, etcd.

pub mod codec;
mod etcd;
pub mod keys;
mod port;
pub mod txns;

pub use codec::{Decoder, decode};
pub use etcd::{
    EtcdChanges, EtcdOptions, EtcdOptionsError, EtcdStore, Finding, election_timeout_max,
};
pub use port::{
    Change, Changes, Compare, LeaseId, Op, RawSnapshot, RawValue, Store, StoreError, Txn, TxnReply,
};
