//! What goes on happening in the same way is noted ever more seldom, so that it does not push everything
//! else out of the ring.

use std::collections::VecDeque;

use super::event::{Event, EventKind};

/// How many of the same failure are noted one by one.
const FAILURES_ONE_BY_ONE: u64 = 5;
/// The same for decisions and what the server was found doing: a day of drills has many alike.
const OTHERS_ONE_BY_ONE: u64 = 20;
/// What has not happened for so long is new again.
const FORGOTTEN_AFTER_MICROS: i64 = 600_000_000;
/// How many different ones are counted.
const COUNTED: usize = 32;

/// How often what happened lately.
#[derive(Debug, Default)]
pub(super) struct Repeats(VecDeque<Counted>);

#[derive(Debug)]
struct Counted {
    kind: EventKind,
    what: String,
    said: String,
    last_micros: i64,
    times: u64,
}

impl Repeats {
    /// Whether to note this one, and as the how many-th.
    pub fn notes(&mut self, event: &Event) -> Option<Option<u64>> {
        let one_by_one = match event.kind {
            EventKind::Step if event.error.is_some() => FAILURES_ONE_BY_ONE,
            EventKind::Decision | EventKind::Server => OTHERS_ONE_BY_ONE,
            // Milestones, and what was done, are what people look for; they come singly.
            _ => return Some(None),
        };
        let said = event.error.as_deref().unwrap_or(&event.detail);
        let now = event.at_micros;
        let is_same = |one: &Counted| {
            one.kind == event.kind
                && one.what == event.what
                && one.said == said
                && now.saturating_sub(one.last_micros) < FORGOTTEN_AFTER_MICROS
        };
        let times = match self.0.iter().position(is_same) {
            Some(index) => {
                let mut counted = self.0.remove(index)?;
                counted.times += 1;
                counted.last_micros = now;
                let times = counted.times;
                self.0.push_back(counted);
                times
            }
            None => {
                if self.0.len() == COUNTED {
                    self.0.pop_front();
                }
                let (kind, what, said) = (event.kind, event.what.clone(), said.to_owned());
                self.0.push_back(Counted { kind, what, said, last_micros: now, times: 1 });
                1
            }
        };
        if times <= one_by_one {
            return Some(None);
        }
        times.is_power_of_two().then_some(Some(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(at_micros: i64, why: &str) -> Event {
        Event::new(at_micros, EventKind::Step, "start").failed(Some(why.to_owned()))
    }

    #[test]
    fn the_same_failure_is_noted_ever_more_seldom() {
        let mut repeats = Repeats::default();
        let second = 1_000_000;
        let noted = (1..=40).filter(|n| repeats.notes(&failed(n * second, "no room")).is_some());
        assert_eq!(noted.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 8, 16, 32]);
        assert_eq!(repeats.notes(&failed(41 * second, "another reason")), Some(None));
        let later = 41 * second + FORGOTTEN_AFTER_MICROS;
        assert_eq!(repeats.notes(&failed(later, "no room")), Some(None), "it is news again");
    }

    #[test]
    fn two_that_take_turns_are_both_counted() {
        let mut repeats = Repeats::default();
        let mut noted = 0;
        for n in 0..100 {
            let decision = |what: &str| Event::new(n, EventKind::Decision, what);
            noted += usize::from(repeats.notes(&decision("start")).is_some());
            noted += usize::from(repeats.notes(&decision("wait")).is_some());
        }
        assert_eq!(noted, 2 * 22, "1 to 20, 32, 64");
    }

    #[test]
    fn milestones_are_always_noted() {
        let mut repeats = Repeats::default();
        let taken = Event::new(0, EventKind::Lease, "taken");
        assert!((0..100).all(|_| repeats.notes(&taken) == Some(None)));
    }
}
