//! Asks every node all the time whether it is the primary: at no moment may two say so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::http::Request;

/// How often each node is asked.
const PERIOD: Duration = Duration::from_millis(10);
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_millis(300);

/// A time in which every answer of a node was 200: from the first of them to the question of the last, so
/// that the node has said so before its beginning and after its end.
#[derive(Clone, Copy, Debug)]
pub struct Reign {
    pub node: usize,
    pub from: Instant,
    pub until: Instant,
}

/// Running watchers, one for each node. Dropping the value stops them.
pub struct PrimaryWatch {
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Vec<Reign>>>,
}

impl PrimaryWatch {
    pub fn open(agents: Vec<SocketAddr>) -> PrimaryWatch {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |(node, agent): (usize, SocketAddr)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || watch(node, agent, &stop))
        };
        let watchers = agents.into_iter().enumerate().map(watch).collect();
        PrimaryWatch { stop, watchers }
    }

    /// Stops them; what they have seen.
    pub fn close(mut self) -> Vec<Reign> {
        self.stop.store(true, Ordering::Relaxed);
        let join = |watcher: JoinHandle<Vec<Reign>>| watcher.join().expect("it does not panic");
        self.watchers.drain(..).flat_map(join).collect()
    }
}

impl Drop for PrimaryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(node: usize, agent: SocketAddr, stop: &AtomicBool) -> Vec<Reign> {
    let mut reigns = Vec::new();
    let mut current: Option<Reign> = None;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = Request { within: WITHIN, ..Request::get("/primary") }.send(agent);
        if answer.is_ok_and(|answer| answer.status == 200) {
            let now = Instant::now();
            let reign = current.get_or_insert(Reign { node, from: now, until: now });
            reign.until = asked.max(reign.from);
        } else {
            reigns.extend(current.take());
        }
        std::thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
    }
    reigns.extend(current);
    reigns
}

/// For how long two nodes said at one time that they are the primary, at most.
pub fn two_at_one_time(reigns: &[Reign]) -> Duration {
    let pairs = reigns.iter().enumerate().flat_map(|(index, one)| {
        reigns[index + 1..].iter().filter(move |other| other.node != one.node).map(move |other| {
            one.until.min(other.until).saturating_duration_since(one.from.max(other.from))
        })
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
            .map(|(node, from, until)| Reign { node: *node, from: at(*from), until: at(*until) })
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
        assert_eq!(two_at_one_time(&seen), Duration::from_millis(10));
    }
}
