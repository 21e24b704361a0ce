//! What survives on disk, and what a disk cannot do to the agent.

use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use super::*;
use crate::publish::EventKind;

fn event(moment: i64) -> Event {
    Event::new(moment, EventKind::Lease, "taken").fact("term", moment)
}

fn note(events: &Events, moments: std::ops::Range<i64>) {
    moments.for_each(|moment| events.note(event(moment)));
}

fn moments(events: &Events) -> Vec<i64> {
    events.list().iter().map(|event| event.at_micros).collect()
}

#[test]
fn events_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (events, ring) = open(&state);
    note(&events, 1..4);
    ring.finish();
    let (again, ring) = open(&state);
    note(&again, 4..5);
    assert_eq!(moments(&again), [1, 2, 3, 4]);
    assert_eq!(again.list()[3].seq, 4);
    assert_eq!(again.list()[0], events.list()[0]);
    ring.finish();
    let mode = std::fs::metadata(state.join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn torn_lines_and_garbage_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let (events, ring) = open(directory.path());
    note(&events, 1..4);
    ring.finish();
    let path = directory.path().join(NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let torn = &lines[2][..lines[2].len() / 2];
    let garbage = b"\xff\xfe\x00[1,2]\n{\"seq\":\"x\"}\n\n";
    let text = [format!("{}\n", lines[0]).as_bytes(), garbage, torn.as_bytes()].concat();
    std::fs::write(&path, text).unwrap();
    let (again, ring) = open(directory.path());
    assert_eq!(moments(&again), [1]);
    note(&again, 5..7);
    ring.finish();
    let (once_more, _) = open(directory.path());
    assert_eq!(moments(&once_more), [1, 5, 6], "the torn line takes no other with it");
}

#[test]
fn the_files_stay_within_their_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = RingFile::open(directory.path(), 1000).unwrap();
    for moment in 0..200 {
        let mut line = serde_json::to_vec(&event(moment)).unwrap();
        line.push(b'\n');
        file.append(&line).unwrap();
    }
    for name in [NAME, NAME_BEFORE] {
        let bytes = std::fs::metadata(directory.path().join(name)).unwrap().len();
        assert!((100..=1000).contains(&bytes), "{name} has {bytes}");
    }
    let kept: Vec<i64> = read_all(directory.path()).iter().map(|event| event.at_micros).collect();
    assert_eq!(kept.last(), Some(&199));
    assert!(kept.len() > 8, "{kept:?}");
}

#[test]
fn what_cannot_be_written_is_kept_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join(NAME)).unwrap();
    let (events, ring) = open(directory.path());
    note(&events, 1..3);
    ring.finish();
    assert_eq!(moments(&events), [1, 2]);
    assert_eq!(events.unwritten(), 2);
}

#[test]
fn a_pipe_in_its_place_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (events, _) = open(directory.path());
    note(&events, 1..2);
    assert_eq!(events.unwritten(), 1);
}

/// A disk that answers when it is told to, and then has no room once.
struct Stalled {
    goes_on: Receiver<()>,
    written: Sender<Vec<u8>>,
    is_full_once: bool,
}

impl Lines for Stalled {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // The disk goes on for good when the other end is dropped.
        let _ = self.goes_on.recv();
        if std::mem::take(&mut self.is_full_once) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.written.send(line.to_vec()).map_err(io::Error::other)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stalled_disk_holds_up_nobody_and_what_it_cost_is_told() {
    let (goes_on, waits) = channel();
    let (written, lines) = channel();
    let ring = start(Stalled { goes_on: waits, written, is_full_once: true }).unwrap();
    let events = Events::kept_in(Vec::new(), Box::new(ring.clone()));
    let began = Instant::now();
    note(&events, 0..5000);
    ring.finish();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(events.list().len(), crate::publish::EVENTS_KEPT);
    // One may be in the thread's hands besides those that wait.
    let refused = events.unwritten();
    assert!((5000 - QUEUE as u64 - 1..=5000 - QUEUE as u64).contains(&refused), "{refused}");
    drop(goes_on);
    let told = |line: &[u8]| {
        let event: Event = serde_json::from_slice(line).unwrap();
        (event.what == "events were not written").then(|| event.facts["count"].as_u64().unwrap())
    };
    let mut next = 5000;
    let count = loop {
        // Each event that finds room again may be the one that the gap is told with.
        note(&events, next..next + 1);
        next += 1;
        let line = lines.recv_timeout(Duration::from_secs(10)).expect("the disk goes on");
        if let Some(count) = told(&line) {
            break count;
        }
    };
    assert!(count >= refused, "{count} of {refused}, and the one for which there was no room");
}
