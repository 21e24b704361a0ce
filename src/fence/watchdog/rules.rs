//! When a sign of life is shown, and when the device is disarmed.

use std::time::Duration;

use crate::values::{LeaseDeadline, Monotonic};

/// So long after the deadline the device may restart the machine at the latest: what a deadline was
/// brought forward by, so that nobody can have taken over before.
const AFTER_THE_DEADLINE: Duration = Duration::from_millis(150);
/// A device that was armed for a server that is then not opened is disarmed again.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// A sign of life.
    KeepAlive,
    /// Its end.
    Disarm,
}

/// What is known of the signs so far.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    timeout: Duration,
    armed_at: Monotonic,
    shown_at: Monotonic,
    deadline: Option<LeaseDeadline>,
    /// Whether there was a deadline since the device was armed.
    was_held: bool,
    /// Whether the last deadline had passed when it was taken away: by the guardian's kill, not by an agent.
    has_fired: bool,
}

impl Rules {
    /// For a device that was armed now.
    pub fn new(timeout: Duration, now: Monotonic) -> Self {
        let (armed_at, shown_at) = (now, now);
        Self { timeout, armed_at, shown_at, deadline: None, was_held: false, has_fired: false }
    }

    /// What is due, under this deadline, with or without a process of the server's being left.
    pub fn due(
        &mut self,
        now: Monotonic,
        deadline: Option<LeaseDeadline>,
        nothing_left: bool,
    ) -> Due {
        let is_moved = deadline > self.deadline;
        if deadline != self.deadline {
            let passed = |last: LeaseDeadline| last.has_passed(now);
            self.has_fired = deadline.is_none() && self.deadline.is_some_and(passed);
        }
        self.deadline = deadline;
        self.was_held |= deadline.is_some();
        let is_time = now.since(self.shown_at) >= self.timeout / 4;
        let shows = match deadline {
            Some(deadline) if deadline.has_passed(now) => {
                return if nothing_left { Due::Disarm } else { Due::Nothing };
            }
            // The last sign is such that the device acts when the guardian should have. A lease that
            // was just renewed is one by itself.
            Some(deadline) => {
                let acts_at = now + self.timeout;
                is_moved || is_time && acts_at <= deadline.moment() + AFTER_THE_DEADLINE
            }
            None if self.was_held && nothing_left => return Due::Disarm,
            // What the kill left is stuck in the kernel, and nobody has said that it may stay there.
            None if self.has_fired => false,
            // The agent has seen to it that nothing of the server comes back to user mode.
            None if self.was_held => is_time,
            None if now.since(self.armed_at) >= OPENED_WITHIN => return Due::Disarm,
            None => is_time,
        };
        if shows {
            self.shown_at = now;
        }
        if shows { Due::KeepAlive } else { Due::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_boot(Duration::from_millis(100_000 + millis))
    }

    fn until(millis: u64) -> Option<LeaseDeadline> {
        Some(LeaseDeadline::at(at(millis)))
    }

    /// When signs of life are shown in each tenth of a second up to `to`.
    fn shown(
        rules: &mut Rules,
        from: u64,
        to: u64,
        deadline: impl Fn(u64) -> Option<LeaseDeadline>,
    ) -> Vec<u64> {
        let moments = (from..to).step_by(100);
        moments.filter(|now| rules.due(at(*now), deadline(*now), false) == Due::KeepAlive).collect()
    }

    #[test]
    fn a_lease_that_is_renewed_keeps_it_quiet_and_one_that_is_not_does_not() {
        let timeout = Duration::from_secs(3);
        let mut rules = Rules::new(timeout, at(0));
        // ttl 5, renewed each second.
        let signs = shown(&mut rules, 0, 10_000, |now| until(now / 1000 * 1000 + 4845));
        assert!(signs.windows(2).all(|pair| pair[1] - pair[0] <= 1000), "{signs:?}");
        // From here on nobody renews: the last sign lets the device act when the guardian should have.
        let signs = shown(&mut rules, 10_000, 20_000, |_| until(9000 + 4845));
        let last = *signs.last().unwrap();
        assert!(last + 3000 <= 9000 + 4845 + 150, "it would act at {}", last + 3000);
        assert!(last + 3000 > 9000 + 4845 - 900, "it would act at {}", last + 3000);
    }

    #[test]
    fn after_the_deadline_no_sign_is_shown_and_only_the_end_of_all_processes_disarms_it() {
        let mut rules = Rules::new(Duration::from_secs(2), at(0));
        assert_eq!(rules.due(at(10), until(1000), false), Due::KeepAlive);
        for now in (1000..60_000).step_by(100) {
            assert_eq!(rules.due(at(now), until(1000), false), Due::Nothing);
        }
        assert_eq!(rules.due(at(60_000), until(1000), true), Due::Disarm);
    }

    #[test]
    fn a_server_that_crashed_under_its_lease_does_not_disarm_it() {
        let mut rules = Rules::new(Duration::from_secs(2), at(0));
        assert_eq!(rules.due(at(10), until(5000), false), Due::KeepAlive);
        assert_eq!(rules.due(at(600), until(5000), true), Due::KeepAlive, "it is started again");
    }

    #[test]
    fn a_stop_disarms_it_when_nothing_is_left() {
        let mut rules = Rules::new(Duration::from_secs(2), at(0));
        assert_eq!(rules.due(at(10), until(5000), false), Due::KeepAlive);
        assert_eq!(rules.due(at(600), None, false), Due::KeepAlive, "one is stuck in the kernel");
        assert_eq!(rules.due(at(700), None, true), Due::Disarm);
    }

    #[test]
    fn what_the_kill_at_the_deadline_left_gets_no_sign_until_there_is_a_lease_again() {
        let mut rules = Rules::new(Duration::from_secs(2), at(0));
        assert_eq!(rules.due(at(10), until(1000), false), Due::KeepAlive);
        // The guardian takes the deadline away that it has enforced, before it knows what is left.
        for now in (1010..60_000).step_by(100) {
            assert_eq!(rules.due(at(now), None, false), Due::Nothing, "{now}");
        }
        assert_eq!(rules.due(at(60_000), until(65_000), false), Due::KeepAlive, "led again");
        assert_eq!(rules.due(at(61_000), None, false), Due::KeepAlive, "stopped in time");
        assert_eq!(rules.due(at(66_000), None, true), Due::Disarm);
    }

    #[test]
    fn one_that_was_armed_for_nothing_is_disarmed() {
        let mut rules = Rules::new(Duration::from_secs(20), at(0));
        assert_eq!(rules.due(at(9900), None, true), Due::KeepAlive);
        assert_eq!(rules.due(at(10_000), None, true), Due::Disarm);
    }
}
