//! Asks every node all the time whether it is the primary: at no moment may two say so.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::http::Request;

/// How often each node is asked.
const PERIOD: Duration = Duration::from_millis(10);

/// A time in which every answer of a node was 200: from the first of them to the question of the last, so
/// that the node has said so before its beginning and after its end.
#[derive(Clone, Copy, Debug)]
pub struct Reign {
    pub node: usize,
    /// When the question of the first answer was sent.
    pub asked: Instant,
    pub from: Instant,
    pub until: Instant,
}

impl Reign {
    /// For how long both are known to have said so. One answer has no length: where it was asked for and
    /// given within the other's time, it counts for as long as that took.
    fn beside(&self, other: &Reign) -> Duration {
        let both = self.until.min(other.until).saturating_duration_since(self.from.max(other.from));
        let one_answer = |one: &Reign, other: &Reign| {
            let within = other.from <= one.asked && one.from <= other.until;
            if within { one.from.duration_since(one.asked) } else { Duration::ZERO }
        };
        both.max(one_answer(self, other)).max(one_answer(other, self))
    }
}

/// Running watchers, one for each node. Dropping the value stops them.
pub struct PrimaryWatch(Vec<(Sender<()>, JoinHandle<Vec<Reign>>)>);

impl PrimaryWatch {
    /// `within` is how long an answer may take.
    pub fn open(agents: Vec<SocketAddr>, within: Duration) -> PrimaryWatch {
        let watch = |(node, agent): (usize, SocketAddr)| {
            let (runs, stop) = mpsc::channel();
            (runs, std::thread::spawn(move || watch(node, agent, within, &stop)))
        };
        PrimaryWatch(agents.into_iter().enumerate().map(watch).collect())
    }

    /// Stops them; what they have seen.
    pub fn close(self) -> Vec<Reign> {
        let watchers: Vec<_> = self.0.into_iter().map(|(_, watcher)| watcher).collect();
        let join = |watcher: JoinHandle<Vec<Reign>>| watcher.join().expect("it does not panic");
        watchers.into_iter().flat_map(join).collect()
    }
}

/// Until nobody holds the other end of `stop`.
fn watch(node: usize, agent: SocketAddr, within: Duration, stop: &Receiver<()>) -> Vec<Reign> {
    let mut reigns = Vec::new();
    let mut current: Option<Reign> = None;
    loop {
        let asked = Instant::now();
        let answer = Request { within, ..Request::get("/primary") }.send(agent);
        if answer.is_ok_and(|answer| answer.status == 200) {
            let now = Instant::now();
            let reign = current.get_or_insert(Reign { node, asked, from: now, until: now });
            reign.until = asked.max(reign.from);
        } else {
            reigns.extend(current.take());
        }
        let next_in = PERIOD.saturating_sub(asked.elapsed());
        if stop.recv_timeout(next_in) != Err(RecvTimeoutError::Timeout) {
            reigns.extend(current);
            return reigns;
        }
    }
}

/// For how long two nodes said at one time that they are the primary, at most.
pub fn two_at_one_time(reigns: &[Reign]) -> Duration {
    let pairs = reigns.iter().enumerate().flat_map(|(index, one)| {
        let others = reigns[index + 1..].iter().filter(move |other| other.node != one.node);
        others.map(move |other| one.beside(other))
    });
    pairs.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reigns(times: &[(usize, u64, u64)]) -> Vec<Reign> {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        times
            .iter()
            .map(|(node, from, until)| Reign {
                node: *node,
                asked: at(*from),
                from: at(*from + 2),
                until: at(*until),
            })
            .collect()
    }

    #[test]
    fn two_that_follow_each_other_are_one_at_a_time() {
        let seen = reigns(&[(0, 0, 100), (1, 101, 200), (0, 201, 300)]);
        assert_eq!(two_at_one_time(&seen), Duration::ZERO);
    }

    #[test]
    fn two_at_one_time_are_seen() {
        let seen = reigns(&[(0, 0, 100), (1, 90, 200)]);
        assert_eq!(two_at_one_time(&seen), Duration::from_millis(8));
    }

    #[test]
    fn one_answer_in_the_time_of_another_node_is_seen() {
        let stale = |asked| reigns(&[(0, 0, 100), (1, asked, asked + 2)]);
        assert_eq!(two_at_one_time(&stale(50)), Duration::from_millis(2));
        assert_eq!(two_at_one_time(&stale(99)), Duration::ZERO, "the first may have ended");
    }
}
