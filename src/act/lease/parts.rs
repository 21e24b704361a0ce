//! What the lease's task is made of.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Pulse;
use super::exposure::Exposure;
use super::orders::Order;
use crate::act::failsafe::Carried;
use crate::dcs::LeaseId;
use crate::decide::{LeaseSight, Sight};
use crate::publish::Metrics;
use crate::values::{Incarnation, LeaseTimes, MemberName};

/// What the task is made of.
pub struct KeeperParts<S, C, F> {
    /// A store with connections of its own.
    pub store: S,
    /// The clock.
    pub clock: C,
    /// The fence, through the mark of what may accept writes.
    pub exposure: Exposure<F>,
    /// This member.
    pub name: MemberName,
    /// This start of its agent.
    pub incarnation: Incarnation,
    /// Where nonces come from.
    pub nonces: Box<dyn FnMut() -> u64 + Send>,
    /// The durations in force.
    pub times: watch::Receiver<LeaseTimes>,
    /// The loop's sign of life.
    pub pulse: Pulse,
    /// What the store showed.
    pub sight: watch::Receiver<Option<Arc<Sight>>>,
    /// The etcd lease for the `leader` key that Patroni's readers look at.
    pub display: watch::Receiver<Option<LeaseId>>,
    /// The loop's orders.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// What the members carry meanwhile.
    pub carried: mpsc::UnboundedReceiver<Carried>,
    /// Where the lease is shown.
    pub shown: watch::Sender<LeaseSight>,
    /// Counters.
    pub metrics: Metrics,
}
