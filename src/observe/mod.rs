//! Reads: the store, the local server, the peers. Changes nothing.

mod peers;

pub use peers::{Ask, Peer, PeerError, PeerStatus, Peers};
