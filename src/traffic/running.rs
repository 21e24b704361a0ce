//! A run from its table to its report: what `pgbaton traffic` does, and what a drill has going on beside
//! its faults.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use rand::Rng;
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::lane::{Client, Lane};
use super::recorder::Recorder;
use super::report::{Report, Source, Verified};
use super::session::words;
use super::settings::Settings;
use super::tls::{TlsError, connector};
use super::watch::{LaneName, News, Watch};
use super::workload::{TableNameError, Workload};

/// How often what happened is gathered and told.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How long a standby may take to have the new table.
const TABLE_EVERYWHERE_WITHIN: Duration = Duration::from_secs(5);
/// How long a single try to look at the rows may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The name of the table.
    #[error("--table")]
    Table(#[source] TableNameError),
    /// The authority's file.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody to write to.
    #[error("writes to {target}: {reason}")]
    Write {
        /// Where.
        target: String,
        /// What was said.
        reason: String,
    },
    /// No thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// What is told while it runs.
pub type Teller = Box<dyn FnMut(&News) + Send>;

/// A run under way.
pub struct Running {
    settings: Settings,
    recorder: Arc<Recorder>,
    workload: Arc<Workload>,
    tls: MakeRustlsConnect,
    lanes: Vec<Arc<Lane>>,
    clients: Vec<JoinHandle<()>>,
    telling: JoinHandle<()>,
    told: Arc<Mutex<Vec<News>>>,
    started: Timestamp,
    has_made_table: bool,
}

impl Running {
    /// Makes the table and lets the requests begin.
    ///
    /// # Errors
    /// When the table cannot be made, or what was asked for makes no sense.
    pub async fn start(settings: Settings, teller: Teller) -> Result<Self, TrafficError> {
        let tls = connector(settings.tls_authority.as_deref())?;
        let run = rand::rng().random_range(1..i64::MAX);
        let workload = Workload::new(&settings, run).map_err(TrafficError::Table)?;
        let has_made_table = prepare(&settings, &workload, &tls).await?;
        if !settings.reads().is_empty() {
            wait_for_table(&settings, &workload, &tls).await;
        }
        let recorder = Arc::new(Recorder::new(&settings));
        let workload = Arc::new(workload);
        let (lanes, mut clients) = hire(&settings, &recorder, &workload, &tls);
        join_all(clients.iter_mut().map(Client::connect_early)).await;
        let (started, start) = (Timestamp::now(), recorder.begin());
        for lane in &lanes {
            let (pacer, count) = (Arc::clone(lane), settings.clients);
            std::thread::Builder::new()
                .name(format!("pace {}", lane.name))
                .spawn(move || pacer.pace(start, count))
                .map_err(TrafficError::Thread)?;
        }
        let clients = clients.into_iter().map(|client| tokio::spawn(client.work())).collect();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = tokio::spawn(tell(Arc::clone(&recorder), Arc::clone(&told), teller));
        Ok(Self {
            settings,
            recorder,
            workload,
            tls,
            lanes,
            clients,
            telling,
            told,
            started,
            has_made_table,
        })
    }

    /// What is written down so far.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// When it began, by the calendar.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged_writes(&self) -> u64 {
        self.recorder.record().writes.ledger.acknowledged()
    }

    /// How many reads were answered so far.
    pub fn answered_reads(&self) -> u64 {
        self.recorder.record().reads.ledger.acknowledged()
    }

    /// From now on no request is due. Those that were are still carried out, within their time.
    pub fn stop(&self) {
        let now = self.recorder.now();
        self.lanes.iter().for_each(|lane| lane.stop_at(now));
    }

    /// Waits for the requests that are still to come, verifies, and reports.
    pub async fn finish(mut self) -> Report {
        for client in &mut self.clients {
            // A client that panicked has said so; its requests are without an end.
            let _ = client.await;
        }
        let ended = self.settings.duration.unwrap_or_default().max(self.recorder.now());
        // What has happened to connections just now is told first.
        tokio::time::sleep(TELL_EVERY).await;
        self.telling.abort();
        {
            let mut record = self.recorder.record();
            for lane in &self.lanes {
                record.lane(lane.name).ledger.close(lane.total());
            }
        }
        let verified = self.verify().await;
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        let record = self.recorder.record();
        Report::make(&Source {
            settings: &self.settings,
            started: self.started,
            ended,
            record: &record,
            news: &told,
            verified,
        })
    }

    async fn verify(&self) -> Verified {
        if !self.settings.verify {
            let _ = self.clear(true).await;
            return Verified::NotAsked;
        }
        let since = Instant::now();
        let found = loop {
            let within = self.settings.verify_within.saturating_sub(since.elapsed());
            let why = match tokio::time::timeout(within, self.look()).await {
                Ok(Ok(found)) => break found,
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {:?}", self.settings.verify_within),
            };
            if since.elapsed() + TRY_EVERY >= self.settings.verify_within {
                return Verified::NotPossible(why);
            }
            tokio::time::sleep(TRY_EVERY).await;
        };
        let comparison = self.recorder.record().writes.ledger.compare(&found);
        let kept = self.clear(comparison.missing == 0).await;
        Verified::Compared { comparison, table_kept: kept }
    }

    async fn look(&self) -> Result<super::ledger::Found, String> {
        let client = connect(&self.settings.write, &self.tls).await?;
        self.workload.found(&client).await
    }

    /// Removes the table, if this run has made it and nothing is to be looked for in it. Says whether it
    /// stays.
    async fn clear(&self, all_there: bool) -> bool {
        if !self.has_made_table || self.settings.keep_table || !all_there {
            return true;
        }
        let Ok(client) = connect(&self.settings.write, &self.tls).await else { return true };
        self.workload.drop_table(&client).await.is_err()
    }
}

/// The kinds of requests that are asked for, with their clients.
fn hire(
    settings: &Settings,
    recorder: &Arc<Recorder>,
    workload: &Arc<Workload>,
    tls: &MakeRustlsConnect,
) -> (Vec<Arc<Lane>>, Vec<Client>) {
    let kinds = [
        (LaneName::Writes, settings.writes(), &settings.write),
        (LaneName::Reads, settings.reads(), &settings.read),
    ];
    let (mut lanes, mut clients) = (Vec::new(), Vec::new());
    for (name, schedule, target) in kinds.into_iter().filter(|(_, it, _)| !it.is_empty()) {
        let total = settings.duration.map(|duration| schedule.due_within(duration));
        let lane = Arc::new(Lane::new(name, schedule, total));
        clients.extend((0..settings.clients).map(|_| Client {
            lane: Arc::clone(&lane),
            recorder: Arc::clone(recorder),
            workload: Arc::clone(workload),
            target: target.clone(),
            tls: tls.clone(),
            timeout: settings.timeout,
            session: None,
        }));
        lanes.push(lane);
    }
    (lanes, clients)
}

async fn tell(recorder: Arc<Recorder>, told: Arc<Mutex<Vec<News>>>, mut teller: Teller) {
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (happenings, nodes) = {
            let mut record = recorder.record();
            if record.untold.is_empty() {
                continue;
            }
            (std::mem::take(&mut record.untold), record.nodes.clone())
        };
        for news in watch.news(happenings, &nodes) {
            teller(&news);
            told.lock().unwrap_or_else(PoisonError::into_inner).push(news);
        }
    }
}

async fn connect(
    target: &super::target::Target,
    tls: &MakeRustlsConnect,
) -> Result<tokio_postgres::Client, String> {
    let connected = tokio::time::timeout(CONNECT_WITHIN, target.config().connect(tls.clone()));
    let connected = connected.await.map_err(|_| format!("no answer within {CONNECT_WITHIN:?}"))?;
    let (client, connection) = connected.map_err(|error| words(&error))?;
    tokio::spawn(async move {
        // Its end shows in what the client is asked next.
        let _ = connection.await;
    });
    Ok(client)
}

async fn prepare(
    settings: &Settings,
    workload: &Workload,
    tls: &MakeRustlsConnect,
) -> Result<bool, TrafficError> {
    let failed = |reason| TrafficError::Write { target: settings.write.to_string(), reason };
    let client = connect(&settings.write, tls).await.map_err(failed)?;
    workload.prepare(&client).await.map_err(failed)
}

/// Until those who are read from have the table; what they do not have by then shows as errors.
async fn wait_for_table(settings: &Settings, workload: &Workload, tls: &MakeRustlsConnect) {
    let there = async {
        loop {
            if let Ok(client) = connect(&settings.read, tls).await
                && client.prepare(&workload.read_statement()).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(TRY_EVERY / 5).await;
        }
    };
    let _ = tokio::time::timeout(TABLE_EVERYWHERE_WITHIN, there).await;
}
