//! What happened here: decisions with their reasons and facts, steps with their durations, and the
//! milestones of a failover. A ring in memory, and behind it whatever keeps it for the next start.

mod event;
mod repeats;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use event::{Event, EventKind};
use repeats::Repeats;

/// How many are served.
pub const EVENTS_KEPT: usize = 1000;

/// Keeps events beyond the end of this process. Never waits.
pub trait EventSink: Send {
    /// Takes an event, or says that it cannot now.
    fn keep(&self, event: &Arc<Event>) -> bool;

    /// How many of those it took it could not keep after all.
    fn lost(&self) -> u64;
}

/// The latest events, oldest first. Cheap to clone; all clones share them.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    ring: VecDeque<Arc<Event>>,
    last_seq: u64,
    repeats: Repeats,
    sink: Option<Box<dyn EventSink>>,
    refused: u64,
    /// What was lost when that was last said.
    said: u64,
}

impl Events {
    /// Goes on from what an earlier start left, and keeps what happens in `sink`.
    pub fn kept_in(found: Vec<Event>, sink: Box<dyn EventSink>) -> Self {
        let last_seq = found.iter().map(|event| event.seq).max().unwrap_or_default();
        let surplus = found.len().saturating_sub(EVENTS_KEPT);
        let ring = found.into_iter().skip(surplus).map(Arc::new).collect();
        let kept = Kept { ring, last_seq, sink: Some(sink), ..Kept::default() };
        Self(Arc::new(Mutex::new(kept)))
    }

    /// Notes an event.
    pub fn note(&self, event: Event) {
        let mut kept = self.kept();
        let Some(times) = kept.repeats.notes(&event) else { return };
        let at_micros = event.at_micros;
        let is_kept = kept.push(Event { times, ..event });
        if is_kept {
            kept.tell_what_was_lost(at_micros);
        }
    }

    /// The latest ones, oldest first.
    pub fn list(&self) -> Vec<Arc<Event>> {
        self.kept().ring.iter().cloned().collect()
    }

    /// How many events of this process will not be there after its end.
    pub fn unwritten(&self) -> u64 {
        self.kept().lost()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Returns whether it will be there after this process' end.
    fn push(&mut self, event: Event) -> bool {
        self.last_seq += 1;
        let event = Arc::new(event.placed(self.last_seq));
        let is_kept = self.sink.as_ref().is_none_or(|sink| sink.keep(&event));
        if !is_kept {
            self.refused += 1;
            if self.refused == self.said + 1 {
                tracing::warn!("the disk does not keep up: events stay in memory only");
            }
        }
        if self.ring.len() == EVENTS_KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
        is_kept
    }

    fn lost(&self) -> u64 {
        self.refused + self.sink.as_ref().map_or(0, |sink| sink.lost())
    }

    /// A gap in what is kept is told where it is.
    fn tell_what_was_lost(&mut self, at_micros: i64) {
        let lost = self.lost();
        if lost == self.said {
            return;
        }
        let count = lost - self.said;
        let gap = Event::new(at_micros, EventKind::Agent, "events were not written");
        if self.push(gap.fact("count", count)) {
            self.said = lost;
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn event(at_micros: i64) -> Event {
        Event::new(at_micros, EventKind::Lease, "taken").fact("term", at_micros)
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let events = Events::default();
        for moment in 0..1500 {
            events.clone().note(event(moment));
        }
        let kept: Vec<i64> = events.list().iter().map(|event| event.at_micros).collect();
        assert_eq!(kept, (500..1500).collect::<Vec<_>>());
        assert_eq!(events.list()[0].seq, 501);
    }

    #[test]
    fn a_long_text_is_cut() {
        let events = Events::default();
        events.note(event(0).detail("ö".repeat(5000)));
        assert!(events.list()[0].detail.len() < 1600);
    }

    /// Takes events while it is told to.
    struct Willing(Arc<AtomicBool>);

    impl EventSink for Willing {
        fn keep(&self, _: &Arc<Event>) -> bool {
            self.0.load(Ordering::SeqCst)
        }

        fn lost(&self) -> u64 {
            0
        }
    }

    #[test]
    fn what_was_not_kept_is_counted_and_told_in_its_place() {
        let willing = Arc::new(AtomicBool::new(true));
        let found = vec![event(1).placed(7)];
        let events = Events::kept_in(found, Box::new(Willing(Arc::clone(&willing))));
        events.note(event(2));
        willing.store(false, Ordering::SeqCst);
        (3..6).for_each(|moment| events.note(event(moment)));
        assert_eq!(events.unwritten(), 3);
        willing.store(true, Ordering::SeqCst);
        events.note(event(6));
        events.note(event(7));
        let list = events.list();
        let seqs: Vec<u64> = list.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (7..=14).collect::<Vec<_>>(), "they go on where the earlier start ended");
        assert_eq!(list[6].what, "events were not written");
        assert_eq!(list[6].facts["count"], 3);
        assert_eq!(list.iter().filter(|event| event.kind == EventKind::Agent).count(), 1);
    }
}
