//! The probes of a simulated server: who is stopped or stalled does not answer.

use std::rc::Rc;
use std::time::Duration;

use pgbaton::cluster::Trouble;
use pgbaton::postgres::{Glimpse, Probed, Probes, Told};
use pgbaton::values::Lsn;
use tokio::time::sleep;

use super::{Content, Pg, Process, Stopped};
use crate::world::World;

/// The probes beside one agent.
pub struct SimProbes {
    world: Rc<World>,
    node: usize,
}

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

impl SimProbes {
    /// The probes of a node.
    pub fn new(world: Rc<World>, node: usize) -> Self {
        Self { world, node }
    }

    fn pg(&self) -> std::cell::Ref<'_, Pg> {
        self.world.hosts[self.node].pg.borrow()
    }

    async fn while_it_is(&self, silent: impl Fn(&Pg) -> bool) {
        sleep(Duration::from_millis(1)).await;
        while silent(&self.pg()) {
            sleep(POLL).await;
        }
    }
}

impl Probes for SimProbes {
    async fn commit(&self) -> Probed<Lsn> {
        let serves = |pg: &Pg| matches!(pg.process, Process::Primary { .. });
        // A doomed process keeps its connections until the kernel lets it go.
        self.while_it_is(|pg| pg.lingering || serves(pg) && (pg.stalled || pg.is_frozen())).await;
        let pg = self.pg();
        match pg.data().filter(|_| serves(&pg)) {
            Some(data) => Probed::Good(data.at.lsn),
            None => Probed::Absent,
        }
    }

    async fn connect(&self) -> Probed<Told> {
        self.while_it_is(|pg| pg.process != Process::Off && pg.stopped.is_some()).await;
        let pg = self.pg();
        let serves = matches!(pg.process, Process::Primary { .. });
        match pg.process {
            Process::Off => Probed::Absent,
            _ => Probed::Good(Told {
                flushed: pg.data().filter(|_| serves).map(|data| data.at.lsn),
                sync_waiting: if pg.awaits_standby && serves { 3 } else { 0 },
            }),
        }
    }

    async fn sync_disk(&self) -> Probed<u64> {
        self.while_it_is(|pg| pg.stalled).await;
        let pg = self.pg();
        match pg.content {
            Content::Empty => Probed::Absent,
            _ if pg.full => Probed::Trouble(Trouble::NoSpace),
            Content::Whole(_) | Content::Partial(..) => Probed::Good(1 << 30),
        }
    }

    fn glimpse(&self) -> Glimpse {
        let pg = self.pg();
        let runs = pg.process != Process::Off;
        let halted = runs && pg.stopped.is_some();
        let now = self.world.now().as_millis() as u64 + 1;
        let serves = matches!(pg.process, Process::Primary { .. });
        Glimpse {
            postmaster_switches: runs.then_some(if halted { 0 } else { now }),
            postmaster_is_halted: halted,
            has_session: serves,
            sessions_are_stopped: serves && pg.stopped == Some(Stopped::All),
            space_complaints: pg.complaints,
        }
    }
}
