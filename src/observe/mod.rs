//! Reads: the store, the local server, the peers. Changes nothing.

mod health;
mod mirror;
mod peers;

pub use health::{Glance, HealthWatch, ProbeEnds};
pub use mirror::Mirror;
pub use peers::{Ask, Peer, PeerError, PeerStatus, Peers};
