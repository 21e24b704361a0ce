//! Requests of one kind: a thread says when each is due, and the clients take them in that order. A request
//! waits for a connection until its time is over; what was sent is never sent twice if it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ledger::Outcome;
use super::recorder::{End, Recorder};
use super::schedule::Schedule;
use super::session::{Refusal, Session, judge};
use super::target::Target;
use super::watch::{LaneName, What};
use super::workload::Workload;

/// How long the thread sleeps at most before it looks whether it is to stop.
const PACE_STEP: Duration = Duration::from_millis(50);
/// Between two tries to connect, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// What a connection may take beyond its host's `connect_timeout`: password, TLS, first statements.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);

/// Requests of one kind, as they come due.
#[derive(Debug)]
pub struct Lane {
    /// Which kind.
    pub name: LaneName,
    schedule: Schedule,
    due: Semaphore,
    next: AtomicU64,
    total: AtomicU64,
}

impl Lane {
    /// Nothing is due yet; `total` requests will be, unless it is stopped before.
    pub fn new(name: LaneName, schedule: Schedule, total: Option<u64>) -> Self {
        let total = AtomicU64::new(total.unwrap_or(u64::MAX));
        Self { name, schedule, due: Semaphore::new(0), next: AtomicU64::new(0), total }
    }

    /// No request is due from `elapsed` on.
    pub fn stop_at(&self, elapsed: Duration) {
        self.total.fetch_min(self.schedule.due_within(elapsed), Ordering::AcqRel);
    }

    /// How many requests there are in all.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Lets each request go when it is due, until all have gone. For a thread of its own: the runtime's
    /// timers are too coarse for it.
    pub fn pace(&self, start: std::time::Instant, clients: usize) {
        let mut number = 0;
        while number < self.total() {
            let wait = self.schedule.due(number).saturating_sub(start.elapsed());
            if wait.is_zero() {
                self.due.add_permits(1);
                number += 1;
            } else {
                std::thread::sleep(wait.min(PACE_STEP));
            }
        }
        // Each client takes one more, and learns from its number that there are none left.
        self.due.add_permits(clients);
    }

    async fn take(&self) -> Option<u64> {
        let permit = self.due.acquire().await.ok()?;
        permit.forget();
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        (number < self.total()).then_some(number)
    }
}

/// One client: takes requests and carries them out, one at a time.
pub struct Client {
    /// What it takes from.
    pub lane: Arc<Lane>,
    /// What it writes down to.
    pub recorder: Arc<Recorder>,
    /// What it asks.
    pub workload: Arc<Workload>,
    /// Where it connects.
    pub target: Target,
    /// With what.
    pub tls: MakeRustlsConnect,
    /// How long a request may take from when it was due.
    pub timeout: Duration,
    /// Its connection.
    pub session: Option<Session>,
}

impl Client {
    /// Connects before anything is due. Where that does not work it is tried again when something is.
    pub async fn connect_early(&mut self) {
        match self.open().await {
            Ok(session) => self.session = Some(session),
            Err(reason) => self.recorder.happened(self.lane.name, What::Refused { reason }),
        }
    }

    /// Works until there is nothing left.
    pub async fn work(mut self) {
        while let Some(number) = self.lane.take().await {
            let end = self.request(number).await;
            self.recorder.ended(self.lane.name, end);
        }
        if let Some(session) = self.session.take() {
            session.close();
        }
    }

    async fn request(&mut self, number: u64) -> End {
        let due = self.lane.schedule.due(number);
        let deadline = Instant::from_std(self.recorder.begin() + due + self.timeout);
        let read = (self.lane.name == LaneName::Reads).then(|| self.recorder.choose_read());
        let ended = |outcome, why: String| End {
            number,
            outcome,
            node: 0,
            why: Some(why),
            value: None,
            read: None,
        };
        let mut pause = PAUSE.0;
        // Why it was refused the last time says more than that its time is over.
        let mut refused: Option<String> = None;
        loop {
            let session = match self.connected(deadline).await {
                Ok(session) => session,
                Err(why) => return ended(Outcome::Failed, refused.unwrap_or(why)),
            };
            session.begin();
            let node = session.node;
            let answer = match read {
                None => timeout_at(deadline, self.workload.write(&session, number)).await,
                Some(read) => timeout_at(deadline, self.workload.read(&session, read)).await,
            };
            let refusal = match answer {
                Ok(Ok(value)) => {
                    let is_doubtful = session.is_doubtful();
                    self.session = Some(session);
                    if is_doubtful {
                        let why = "the wait for synchronous replication was cancelled";
                        return ended(Outcome::Unknown, why.to_owned());
                    }
                    let outcome = Outcome::Acknowledged;
                    return End { number, outcome, node, why: None, value, read };
                }
                Ok(Err(error)) => judge(&error),
                Err(_) => {
                    let why = format!("no answer within {:?}", self.timeout);
                    session.abandon(&why);
                    return ended(self.without_answer(), why);
                }
            };
            match refusal {
                Refusal::Refused(why) => {
                    self.session = Some(session);
                    return ended(Outcome::Failed, why);
                }
                Refusal::Elsewhere(why) => {
                    session.abandon(&why);
                    refused = Some(why);
                }
                // Why it was lost is told by the end of the connection.
                Refusal::Lost(why) if read.is_none() => return ended(Outcome::Unknown, why),
                Refusal::Lost(_) => {}
            }
            self.recorder.retried(self.lane.name);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// A read that was not answered has failed; a write may have happened.
    fn without_answer(&self) -> Outcome {
        match self.lane.name {
            LaneName::Writes => Outcome::Unknown,
            LaneName::Reads => Outcome::Failed,
        }
    }

    /// The connection, made anew if need be; or why there is none in time.
    async fn connected(&mut self, deadline: Instant) -> Result<Session, String> {
        if let Some(session) = self.session.take().filter(|session| !session.is_closed()) {
            if Instant::now() < deadline {
                return Ok(session);
            }
            self.session = Some(session);
            return Err("not sent in time: the requests before it took too long".to_owned());
        }
        let mut pause = PAUSE.0;
        loop {
            let why = match timeout_at(deadline, self.open()).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(why)) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            self.recorder.happened(self.lane.name, What::Refused { reason: why.clone() });
            if Instant::now() + pause >= deadline {
                return Err(format!("no connection: {why}"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn open(&self) -> Result<Session, String> {
        let statement = match self.lane.name {
            LaneName::Writes => self.workload.write_statement(),
            LaneName::Reads => self.workload.read_statement(),
        };
        let config = self.target.config();
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
        let each = config.get_connect_timeout().copied().unwrap_or(HANDSHAKE_WITHIN);
        let within = each * u32::try_from(hosts).unwrap_or(1) + HANDSHAKE_WITHIN;
        let opened = Session::open(&self.target, &self.tls, &statement);
        let opened = tokio::time::timeout(within, opened).await;
        let (mut session, ending) =
            opened.map_err(|_| format!("no answer within {within:?}"))??;
        let node = self.recorder.node(&session.place.address);
        session.node = node;
        let (recorder, lane) = (Arc::clone(&self.recorder), self.lane.name);
        let is_standby = session.place.is_standby;
        recorder.happened(lane, What::Opened { node, is_standby });
        ending.tell(Box::new(move |reason| recorder.happened(lane, What::Lost { node, reason })));
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_request_is_taken_once_and_then_everybody_is_sent_home() {
        let lane = Arc::new(Lane::new(LaneName::Reads, Schedule::of_rate(10_000.0), Some(100)));
        let pacer = Arc::clone(&lane);
        let start = std::time::Instant::now();
        let pacing = std::thread::spawn(move || pacer.pace(start, 3));
        let clients = (0..3).map(|_| {
            let lane = Arc::clone(&lane);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while let Some(number) = lane.take().await {
                    taken.push(number);
                }
                taken
            })
        });
        let mut all = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            all.extend(client.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(start.elapsed() >= Duration::from_micros(9900), "none goes before it is due");
        pacing.join().unwrap();
    }

    #[test]
    fn a_stop_counts_what_was_due_before_it() {
        let lane = Lane::new(LaneName::Writes, Schedule::of_rate(10.0), None);
        lane.stop_at(Duration::from_secs(2));
        lane.stop_at(Duration::from_secs(9));
        assert_eq!(lane.total(), 20);
    }
}
