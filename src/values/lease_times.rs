//! Every duration that follows from `ttl`.

use std::time::Duration;

use super::{LeaseDeadline, Monotonic};

/// Time to make acknowledging impossible once it was decided: a kill of the whole server took 25 ms.
const TO_FENCE: Duration = Duration::from_millis(100);
/// How late the one that enforces the deadline may be scheduled.
const TO_BE_SCHEDULED: Duration = Duration::from_millis(50);
/// Two hosts' clocks may differ in rate by one part in this many.
const CLOCK_RATE_PARTS: u32 = 1000;
/// A soft stop is a fast shutdown; more than this buys nothing.
const SOFT_STOP_MAX: Duration = Duration::from_secs(1);
/// The smallest whole-second `ttl` that outlives an etcd failover at etcd's default election timeout.
pub const SMALLEST_TTL_AT_DEFAULT_ELECTION: u64 = 4;

/// The durations of the lease, all derived from `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// `ttl` itself: how long a silent holder keeps the lease.
    pub ttl: Duration,
    /// How often the holder renews.
    pub renewal_period: Duration,
    /// How long one try at the store may take.
    pub one_try: Duration,
    /// How long before the deadline the soft stop starts.
    pub soft_stop: Duration,
    /// How often the loop proves that it is alive.
    pub heartbeat: Duration,
    /// A loop that was silent for longer is stuck, and its lease is not renewed.
    pub proof_of_life: Duration,
}

impl LeaseTimes {
    /// No shorter `ttl` is taken.
    pub const TTL_MIN: Duration = Duration::from_secs(1);

    /// The times for a `ttl`.
    ///
    /// # Panics
    /// When `ttl` is under a second: the configuration refuses that.
    pub fn for_ttl(ttl: Duration) -> Self {
        assert!(ttl >= Self::TTL_MIN, "ttl is at least one second, not {ttl:?}");
        Self {
            ttl,
            renewal_period: ttl / 5,
            one_try: ttl / 4,
            soft_stop: (ttl / 5).min(SOFT_STOP_MAX),
            heartbeat: ttl / 10,
            proof_of_life: ttl / 2,
        }
    }

    /// The deadline that a renewal sent at `sent_at` gives: `t_s + T(1 - drift) - fence - scheduling`.
    pub fn deadline(&self, sent_at: Monotonic) -> LeaseDeadline {
        let drift = self.ttl / CLOCK_RATE_PARTS;
        LeaseDeadline::at(sent_at + (self.ttl - drift - TO_FENCE - TO_BE_SCHEDULED))
    }

    /// The smallest `ttl` that outlives an etcd failover with this election timeout.
    pub fn floor(election_timeout: Duration) -> Duration {
        // T >= 2E + T/5 + T/4, solved for T.
        election_timeout * 2 * 20 / 11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn the_table_of_times() {
        // ttl, renewal, try, deadline after the send, soft stop, heartbeat, proof of life
        let table = [
            (1_000, 200, 250, 849, 200, 100, 500),
            (2_000, 400, 500, 1_848, 400, 200, 1_000),
            (3_000, 600, 750, 2_847, 600, 300, 1_500),
            (5_000, 1_000, 1_250, 4_845, 1_000, 500, 2_500),
            (30_000, 6_000, 7_500, 29_820, 1_000, 3_000, 15_000),
        ];
        for (ttl, renewal, one_try, deadline, soft, heartbeat, proof) in table {
            let times = LeaseTimes::for_ttl(millis(ttl));
            assert_eq!(times.renewal_period, millis(renewal), "renewal of {ttl}");
            assert_eq!(times.one_try, millis(one_try), "try of {ttl}");
            let sent = Monotonic::from_boot(millis(100));
            assert_eq!(times.deadline(sent).moment(), sent + millis(deadline), "deadline of {ttl}");
            assert_eq!(times.soft_stop, millis(soft), "soft stop of {ttl}");
            assert_eq!(times.heartbeat, millis(heartbeat), "heartbeat of {ttl}");
            assert_eq!(times.proof_of_life, millis(proof), "proof of life of {ttl}");
        }
    }

    #[test]
    fn the_floor_follows_from_the_election_timeout() {
        assert_eq!(LeaseTimes::floor(millis(1_000)).as_millis(), 3_636);
        assert!(LeaseTimes::floor(millis(250)) < millis(1_000));
    }
}
