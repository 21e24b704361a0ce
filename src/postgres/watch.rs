//! What a look keeps from one to the next: the connection, and what was read once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Statement;

use super::connection::Session;
use super::control::ControlData;
use super::facts::Ancestors;
use crate::values::{Lsn, Timeline};

/// After so many looks without an answer on one connection, another is tried; the next time after
/// twice as many, so that a stalled server is not filled with connections.
const TIMEOUTS_BEFORE_RECONNECT: u32 = 3;
const TIMEOUTS_BEFORE_RECONNECT_MAX: u32 = 200;
/// How long it counts that a paused standby's settings were found large enough.
const NOTHING_COUNTS_FOR: Duration = Duration::from_secs(5);

/// Kept between looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    of_server: Mutex<Kept>,
    /// The major version that a program told, which outlives the server.
    major: Mutex<Option<(PathBuf, u32)>>,
}

#[derive(Debug)]
struct Kept {
    line: Option<Line>,
    timeouts: u32,
    patience: u32,
    /// Whether the server that runs now has ever answered.
    answered: bool,
    ancestors: Ancestors,
    replayed: Option<(Lsn, Timeline)>,
    too_small: Option<(Lsn, Option<String>, Instant)>,
    control: Option<(ControlKey, ControlData)>,
    complaint: Option<String>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            line: None,
            timeouts: 0,
            patience: TIMEOUTS_BEFORE_RECONNECT,
            answered: false,
            ancestors: Ancestors::default(),
            replayed: None,
            too_small: None,
            control: None,
            complaint: None,
        }
    }
}

/// A connection with the statement ready on it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub session: Arc<Session>,
    pub statement: Statement,
}

/// By what a changed control file is known.
pub(super) type ControlKey = (SystemTime, u64, u64);

impl Watch {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.of_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another server runs, or none.
    pub fn forget(&self) {
        *self.kept() = Kept::default();
    }

    pub fn line(&self) -> Option<Line> {
        let mut kept = self.kept();
        kept.line.take_if(|line| line.session.is_closed());
        kept.line.clone()
    }

    pub fn keep_line(&self, line: &Line) {
        self.kept().line = Some(line.clone());
    }

    pub fn drop_line(&self) {
        self.kept().line = None;
    }

    /// The server answered.
    pub fn has_answered(&self) {
        let mut kept = self.kept();
        kept.answered = true;
        kept.timeouts = 0;
        kept.patience = TIMEOUTS_BEFORE_RECONNECT;
        kept.complaint = None;
    }

    pub fn ever_answered(&self) -> bool {
        self.kept().answered
    }

    /// A look had no answer in time.
    pub fn has_timed_out(&self) {
        let mut kept = self.kept();
        kept.timeouts += 1;
        if kept.timeouts >= kept.patience {
            kept.timeouts = 0;
            kept.patience = (kept.patience * 2).min(TIMEOUTS_BEFORE_RECONNECT_MAX);
            kept.line = None;
        }
    }

    /// Whether this complaint is a new one, to be logged.
    pub fn is_new_complaint(&self, complaint: &str) -> bool {
        let mut kept = self.kept();
        let is_new = kept.complaint.as_deref() != Some(complaint);
        kept.complaint = Some(complaint.to_owned());
        is_new
    }

    pub fn with_ancestors<T>(&self, work: impl FnOnce(&mut Ancestors) -> T) -> T {
        work(&mut self.kept().ancestors)
    }

    /// The timeline that was replayed at this very position.
    pub fn timeline_at(&self, replayed: Lsn) -> Option<Timeline> {
        self.kept().replayed.filter(|(at, _)| *at == replayed).map(|(_, timeline)| timeline)
    }

    pub fn keep_timeline_at(&self, replayed: Lsn, timeline: Timeline) {
        self.kept().replayed = Some((replayed, timeline));
    }

    /// What was found too small when replay was paused at this very position. That nothing was does not count for
    /// long: somebody's pause there may have ended, and the server's own begun.
    pub fn too_small_at(&self, replayed: Lsn) -> Option<Option<String>> {
        let kept = self.kept();
        let (_, what, since) = kept.too_small.as_ref().filter(|(at, ..)| *at == replayed)?;
        (what.is_some() || since.elapsed() < NOTHING_COUNTS_FOR).then(|| what.clone())
    }

    pub fn keep_too_small(&self, replayed: Lsn, found: Option<String>) {
        self.kept().too_small = Some((replayed, found, Instant::now()));
    }

    pub fn control(&self, key: ControlKey) -> Option<ControlData> {
        let kept = self.kept();
        kept.control.as_ref().filter(|(known, _)| *known == key).map(|(_, data)| data.clone())
    }

    pub fn keep_control(&self, key: ControlKey, data: &ControlData) {
        self.kept().control = Some((key, data.clone()));
    }

    pub fn major_of(&self, program: &Path) -> Option<u32> {
        let major = self.major.lock().unwrap_or_else(PoisonError::into_inner);
        major.as_ref().filter(|(known, _)| known == program).map(|(_, major)| *major)
    }

    pub fn keep_major_of(&self, program: &Path, major: u32) {
        *self.major.lock().unwrap_or_else(PoisonError::into_inner) = Some((program.into(), major));
    }
}
