//! The journal as a small file in the state directory: written beside, fsynced, renamed, and the
//! directory fsynced, so that what was promised survives a power failure.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::act::JournalFile;
use crate::dcs::codec;
use crate::decide::{Journal, Unfinished};
use crate::values::Term;

const FILE_NAME: &str = "journal.json";

/// How the journal is spelled.
#[derive(Serialize, Deserialize)]
struct Spelled {
    promised: Term,
    #[serde(default)]
    seen: Term,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<Step>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    losses: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    slots: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    carried: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    admitted: Option<i64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Bootstrap,
    Copy,
    Rewind,
    #[serde(rename = "set_aside")]
    SetAside,
}

/// The journal's file.
#[derive(Clone, Debug)]
pub struct DiskJournal {
    path: PathBuf,
    /// Held by a save until the disk has answered, also when whoever asked for it has gone: it must not land on what
    /// a later one wrote.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl DiskJournal {
    /// Opens the journal in this directory, which is made if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or the file is not a journal: it is then a person's
    /// to look at, because a promise may be in it.
    pub fn open(directory: &Path) -> io::Result<(Self, Journal)> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE_NAME);
        let journal = match fs::read(&path) {
            Ok(text) => read(&text).map_err(|error| {
                let what = format!("{}: not a journal ({error})", path.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Journal::default(),
            Err(error) => return Err(error),
        };
        let this = Self { path, turn: Arc::default() };
        // A directory that cannot be written is better found out now than in a race.
        this.write(&journal)?;
        Ok((this, journal))
    }

    fn write(&self, journal: &Journal) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&spell(journal))?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        File::open(directory)?.sync_all()
    }
}

impl JournalFile for DiskJournal {
    async fn save(&self, journal: &Journal) -> io::Result<()> {
        let (this, journal) = (self.clone(), journal.clone());
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let write = move || {
            let _turn = turn;
            this.write(&journal)
        };
        // A disk that does not answer must not stop the loop.
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }
}

fn spell(journal: &Journal) -> Vec<u8> {
    let unfinished = journal.unfinished.map(|step| match step {
        Unfinished::Bootstrap => Step::Bootstrap,
        Unfinished::Copy => Step::Copy,
        Unfinished::Rewind => Step::Rewind,
        Unfinished::SetAside => Step::SetAside,
    });
    let losses = serde_json::from_slice(&codec::losses(&journal.losses)).ok();
    let losses = losses.filter(|_| !journal.losses.is_empty());
    let Journal { promised, seen, admitted, .. } = *journal;
    let (slots, carried) = (journal.slots.clone(), journal.carried.clone());
    let spelled = Spelled { promised, seen, unfinished, losses, slots, carried, admitted };
    let mut text = serde_json::to_vec(&spelled).expect("numbers and words can be spelled");
    text.push(b'\n');
    text
}

fn read(text: &[u8]) -> serde_json::Result<Journal> {
    let spelled: Spelled = serde_json::from_slice(text)?;
    let unfinished = spelled.unfinished.map(|step| match step {
        Step::Bootstrap => Unfinished::Bootstrap,
        Step::Copy => Unfinished::Copy,
        Step::Rewind => Unfinished::Rewind,
        Step::SetAside => Unfinished::SetAside,
    });
    let losses = spelled.losses.map(|losses| codec::read_losses(losses.to_string().as_bytes()));
    let losses = losses.transpose().map_err(serde::de::Error::custom)?.unwrap_or_default();
    let Spelled { promised, seen, slots, carried, admitted, .. } = spelled;
    Ok(Journal { promised, seen, unfinished, losses, slots, carried, admitted })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_journal_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, found) = DiskJournal::open(&directory.path().join("state")).unwrap();
        assert_eq!(found, Journal::default());
        let loss = crate::cluster::Loss {
            at_micros: 1_740_903_340_120_001,
            timeline: crate::values::Timeline(1),
            from: Some(crate::values::Lsn(100)),
            to: crate::values::Lsn(160),
            is_exact: true,
            step: crate::cluster::LossStep::Rewind,
        };
        let unfinished = Some(Unfinished::SetAside);
        let slots = ["b".to_owned(), "c".to_owned()].into();
        let (promised, seen, losses) = (Term(7), Term(6), vec![loss]);
        let (carried, admitted) = (["app".to_owned()].into(), Some(1_740_903_340_120_001));
        let journal = Journal { promised, seen, unfinished, losses, slots, carried, admitted };
        disk.write(&journal).unwrap();
        assert_eq!(DiskJournal::open(&directory.path().join("state")).unwrap().1, journal);
    }

    /// A pipe: who opens it to write waits until somebody opens it to read.
    struct SlowFile(PathBuf);

    impl Drop for SlowFile {
        fn drop(&mut self) {
            let mut options = fs::OpenOptions::new();
            let _ = options
                .read(true)
                .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
                .open(&self.0);
        }
    }

    #[tokio::test]
    async fn a_save_that_was_given_up_does_not_land_on_a_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, _) = DiskJournal::open(directory.path()).unwrap();
        let (beside, aside) = (disk.path.with_extension("new"), directory.path().join("aside"));
        let slow = SlowFile(aside);
        nix::unistd::mkfifo(&slow.0, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::hard_link(&slow.0, &beside).unwrap();
        let promise = |term| Journal { promised: Term(term), ..Journal::default() };
        let within = Duration::from_millis(200);
        assert!(timeout(within, disk.save(&promise(5))).await.is_err(), "the disk does not answer");
        fs::remove_file(&beside).unwrap();
        assert!(timeout(within, disk.save(&promise(6))).await.is_err(), "it waits for the first");
        drop(slow);
        disk.save(&promise(7)).await.unwrap();
        assert_eq!(DiskJournal::open(directory.path()).unwrap().1, promise(7));
    }

    #[test]
    fn a_file_that_is_no_journal_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "promised: 7").unwrap();
        assert!(DiskJournal::open(directory.path()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "promised: 7");
    }
}
