//! When requests are due: at a constant rate, whatever became of those before. That is what makes latency
//! tell of an outage: a request that was due while nobody answered has waited since then.

use std::time::Duration;

/// Requests at a constant rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    per_second: f64,
}

impl Schedule {
    /// So many a second; none with 0.
    pub fn of_rate(per_second: f64) -> Self {
        Self { per_second }
    }

    /// Whether there is any request at all.
    pub fn is_empty(self) -> bool {
        self.per_second <= 0.0
    }

    /// When a request is due, counted from the start; the first at once.
    pub fn due(self, number: u64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 requests take longer than anybody runs"
        )]
        let number = number as f64;
        Duration::from_secs_f64(number / self.per_second)
    }

    /// How many are due before `elapsed` is over.
    pub fn due_within(self, elapsed: Duration) -> u64 {
        if self.is_empty() {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        let mut count = (elapsed.as_secs_f64() * self.per_second) as u64;
        // The division rounds: what counts is `due`.
        while self.due(count) < elapsed {
            count += 1;
        }
        while count > 0 && self.due(count - 1) >= elapsed {
            count -= 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_equal_distances() {
        let schedule = Schedule::of_rate(200.0);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(1), Duration::from_millis(5));
        assert_eq!(schedule.due(720_000), Duration::from_secs(3600));
    }

    #[test]
    fn as_many_are_due_as_have_their_time_before_the_end() {
        for (rate, seconds, expected) in [(200.0, 10, 2000), (0.5, 5, 3), (3.0, 1, 3), (0.0, 9, 0)]
        {
            let count = Schedule::of_rate(rate).due_within(Duration::from_secs(seconds));
            assert_eq!(count, expected, "{rate} a second for {seconds} s");
        }
        assert_eq!(Schedule::of_rate(10.0).due_within(Duration::ZERO), 0);
    }
}
