//! The ports of one agent, as one set of types.

use super::journal::JournalFile;
use super::lease::Fence;
use crate::dcs::Store;
use crate::observe::Peers;
use crate::postgres::{Probes, Server};
use crate::values::Clock;

/// The outside world of one agent: the real one, or a simulated one.
pub trait Ports: 'static {
    /// The shared store.
    type Store: Store + 'static;
    /// The local server.
    type Server: Server + 'static;
    /// The probes of the local server.
    type Probes: Probes + 'static;
    /// The way to the other members.
    type Peers: Peers + 'static;
    /// Where the journal is kept.
    type JournalFile: JournalFile + 'static;
    /// What enforces the deadline.
    type Fence: Fence + 'static;
    /// The clock.
    type Clock: Clock + Clone + 'static;
}
