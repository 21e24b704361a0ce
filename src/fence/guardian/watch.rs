//! The guardian's part in the watchdog: has it armed when it is told to, and knows whether anything of the
//! server is left.

use super::super::watchdog::{Tended, Tender};
use super::super::wire::Reply;
use super::Guardian;
use super::launch::Kind;
use crate::values::Watchdog;

impl Guardian {
    /// Arms the device, or arms it otherwise, or says why not.
    pub(super) fn watch(&mut self, watchdog: Option<Watchdog>) {
        let failed = match watchdog {
            None => {
                // It is disarmed by the rules: when nothing of the server is left.
                String::new()
            }
            Some(watchdog) => self.arm_watchdog(&watchdog).err().unwrap_or_default(),
        };
        self.desk.agent.tell(&Reply::Watching(failed), &[]);
    }

    fn arm_watchdog(&mut self, watchdog: &Watchdog) -> Result<(), String> {
        if let Some(tender) = self.tender.take() {
            let is_same = tender.watchdog() == watchdog;
            if is_same && tender.state() == Tended::Armed {
                tender.tell(false);
                self.tender = Some(tender);
                return Ok(());
            }
            // With another timeout: the device is opened by one at a time.
            tender.tell(true);
            tender.end();
        }
        let tender = Tender::arm(watchdog, &self.page)?;
        tender.tell(self.server.is_none() && self.page.armed().is_none());
        self.tender = Some(tender);
        Ok(())
    }

    /// Tells the thread what is left of the server.
    pub(super) fn see_to_the_watchdog(&mut self) {
        let Some(tender) = &self.tender else { return };
        if tender.state() == Tended::Disarmed {
            self.tender = None;
            return;
        }
        tender.tell(self.server.is_none() && self.nothing_left);
        if self.server.is_none() && !self.nothing_left {
            // Something is stuck in the kernel: looked after until it is gone.
            self.nothing_left = self.kill_all().all_gone;
        }
    }

    /// How long the loop may sleep while something of a server that has ended is left.
    pub(super) fn watch_patience_millis(&self) -> Option<i32> {
        let is_waiting = self.server.is_none() && !self.nothing_left;
        (self.tender.is_some() && is_waiting).then_some(50)
    }

    /// After the postmaster's end, by this status, with all that it left behind.
    pub(super) fn clear_up_after(&mut self, status: i32) {
        let in_namespace = matches!(self.chosen.kind, Kind::Namespace { .. });
        self.nothing_left = match status {
            0 => true,
            // Its backends outlive a postmaster that was killed, and some of them go on committing.
            // A namespace ends with its first process.
            _ => in_namespace || self.kill_all().all_gone,
        };
    }
}
