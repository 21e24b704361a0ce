//! Writing the configuration files under a running server, and telling it. A write that was given up or that failed
//! half way may have been done all the same, and so may the last one of an agent that died before it told: the
//! files are then as they should be, and the server has not read them.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::configuration::{self, Source};
use super::files;
use super::place::Moment;
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
    /// The last write that ended. One that was begun later may still change the files, also after whoever began it
    /// has given it up; the next begins when it has.
    ended: u64,
    told: u64,
}

impl Default for Reloads {
    /// As if an earlier agent had written.
    fn default() -> Self {
        Self(Mutex::new(Count { ended: 1, told: 0 }))
    }
}

impl Reloads {
    /// A write begins; which one it is, and whether one before it was never told of.
    fn begin(&self) -> (u64, bool) {
        let count = self.lock();
        (count.ended + 1, count.ended > count.told)
    }

    /// This write changes the files no more.
    fn ended(&self, write: u64) {
        self.lock().ended = write;
    }

    /// The server reads the files as this write left them, or has read them as they are.
    fn told(&self, write: u64) {
        let mut count = self.lock();
        count.told = count.told.max(write);
    }

    /// The last write that has ended.
    fn written(&self) -> u64 {
        self.lock().ended
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
        let turn = self.turns.next().await;
        let (write, was_due) = self.reloads.begin();
        if let Some(source) = source {
            self.set_source(source);
        }
        let (place, settings) = (self.place.clone(), self.settings_to_write());
        if settings.parameters.get(SETTING).is_none_or(String::is_empty) {
            // Whoever names somebody again has to find out anew.
            self.set_commits_wait(false);
        }
        let source = self.source();
        let reloads = Arc::clone(&self.reloads);
        let written = turn.write(move || {
            let write_them = || {
                let source = match source {
                    Some(source) => source,
                    // A server that was found running goes on as it was told.
                    None => {
                        let conf = files::read(&place.conf())?.unwrap_or_default();
                        configuration::source_in(&conf)
                    }
                };
                place.configure(&settings, &source, Moment::Running)
            };
            let written = write_them();
            reloads.ended(write);
            written
        });
        let (changed, _turn) = written.await?;
        if !changed && !was_due {
            self.reloads.told(write);
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
        // That one was given up: whether it changed anything is not known.
        let (third, is_due) = ended(&reloads);
        assert!(is_due);
        reloads.told(third);
        reloads.told(second);
        assert!(!ended(&reloads).1);
    }

    #[test]
    fn a_write_that_is_under_way_is_not_taken_for_told() {
        let reloads = Reloads::default();
        let (slow, _) = reloads.begin();
        reloads.told(reloads.written());
        reloads.ended(slow);
        assert!(reloads.begin().1, "it changed the files after that");
        reloads.told(reloads.written());
        assert!(!reloads.begin().1);
    }
}
