//! One agent's hand on its server. What was begun goes on, whatever becomes of who began it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use pgbaton::cluster::{Look, StartAs, State, StopMode, SyncNames, Upstream};
use pgbaton::config::{CLOSED_NAMES, EffectivePostgresql, PermanentSlot};
use pgbaton::postgres::{CopyProgress, Killed, Promoted, Server, ServerError, Settled};
use pgbaton::values::{Lsn, SystemId, Timeline, WalPosition};
use tokio::time::sleep;

use super::physics::start_takes;
use super::{Content, Process, facts, jobs, kill_everything, synchronous};
use crate::gate::POLLS_MAX;
use crate::invariants::{self, Deed};
use crate::sometimes::Sometimes;
use crate::world::World;

/// The server beside one agent.
pub struct SimServer {
    pub(super) world: Rc<World>,
    pub(super) node: usize,
}

/// A look is as much work as so many polls of a task.
const LOOK_COUNTS_FOR: u64 = 20;
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

pub(super) fn not_possible(what: &str) -> ServerError {
    ServerError::NotPossible(what.to_owned())
}

impl SimServer {
    /// The server of a node.
    pub fn new(world: Rc<World>, node: usize) -> Self {
        Self { world, node }
    }

    pub(super) fn pg(&self) -> std::cell::RefMut<'_, super::Pg> {
        self.world.hosts[self.node].pg.borrow_mut()
    }

    /// Waits until `done`, for at most `within`.
    pub(super) async fn until(
        &self,
        what: &'static str,
        within: Duration,
        mut done: impl FnMut(&mut super::Pg) -> Option<Result<(), ServerError>>,
    ) -> Result<(), ServerError> {
        let end = self.world.now() + within;
        loop {
            let result = done(&mut self.pg());
            if let Some(result) = result {
                return result;
            }
            if self.world.now() >= end {
                return Err(ServerError::TimedOut { what, within });
            }
            sleep(POLL.min(end - self.world.now())).await;
        }
    }

    /// Waits while the disk does not answer.
    pub(super) async fn disk(&self) {
        while self.pg().stalled || self.pg().stopped.is_some() {
            sleep(POLL).await;
        }
    }
}

impl Server for SimServer {
    async fn look(&self, within: Duration) -> Look {
        let polls = &self.world.polls;
        polls.set(polls.get() + LOOK_COUNTS_FOR);
        if polls.get() > POLLS_MAX {
            // An agent that goes round in circles without ever waiting: time has to pass here.
            sleep(within).await;
        }
        let silent = {
            let pg = self.pg();
            pg.stalled && pg.process == Process::Off
                || (pg.hung || pg.is_frozen()) && pg.process != Process::Off
        };
        if silent {
            sleep(within).await;
            let mut look = facts::look(&self.world, self.node);
            look.state = State::Silent;
            return look;
        }
        facts::look(&self.world, self.node)
    }

    async fn exited(&self) {
        let exits = Rc::clone(&self.pg().exits);
        exits.notified().await;
    }

    async fn set_sync_names(
        &self,
        names: Option<&SyncNames>,
        raises_count: bool,
        within: Duration,
    ) -> Result<Lsn, ServerError> {
        synchronous::set_names(self, names, raises_count, within).await
    }

    async fn configure(&self, settings: &EffectivePostgresql) -> Result<bool, ServerError> {
        self.disk().await;
        let names = settings.parameters.get("synchronous_standby_names");
        let managed = names.is_some_and(|names| names == CLOSED_NAMES);
        synchronous::configured(&self.world, self.node, managed);
        Ok(false)
    }

    async fn initialize(&self) -> Result<SystemId, ServerError> {
        jobs::initialize(self).await
    }

    async fn create_accounts(&self) -> Result<(), ServerError> {
        sleep(Duration::from_millis(10)).await;
        match self.pg().process {
            Process::Primary { .. } => Ok(()),
            _ => Err(not_possible("the server is not a primary")),
        }
    }

    async fn remove_data(&self) -> Result<(), ServerError> {
        self.disk().await;
        if self.pg().process != Process::Off {
            return Err(not_possible("a server runs on the directory"));
        }
        invariants::destroys(&self.world, self.node, Deed::Remove);
        self.world.note(self.node, "its data is removed", [0, 0]);
        if self.pg().data().is_some() {
            self.world.sometimes(Sometimes::WholeDataRemoved);
        }
        self.pg().content = Content::Empty;
        Ok(())
    }

    async fn start(&self, start_as: &StartAs, within: Duration) -> Result<(), ServerError> {
        self.disk().await;
        let as_primary = *start_as == StartAs::Primary;
        {
            let mut pg = self.pg();
            if pg.process != Process::Off {
                return Err(not_possible("a server runs already"));
            }
            if pg.orphans.is_some() || pg.lingering {
                return Err(not_possible("pre-existing shared memory block is still in use"));
            }
            if let Content::Partial(what, _) = &pg.content {
                let text = format!("a server is started on a directory left by {what}");
                self.world.broken(invariants::REWINDING, text);
            }
            let slow = pg.slow;
            let Some(data) = pg.data_mut() else { return Err(not_possible("there is no data")) };
            let crashed = data.control == pgbaton::cluster::ControlState::InProduction;
            data.upstream = match start_as {
                StartAs::Primary => None,
                StartAs::Standby(upstream) => upstream.clone(),
            };
            let redo = data.redo;
            pg.replayed = redo;
            pg.sync.starts();
            pg.receiver = super::Receiver::default();
            let ready_at = self.world.now() + start_takes(&self.world, crashed, slow);
            pg.process = Process::Starting { ready_at, as_primary };
            pg.started_at = self.world.now();
        }
        self.world.note(self.node, "starts, as a primary: {}", [u64::from(as_primary), 0]);
        if as_primary {
            invariants::opens(&self.world, self.node);
        }
        self.until("the start", within, |pg| match pg.process {
            Process::Starting { .. } => None,
            Process::Primary { .. } | Process::Standby => Some(Ok(())),
            Process::Off | Process::Stopping { .. } => {
                Some(Err(ServerError::Ended("it was killed".to_owned())))
            }
        })
        .await
    }

    async fn stop(&self, mode: StopMode, within: Duration) -> Result<(), ServerError> {
        if mode == StopMode::Restart {
            self.world.sometimes(Sometimes::RestartedOnRequest);
        }
        jobs::begin_stop(self, mode);
        self.until("the stop", within, |pg| (pg.process == Process::Off).then_some(Ok(()))).await
    }

    async fn kill(&self) -> Killed {
        let processes =
            usize::from(self.pg().process != Process::Off || self.pg().orphans.is_some());
        kill_everything(&self.world, self.node);
        sleep(self.world.rng.millis(1, 15)).await;
        Killed { processes: processes * 12, all_gone: !self.pg().lingering }
    }

    async fn follow(&self, upstream: Option<&Upstream>) -> Result<(), ServerError> {
        self.disk().await;
        let mut pg = self.pg();
        if pg.process != Process::Standby {
            return Err(not_possible("the server is not a running standby"));
        }
        pg.drop_receiver();
        pg.receiver.retry_at = self.world.now() + self.world.rng.millis(5, 15);
        if let Some(data) = pg.data_mut() {
            data.upstream = upstream.cloned();
        }
        Ok(())
    }

    async fn settle(&self, within: Duration) -> Result<Settled, ServerError> {
        self.disk().await;
        sleep(self.world.rng.millis(2, 6)).await;
        {
            let mut pg = self.pg();
            if pg.process != Process::Standby {
                return Err(not_possible("the server is not a running standby"));
            }
            pg.drop_receiver();
            if let Some(data) = pg.data_mut() {
                data.upstream = None;
            }
        }
        self.until("the end of replay", within, |pg| match (pg.process, pg.data()) {
            (Process::Standby, Some(data)) if pg.replayed >= data.at.lsn => Some(Ok(())),
            (Process::Standby, Some(_)) => None,
            _ => Some(Err(ServerError::Ended("it was killed".to_owned()))),
        })
        .await?;
        let at = self.pg().data().map(|data| data.at);
        let Some(at) = at else { return Err(not_possible("there is no data")) };
        let wal = self.world.wal.borrow();
        Ok(Settled { position: wal.position(at), ancestors: wal.branch(at).ancestors.clone() })
    }

    async fn burn_timelines(&self, _: Timeline, burnt: &[Timeline]) -> Result<(), ServerError> {
        self.disk().await;
        if let Some(data) = self.pg().data_mut() {
            data.histories.extend(burnt.iter().map(|timeline| timeline.0));
        }
        Ok(())
    }

    async fn promote(&self, within: Duration) -> Result<Promoted, ServerError> {
        let before = {
            let mut pg = self.pg();
            if pg.process != Process::Standby {
                return Err(not_possible("the server is not in recovery"));
            }
            pg.drop_receiver();
            let slow = pg.slow;
            let takes = self.world.rng.millis(20, 80) + slow;
            pg.promoted_at = Some(self.world.now() + takes);
            pg.data().map(|data| data.at)
        };
        self.world.note(self.node, "is asked to promote", [0, 0]);
        invariants::opens(&self.world, self.node);
        self.until("the promotion", within, |pg| match pg.process {
            Process::Standby => None,
            Process::Primary { .. } => Some(Ok(())),
            Process::Off | Process::Starting { .. } | Process::Stopping { .. } => {
                Some(Err(ServerError::Ended("it was killed".to_owned())))
            }
        })
        .await?;
        let at = self.pg().data().map(|data| data.at);
        let (Some(at), Some(before)) = (at, before) else {
            return Err(not_possible("there is no data"));
        };
        Ok(Promoted {
            timeline: self.world.wal.borrow().branch(at).timeline,
            switched_at: before.lsn,
        })
    }

    async fn checkpoint(&self, within: Duration) -> Result<(), ServerError> {
        sleep(self.world.rng.millis(10, 200)).await;
        self.until("the checkpoint", within, |pg| {
            (!pg.stalled && !pg.hung && pg.stopped.is_none()).then_some(Ok(()))
        })
        .await?;
        let mut pg = self.pg();
        if !matches!(pg.process, Process::Primary { .. }) {
            return Err(ServerError::Ended("the connection was closed".to_owned()));
        }
        let Some(data) = pg.data_mut() else { return Err(not_possible("there is no data")) };
        data.checkpoint_timeline = self.world.wal.borrow().branch(data.at).timeline;
        data.redo = data.at.lsn;
        Ok(())
    }

    async fn arrange_slots(
        &self,
        wanted: &[String],
        unwanted: &[String],
    ) -> Result<(), ServerError> {
        self.disk().await;
        if matches!(self.pg().process, Process::Primary { .. }) {
            invariants::drops_slots(&self.world, self.node, unwanted);
        }
        let mut pg = self.pg();
        let Some(data) = pg.data_mut() else { return Err(not_possible("there is no data")) };
        data.slots.extend(wanted.iter().cloned());
        data.slots.retain(|slot| !unwanted.contains(slot));
        Ok(())
    }

    async fn make_logical_slot(&self, _: &str, _: &str, _: &str) -> Result<(), ServerError> {
        Err(not_possible("wal_level is not logical"))
    }

    async fn advance_slots(&self, _: &[(String, Lsn)]) -> Result<(), ServerError> {
        self.disk().await;
        Ok(())
    }

    async fn fetch_logical_slots(
        &self,
        _: &Upstream,
        _: &[PermanentSlot],
    ) -> Result<Vec<String>, ServerError> {
        Err(no_logical_slots())
    }

    async fn drop_logical_slots(&self, _: &[String]) -> Result<(), ServerError> {
        Err(no_logical_slots())
    }

    async fn kept_for_slots(
        &self,
        _: &Upstream,
        _: &[String],
    ) -> Result<BTreeMap<String, u32>, ServerError> {
        Err(no_logical_slots())
    }

    async fn advance_logical_slots(&self, _: &[(String, String, Lsn)]) -> Result<(), ServerError> {
        Err(no_logical_slots())
    }

    async fn leave_timelines(&self, _: &[Timeline]) -> Result<(), ServerError> {
        Ok(())
    }

    async fn archive_left(&self, _: Lsn, _: &[Timeline]) -> Result<(), ServerError> {
        self.disk().await;
        Ok(())
    }

    async fn recover_alone(&self) -> Result<(), ServerError> {
        jobs::recover_alone(self).await
    }

    async fn check_source(&self, _: &Upstream) -> Result<(), ServerError> {
        Ok(())
    }

    async fn rewind(&self, source: &Upstream) -> Result<(), ServerError> {
        jobs::rewind(self, source).await
    }

    async fn check_aside(&self, _: u32) -> Result<(), ServerError> {
        self.disk().await;
        Ok(())
    }

    async fn set_aside(&self, _: &str, _: u32) -> Result<String, ServerError> {
        jobs::set_aside(self).await
    }

    async fn has_log(&self, upstream: &Upstream, from: WalPosition) -> Result<bool, ServerError> {
        sleep(self.world.rng.millis(1, 20)).await;
        jobs::has_log(self, upstream, from)
    }

    async fn copy_from(
        &self,
        source: &Upstream,
        progress: impl Fn(CopyProgress),
    ) -> Result<(), ServerError> {
        progress(CopyProgress::default());
        jobs::copy(self, source).await
    }
}

fn no_logical_slots() -> ServerError {
    ServerError::NotPossible("a server of this world keeps its logical slots by itself".to_owned())
}
