//! A watch: late, cut, compacted under, or silent for ever.

use std::rc::Rc;

use pgbaton::dcs::{Change, Changes, StoreError};
use pgbaton::values::Revision;
use tokio::time::sleep;

use crate::sometimes::Sometimes;
use crate::world::World;

/// A running watch.
pub struct SimChanges {
    world: Rc<World>,
    node: usize,
    after: Revision,
    number: u64,
}

impl SimChanges {
    /// A watch for what happens after a revision.
    pub fn open(world: Rc<World>, node: usize, after: Revision) -> Self {
        let number = {
            let mut net = world.net.borrow_mut();
            net.store[node].watches += 1;
            net.store[node].watches
        };
        Self { world, node, after, number }
    }

    /// What can be shown now; an empty list when nothing can.
    fn look(&mut self) -> Result<Vec<Change>, StoreError> {
        let net = self.world.net.borrow();
        let road = &net.store[self.node];
        if self.number <= road.cut_watches {
            return Err(StoreError::Failed("the stream was closed".to_owned()));
        }
        let silent = self.number <= road.hung_watches || road.back.cut || road.stale_leader;
        let etcd = self.world.etcd.borrow();
        if silent || !etcd.up {
            return Ok(Vec::new());
        }
        let until = self.world.now().saturating_sub(road.watch_delay);
        let changes = etcd.changes(self.after, until).inspect_err(|_| {
            self.world.sometimes(Sometimes::WatchCompacted);
        })?;
        if let Some(last) = changes.last() {
            self.after = last.revision;
        }
        Ok(changes)
    }
}

impl Changes for SimChanges {
    async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        let changed = Rc::clone(&self.world.etcd.borrow().changed);
        loop {
            let notified = changed.notified();
            let changes = self.look()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            let delay = self.world.net.borrow().store[self.node].watch_delay;
            let due = self.world.etcd.borrow().next_change(self.after);
            let wait = due.map(|due| (due + delay).saturating_sub(self.world.now()));
            match wait {
                Some(wait) if !wait.is_zero() => tokio::select! {
                    biased;
                    () = notified => {}
                    () = sleep(wait) => {}
                },
                Some(_) | None => notified.await,
            }
        }
    }
}
