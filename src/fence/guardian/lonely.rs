//! A guardian whom nobody needs any more leaves by itself: its agent is gone, and so is whoever would have
//! started another one.

use std::time::Duration;

use super::super::BoottimeClock;
use super::Guardian;
use crate::values::Clock;

/// An agent that is started again comes back sooner, and otherwise starts a guardian of its own.
const LONELY_FOR: Duration = Duration::from_secs(10);
/// The end of an agent's process is no event here.
const LOOK_EVERY_MILLIS: i32 = 1000;

impl Guardian {
    /// How long the loop may sleep.
    pub(super) fn patience_millis(&self) -> i32 {
        let may_be_lonely = self.server.is_none() && self.desk.agent.socket.is_none();
        let desk = Some(self.desk.patience_millis()).filter(|millis| *millis >= 0);
        let lonely = may_be_lonely.then_some(LOOK_EVERY_MILLIS);
        [desk, lonely, self.watch_patience_millis()].into_iter().flatten().min().unwrap_or(-1)
    }

    /// Leaves where there has been neither agent nor server for long enough.
    pub(super) fn leave_when_lonely(&mut self) {
        let is_needed = self.server.is_some()
            || self.desk.agent.is_alive()
            || self.desk.candidate.is_some()
            // In a container the first process starts agents itself.
            || self.agent_child.is_some()
            || self.desk.start_agent_at.is_some();
        if is_needed {
            self.lonely_since = None;
            return;
        }
        if !self.nothing_left {
            self.nothing_left = self.kill_all().all_gone;
            return;
        }
        let now = BoottimeClock.now();
        if now.since(*self.lonely_since.get_or_insert(now)) >= LONELY_FOR {
            self.ends = Some(0);
        }
    }
}
