//! Reads: the store, the local server, the peers. Changes nothing.

mod mirror;
mod peers;

pub use mirror::Mirror;
pub use peers::{Ask, Peer, PeerError, PeerStatus, Peers};
