//! A local copy of the store, kept fresh by a watch, with a linearizable read behind it: a watch may
//! hang or skip, a read says when it was true.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::dcs::{Change, Changes, Decoder, RawSnapshot, Store, StoreError, keys};
use crate::decide::Sight;
use crate::publish::Metrics;
use crate::values::{Clock, LeaseTimes, Monotonic, Revision};

/// What a look at the store brought.
enum News {
    /// Nothing new.
    Nothing,
    /// These keys are not as they were.
    Keys(Vec<String>),
    /// Any key may differ.
    Anything,
}

/// The task that keeps the copy.
pub struct Mirror<S, C> {
    store: S,
    clock: C,
    times: watch::Receiver<LeaseTimes>,
    shown: watch::Sender<Option<Arc<Sight>>>,
    metrics: Metrics,
    raw: RawSnapshot,
    decoder: Decoder,
    baton_learned_at: Monotonic,
    read_at: Option<Monotonic>,
    read_under: LeaseTimes,
    in_gap: bool,
    told: Vec<String>,
}

impl<S: Store, C: Clock> Mirror<S, C> {
    /// A copy of nothing yet.
    pub fn new(
        store: S,
        clock: C,
        times: watch::Receiver<LeaseTimes>,
        shown: watch::Sender<Option<Arc<Sight>>>,
        metrics: Metrics,
    ) -> Self {
        let read_under = *times.borrow();
        Self {
            store,
            clock,
            times,
            shown,
            metrics,
            raw: RawSnapshot::default(),
            decoder: Decoder::default(),
            baton_learned_at: Monotonic::ZERO,
            read_at: None,
            read_under,
            in_gap: true,
            told: Vec::new(),
        }
    }

    /// Reads and watches for ever.
    pub async fn run(mut self) {
        loop {
            if self.read().await
                && let Err(error) = self.watch().await
            {
                debug!(error = &error as &dyn std::error::Error, "the watch ended");
                // A watch that is refused at once must not turn this into a busy loop.
                tokio::time::sleep(self.times().one_try / 20).await;
            }
        }
    }

    fn times(&self) -> LeaseTimes {
        *self.times.borrow()
    }

    /// One linearizable read of everything. A failed one takes its time, so that this never spins.
    async fn read(&mut self) -> bool {
        let within = self.times().one_try;
        let (sent_at, known) = (self.clock.now(), self.raw.revision);
        let result = self.store.read_all(within).await;
        let took = self.clock.now().since(sent_at);
        self.metrics.store("read", took, result.is_ok());
        match result {
            Ok(raw) => {
                if self.in_gap && self.read_at.is_some() {
                    info!("the store answers again");
                }
                let went_back = raw.revision < known;
                if went_back {
                    let (to, from) = (raw.revision, known);
                    warn!(%from, %to, "the store went back: it was emptied or put back");
                    self.raw = RawSnapshot::default();
                    self.in_gap = true;
                }
                self.take_in(raw, sent_at);
                // A watch from before would wait for revisions that are far away.
                !went_back
            }
            Err(error) => {
                if !self.in_gap || self.read_at.is_none() && self.told.is_empty() {
                    warn!(error = &error as &dyn std::error::Error, "the store does not answer");
                    self.told.push("the store does not answer".to_owned());
                }
                self.in_gap = true;
                tokio::time::sleep((within / 5).saturating_sub(took)).await;
                false
            }
        }
    }

    async fn watch(&mut self) -> Result<(), StoreError> {
        let within = self.times().one_try;
        let mut changes = self.store.watch(self.raw.revision, within).await?;
        loop {
            let poll_in = self.times().renewal_period.saturating_sub(self.since_read());
            tokio::select! {
                biased;
                batch = changes.next() => self.apply(batch?),
                () = tokio::time::sleep(poll_in) => {
                    if !self.read().await {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn since_read(&self) -> Duration {
        self.read_at.map_or(Duration::MAX, |read_at| self.clock.now().since(read_at))
    }

    fn take_in(&mut self, raw: RawSnapshot, sent_at: Monotonic) {
        // A process that was stopped, or a store that was silent, leaves a gap: the holder gets a
        // whole ttl from the first read after it.
        let times = self.times();
        let longest = self.read_under.renewal_period * 2 + self.read_under.one_try;
        let gap = self.in_gap || self.read_at.is_none_or(|before| sent_at.since(before) > longest);
        let newer = raw.revision >= self.raw.revision;
        self.in_gap = false;
        self.read_at = Some(sent_at);
        self.read_under = times;
        let changed = newer && raw.keys != self.raw.keys;
        if gap || baton_revision(&raw) != baton_revision(&self.raw) && newer {
            self.baton_learned_at = self.clock.now();
        }
        if newer {
            self.raw = raw;
        }
        self.show(if changed || gap { News::Anything } else { News::Nothing });
    }

    fn apply(&mut self, batch: Vec<Change>) {
        let mut changed = Vec::new();
        for change in batch {
            if change.revision < self.raw.revision
                || change.revision == self.raw.revision && self.knows(&change)
            {
                continue;
            }
            self.raw.revision = change.revision;
            if change.key == keys::BATON {
                self.baton_learned_at = self.clock.now();
            }
            match change.value {
                Some(value) => self.raw.keys.insert(change.key.clone(), value),
                None => self.raw.keys.remove(&change.key),
            };
            changed.push(change.key);
        }
        if !changed.is_empty() {
            self.show(News::Keys(changed));
        }
    }

    fn knows(&self, change: &Change) -> bool {
        match (&change.value, self.raw.keys.get(&change.key)) {
            (Some(new), Some(known)) => new.mod_revision <= known.mod_revision,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn show(&mut self, news: News) {
        let Some(read_at) = self.read_at else { return };
        let before = self.shown.borrow().clone();
        let wakes = !matches!(news, News::Nothing);
        let cluster = match (before, news) {
            (Some(before), News::Nothing) => Arc::clone(&before.cluster),
            (Some(_), News::Keys(keys)) => {
                self.decoder.take_in_some(keys, &self.raw).clone().into()
            }
            (_, News::Nothing | News::Keys(_) | News::Anything) => {
                self.decoder.take_in(&self.raw).clone().into()
            }
        };
        self.tell();
        let sight = Sight {
            cluster,
            baton_learned_at: self.baton_learned_at,
            read_at,
            read_under: self.read_under,
        };
        // A read that found nothing new is no wake; it only refreshes what is shown.
        self.shown.send_if_modified(|shown| {
            *shown = Some(Arc::new(sight));
            wakes
        });
    }

    /// Says once what cannot be read in the store.
    fn tell(&mut self) {
        let warnings: Vec<String> = self.decoder.warnings().map(str::to_owned).collect();
        for warning in &warnings {
            if !self.told.contains(warning) {
                warn!(warning, "a key in the store cannot be used");
            }
        }
        self.told = warnings;
    }
}

fn baton_revision(raw: &RawSnapshot) -> Option<Revision> {
    raw.keys.get(keys::BATON).map(|value| value.mod_revision)
}
