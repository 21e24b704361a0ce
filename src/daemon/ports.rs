//! The real outside world, made from the configuration.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::guardian::{self, Guarded};
use super::journal::DiskJournal;
use crate::act::Ports;
use crate::act::lease::FenceReport;
use crate::agent::{Assembly, first_effective};
use crate::api::HttpPeers;
use crate::config::NodeConfig;
use crate::ctl::etcd_options;
use crate::dcs::EtcdStore;
use crate::decide::Journal;
use crate::fence::{BoottimeClock, Guardian};
use crate::postgres::{LocalProbes, LocalServer, StatisticsReader};
use crate::publish::{Events, Metrics};
use crate::values::Incarnation;

/// etcd, PostgreSQL, HTTP, the disk, and this host's clock.
pub struct RealPorts;

impl Ports for RealPorts {
    type Store = EtcdStore;
    type Server = LocalServer;
    type Probes = LocalProbes;
    type Peers = HttpPeers;
    type JournalFile = DiskJournal;
    type Fence = Guardian;
    type Clock = BoottimeClock;
}

/// What can be made before anything runs.
pub struct Environment {
    /// The store.
    pub store: EtcdStore,
    server: LocalServer,
    guarded: Guarded,
    incarnation: Incarnation,
    probes: LocalProbes,
    peers: HttpPeers,
    journal: (DiskJournal, Journal),
}

impl Environment {
    /// Makes the ports; nothing is contacted or started yet.
    ///
    /// # Errors
    /// When the configuration names something that is not there or cannot be used.
    pub fn prepare(config: &Arc<NodeConfig>) -> Result<Self> {
        let store =
            EtcdStore::new(etcd_options(&config.etcd, config.key_prefix())).context("etcd3")?;
        let directory = config.state_dir();
        let journal = DiskJournal::open(&directory).with_context(|| {
            format!(
                "the agent's state directory {} cannot be used; make it writable for this user, or \
                 set pgbaton.state_dir",
                directory.display()
            )
        })?;
        let server = LocalServer::new(config, first_effective(config)).context("postgresql")?;
        let probes = server.probes().context("the probes")?;
        let guarded = guardian::attach(config, &server)?;
        let peers = HttpPeers::of(config);
        let incarnation = guarded.left.map_or_else(
            || Incarnation(rand::random::<u64>().max(1)),
            |left| left.deposit.incarnation,
        );
        Ok(Self { store, server, guarded, incarnation, probes, peers, journal })
    }

    /// The guardian of the server.
    pub fn guardian(&self) -> Guardian {
        self.guarded.guardian.clone()
    }

    /// This start of the agent; or the one before, whose lease it takes up.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Asks the server for its statistics.
    pub fn statistics(&self) -> StatisticsReader {
        self.server.statistics()
    }

    /// What the guardian did while no agent was there.
    pub fn found_report(&self) -> Option<&FenceReport> {
        self.guarded.report.as_ref()
    }

    /// The parts of the agent.
    pub fn into_assembly(
        self,
        config: &Arc<NodeConfig>,
        reload: Box<dyn Fn() -> Option<Arc<NodeConfig>>>,
        metrics: Metrics,
        events: Events,
    ) -> Assembly<RealPorts> {
        let (journal_file, journal) = self.journal;
        Assembly {
            config: Arc::clone(config),
            reload,
            incarnation: self.incarnation,
            left_until: self.guarded.left.map(|left| left.deadline),
            journal,
            nonces: Box::new(rand::random),
            lease_store: self.store.separate(),
            store: self.store,
            server: self.server,
            failsafe_peers: self.peers.clone(),
            probes: self.probes,
            peers: self.peers,
            journal_file,
            fence: self.guarded.guardian,
            clock: BoottimeClock,
            metrics,
            events,
        }
    }
}
