//! The deadline: the timers that follow it, the soft stop before it, the kill at it.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::time::Duration;

use super::super::page::Enforced;
use super::super::{BoottimeClock, sys};
use super::Guardian;
use super::launch::Kind;
use super::sweep::Swept;
use crate::values::{Clock, LeaseDeadline, Monotonic};

/// So long after the deadline the kernel ends a guardian that did not act. The time to fence and the time
/// to be scheduled, which every deadline has been brought forward by, pay for it.
const LAST_RESORT_AFTER: Duration = Duration::from_millis(20);
/// The same where the guardian itself has to find what it kills.
const LAST_RESORT_AFTER_A_SWEEP: Duration = Duration::from_millis(120);
/// How long a kill is waited for before it is written down as it then is.
const GONE_WITHIN_MILLIS: i32 = 60;

impl Guardian {
    /// Sets the timers for the deadline in force.
    pub(super) fn settle_timers(&self) {
        let armed = self.page.armed();
        let next = armed.map(|deadline| match self.may_stop_softly() {
            true => deadline.moment() - self.page.soft_stop(),
            false => deadline.moment(),
        });
        sys::set_timer(self.timer.as_fd(), next);
        if let Some(last_resort) = &self.last_resort {
            let after = match self.chosen.kind {
                Kind::Namespace { .. } => LAST_RESORT_AFTER,
                Kind::Below { .. } => LAST_RESORT_AFTER_A_SWEEP,
            };
            last_resort.set(armed.map(|deadline| deadline.moment() + after));
        }
        self.page.take_in(armed);
    }

    fn may_stop_softly(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.stops)
    }

    /// Does what is due.
    pub(super) fn enforce(&mut self) {
        let now = BoottimeClock.now();
        match self.page.armed() {
            None => self.soft_at = None,
            Some(deadline) if deadline.has_passed(now) => self.kill_at(deadline, now),
            Some(deadline) => {
                let soft = deadline.moment() - self.page.soft_stop();
                if soft <= now && self.may_stop_softly() {
                    self.stop_softly(now);
                }
            }
        }
        self.settle_timers();
    }

    /// A fast shutdown, so that what was acknowledged reaches the standbys. Not undone: a server that
    /// shuts down cannot be told to stay.
    fn stop_softly(&mut self, now: Monotonic) {
        let Some(server) = &mut self.server else { return };
        server.stops = true;
        self.soft_at = Some(now);
        let _ = sys::signal(server.handle.as_fd(), libc::SIGINT);
    }

    fn kill_at(&mut self, deadline: LeaseDeadline, began_at: Monotonic) {
        let was_there = self.server.is_some() || self.soft_at.is_some();
        let swept = self.kill_all();
        let soft_at = self.soft_at.take();
        if was_there {
            let fenced_at = BoottimeClock.now();
            let (processes, all_gone) = (swept.processes as u64, swept.all_gone);
            self.page.fired(&Enforced {
                deadline,
                soft_at,
                began_at,
                fenced_at,
                processes,
                all_gone,
            });
        }
        if swept.fenced {
            self.page.disarm_if(deadline);
        }
    }

    /// Makes sure that no process of the server comes back to user mode.
    pub(super) fn kill_all(&mut self) -> Swept {
        match (&self.chosen.cgroup, self.chosen.kind) {
            (Some(_), _) => self.kill_cgroup(),
            (None, Kind::Namespace { .. }) => self.kill_namespace(),
            (None, Kind::Below { .. }) => {
                self.sweep.kill_below(std::process::id() as i32, self.agent_child)
            }
        }
    }

    fn kill_namespace(&mut self) -> Swept {
        let Some(server) = &self.server else {
            return Swept { processes: 0, fenced: true, all_gone: true };
        };
        let processes = processes_in(server.handle.as_fd());
        let _ = sys::signal(server.child_handle.as_fd(), libc::SIGKILL);
        // The first process' end is complete when that of all others is. Until then the kernel has a
        // kill pending on each of them: it has been sent to them before anything else happens there.
        let all_gone = sys::is_ready(server.child_handle.as_fd(), GONE_WITHIN_MILLIS);
        Swept { processes, fenced: true, all_gone }
    }

    fn kill_cgroup(&mut self) -> Swept {
        let Some(cgroup) = &self.chosen.cgroup else {
            return Swept { processes: 0, fenced: true, all_gone: true };
        };
        cgroup.kill();
        let mut all_gone = cgroup.is_empty();
        for _ in 0..GONE_WITHIN_MILLIS {
            if all_gone {
                break;
            }
            let _ = sys::poll(&mut [], 1);
            all_gone = cgroup.is_empty();
        }
        if all_gone {
            cgroup.thaw();
        }
        Swept { processes: usize::from(self.server.is_some()), fenced: true, all_gone }
    }
}

/// How many processes a postmaster has, itself included; for the record only.
fn processes_in(postmaster: std::os::fd::BorrowedFd<'_>) -> usize {
    let Some(pid) = sys::pid_behind(postmaster) else { return 1 };
    let mut told = String::new();
    let path = format!("/proc/{pid}/task/{pid}/children");
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut told));
    1 + read.map_or(0, |_| told.split_ascii_whitespace().count())
}
