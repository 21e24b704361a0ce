//! The task that holds the lease, over a store that loses answers: what it says was written is what the
//! store has.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgbaton::act::lease::{Exposure, Fence, Keeper, KeeperParts, LeaseOrders, Pulse};
use pgbaton::cluster::{Basis, Baton, BatonState};
use pgbaton::dcs::keys;
use pgbaton::decide::LeaseSight;
use pgbaton::fence::BoottimeClock;
use pgbaton::publish::Metrics;
use pgbaton::values::{Clock, Incarnation, LeaseDeadline, LeaseTimes, Revision, Term};
use support::memory_store::{Fault, MemoryStore};
use tokio::sync::{mpsc, watch};

const TERM: Term = Term(1);
/// Far longer than any answer takes here.
const BOUND: Duration = Duration::from_secs(30);

/// A server that is never opened needs none.
struct NoFence;

impl Fence for NoFence {
    fn arm(&self, _: LeaseDeadline) {}

    fn disarm(&self) {}
}

/// A holder of the lease.
struct Holder {
    store: MemoryStore,
    orders: LeaseOrders,
    /// What the task waits for; dropped, it would end.
    _open: (watch::Sender<LeaseTimes>, Box<dyn std::any::Any>),
}

impl Holder {
    async fn new() -> Holder {
        let store = MemoryStore::default();
        let (orders, receiver) = LeaseOrders::channel();
        let (sends_times, times) = watch::channel(LeaseTimes::for_ttl(Duration::from_secs(1)));
        let (sends_sight, sight) = watch::channel(None);
        let (sends_display, display) = watch::channel(None);
        let (sends_carried, carried) = mpsc::unbounded_channel();
        let nonces = AtomicU64::new(1);
        let pulse = Pulse::default();
        // The loop is never missed within a test.
        pulse.beat(BoottimeClock.now() + BOUND);
        let keeper = Keeper::new(KeeperParts {
            store: store.clone(),
            clock: BoottimeClock,
            exposure: Exposure::new(NoFence, None),
            name: "a".into(),
            incarnation: Incarnation(7),
            nonces: Box::new(move || nonces.fetch_add(1, Ordering::Relaxed)),
            times,
            pulse,
            sight,
            display,
            orders: receiver,
            carried,
            shown: watch::Sender::new(LeaseSight::default()),
            metrics: Metrics::default(),
        });
        tokio::task::spawn_local(keeper.run());
        orders
            .take(Revision::ABSENT, TERM, Basis::default())
            .await
            .expect("an empty store is taken");
        let others: Box<dyn std::any::Any> = Box::new((sends_sight, sends_display, sends_carried));
        Holder { store, orders, _open: (sends_times, others) }
    }

    /// Returns when a renewal was applied and not answered.
    async fn loses_the_answer_to_a_renewal(&self) {
        let before = self.store.text(keys::BATON);
        self.store.fail_next(Fault::AppliedUnanswered);
        self.store.changed_from(keys::BATON, before.as_deref()).await;
    }

    fn baton(&self) -> Baton {
        self.store.cluster().baton.expect("there is one").value
    }
}

/// Runs a test with tasks that stay on its thread.
async fn within_bound(test: impl Future<Output = ()>) {
    let local = tokio::task::LocalSet::new();
    tokio::time::timeout(BOUND, local.run_until(test)).await.expect("it ends");
}

#[tokio::test]
async fn a_release_that_an_unanswered_renewal_shut_out_is_written_over_it() {
    within_bound(async {
        let holder = Holder::new().await;
        holder.loses_the_answer_to_a_renewal().await;
        holder.orders.release(None).await.expect("it is given away");
        assert_eq!(holder.baton().state, BatonState::Released);
    })
    .await;
}

#[tokio::test]
async fn so_is_an_offer() {
    within_bound(async {
        let holder = Holder::new().await;
        holder.loses_the_answer_to_a_renewal().await;
        holder.orders.offer("b".into(), Incarnation(8), None).await.expect("it is given away");
        let baton = holder.baton();
        let offered = (baton.state, baton.holder.as_str().to_owned(), baton.term);
        assert_eq!(offered, (BatonState::Offered, "b".to_owned(), TERM.next()));
    })
    .await;
}

#[tokio::test]
async fn so_is_a_later_term() {
    within_bound(async {
        let holder = Holder::new().await;
        holder.loses_the_answer_to_a_renewal().await;
        holder.orders.raise(Term(5)).await.expect("it goes on under the later term");
        assert_eq!(holder.baton().term, Term(5), "the store says what the holder goes by");
    })
    .await;
}
