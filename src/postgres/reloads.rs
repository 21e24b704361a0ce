//! Writing the configuration files under a running server, and telling it. A write that was given up or that failed
//! half way may have been done all the same, and so may the last one of an agent that died before it told: the
//! files are then as they should be, and the server has not read them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::configuration::{self, Source};
use super::files::{self, blocking};
use super::port::ServerError;
use super::process::Postmaster;
use super::server::LocalServer;
use super::synchronous::SETTING;
use crate::config::EffectivePostgresql;

/// Which writes of the files a running server was told of.
#[derive(Debug)]
pub(super) struct Reloads(Mutex<Count>);

#[derive(Debug)]
struct Count {
    begun: u64,
    told: u64,
    /// Those that may still change the files, also after whoever began them has given them up.
    under_way: BTreeSet<u64>,
}

impl Count {
    /// The last write before which none is under way.
    fn written(&self) -> u64 {
        self.under_way.first().map_or(self.begun, |first| first - 1)
    }
}

impl Default for Reloads {
    /// As if an earlier agent had begun to write.
    fn default() -> Self {
        Self(Mutex::new(Count { begun: 1, told: 0, under_way: BTreeSet::new() }))
    }
}

impl Reloads {
    /// A write begins; which one it is, and whether one before it was never told of.
    fn begin(&self) -> (u64, bool) {
        let mut count = self.lock();
        let is_due = count.begun > count.told;
        count.begun += 1;
        let write = count.begun;
        count.under_way.insert(write);
        (write, is_due)
    }

    /// This write changes the files no more.
    fn ended(&self, write: u64) {
        self.lock().under_way.remove(&write);
    }

    /// This write has changed nothing, and all before it were told of.
    fn changed_nothing(&self, write: u64) {
        let mut count = self.lock();
        if count.begun == write && count.written() == write {
            count.told = write;
        }
    }

    /// The server reads the files as this write left them, or reads them for the first time.
    fn told(&self, write: u64) {
        let mut count = self.lock();
        count.told = count.told.max(write);
    }

    fn written(&self) -> u64 {
        self.lock().written()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl LocalServer {
    /// The settings as they go into the files.
    fn settings_to_write(&self) -> Arc<EffectivePostgresql> {
        let settings = self.settings();
        let Some(names) = self.told_sync_names() else { return settings };
        let mut settings = EffectivePostgresql::clone(&settings);
        settings.parameters.insert(SETTING.to_owned(), names);
        Arc::new(settings)
    }

    /// Writes the files for the source, or for the one that counts now; returns whether they changed, and whether a
    /// running server has to be told: of this change, or of one before.
    pub(super) async fn write_configuration(
        &self,
        source: Option<Source>,
    ) -> Result<(bool, bool), ServerError> {
        let (write, was_due) = self.reloads.begin();
        let (place, settings) = (self.place.clone(), self.settings_to_write());
        let source = source.or_else(|| self.source());
        let reloads = Arc::clone(&self.reloads);
        let written = blocking(move || {
            let write_them = || {
                let source = match source {
                    Some(source) => source,
                    // A server that was found running goes on as it was told.
                    None => {
                        let conf = files::read(&place.conf())?.unwrap_or_default();
                        configuration::source_in(&conf)
                    }
                };
                let changed = place.configure(&settings, &source)?;
                Ok((source, changed))
            };
            let written = write_them();
            reloads.ended(write);
            written
        });
        let (source, changed) = written.await?;
        self.set_source(source);
        if !changed && !was_due {
            self.reloads.changed_nothing(write);
        }
        Ok((changed, changed || was_due))
    }

    /// Writes the files, and has the running server read them where that is due; returns whether they changed.
    pub(super) async fn write_and_tell(
        &self,
        source: Option<Source>,
        running: &Postmaster,
    ) -> Result<bool, ServerError> {
        let (changed, is_due) = self.write_configuration(source).await?;
        if is_due {
            self.reload(running)?;
        }
        Ok(changed)
    }

    pub(super) fn reload(&self, running: &Postmaster) -> Result<(), ServerError> {
        let written = self.reloads.written();
        running.signal(Signal::HUP).map_err(|error| {
            ServerError::NotPossible(format!("the server cannot be told to reload: {error}"))
        })?;
        self.reloads.told(written);
        Ok(())
    }

    /// The server is about to start, and reads the files as they are.
    pub(super) fn reads_the_files_anew(&self) {
        self.reloads.told(self.reloads.written());
        self.outdated.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(reloads: &Reloads) -> (u64, bool) {
        let (write, is_due) = reloads.begin();
        reloads.ended(write);
        (write, is_due)
    }

    #[test]
    fn a_write_that_nobody_was_told_of_stays_due() {
        let reloads = Reloads::default();
        let (first, is_due) = ended(&reloads);
        assert!(is_due, "an earlier agent may have died in between");
        reloads.told(first);
        let (second, is_due) = ended(&reloads);
        assert!(!is_due);
        reloads.changed_nothing(second);
        assert!(!ended(&reloads).1, "nothing has changed");
        // That one was given up: whether it changed anything is not known.
        let (fourth, is_due) = ended(&reloads);
        assert!(is_due);
        reloads.told(fourth);
        assert!(!ended(&reloads).1);
    }

    #[test]
    fn a_write_that_is_under_way_is_not_taken_for_told() {
        let reloads = Reloads::default();
        reloads.told(reloads.written());
        let (slow, _) = reloads.begin();
        let (quick, _) = ended(&reloads);
        reloads.changed_nothing(quick);
        reloads.told(reloads.written());
        assert!(ended(&reloads).1, "the slow one may end any time");
        reloads.ended(slow);
        reloads.told(reloads.written());
        assert!(!ended(&reloads).1);
    }
}
