//! What the server last told of itself, and for how long that may be shown: a server that hangs tells
//! nothing new, and what it told before is not its state.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::postgres::Statistics;
use crate::values::Monotonic;

/// An answer may be later than the next question by so much.
const GRACE: Duration = Duration::from_secs(1);

/// An answer.
#[derive(Clone, Debug)]
pub struct TakenStatistics {
    /// What was told.
    pub statistics: Statistics,
    /// When it was asked for.
    pub asked_at: Monotonic,
    /// How long the answer took.
    pub took: Duration,
}

/// Where the last answer is put and read, and how often to ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerStatistics {
    last: Arc<ArcSwapOption<TakenStatistics>>,
    interval: watch::Sender<Duration>,
}

impl ServerStatistics {
    /// Nothing yet; zero asks never.
    pub fn every(interval: Duration) -> Self {
        Self { last: Arc::default(), interval: watch::Sender::new(interval) }
    }

    /// Asks at another pace from now on.
    pub fn set_interval(&self, interval: Duration) {
        self.interval.send_if_modified(|before| std::mem::replace(before, interval) != interval);
    }

    /// How often to ask, now and as it changes.
    pub fn interval(&self) -> watch::Receiver<Duration> {
        self.interval.subscribe()
    }

    /// Whether anybody asks.
    pub fn is_on(&self) -> bool {
        !self.interval.borrow().is_zero()
    }

    /// Puts an answer in the place of the one before.
    pub fn put(&self, taken: TakenStatistics) {
        self.last.store(Some(Arc::new(taken)));
    }

    /// The last answer, unless another one is overdue.
    pub fn fresh(&self, now: Monotonic) -> Option<Arc<TakenStatistics>> {
        let interval = *self.interval.borrow();
        let last = self.last.load_full()?;
        let is_fresh = now.since(last.asked_at) <= interval * 2 + GRACE;
        (is_fresh && !interval.is_zero()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_until_the_next_is_overdue() {
        let shown = ServerStatistics::every(Duration::from_secs(10));
        let at = |seconds| Monotonic::ZERO + Duration::from_secs(seconds);
        assert!(shown.fresh(at(1)).is_none(), "nobody has answered yet");
        let (statistics, took) = (Statistics::default(), Duration::ZERO);
        shown.put(TakenStatistics { statistics, asked_at: at(100), took });
        assert!(shown.fresh(at(121)).is_some());
        assert!(shown.fresh(at(122)).is_none());
        shown.set_interval(Duration::ZERO);
        assert!(shown.fresh(at(101)).is_none() && !shown.is_on());
    }
}
