//! The faults that are played on real processes: one table. `make test` plays some of its rows for a few
//! seconds, `make soak` all of them for a minute.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod deeds;
mod outcome;
mod play;
pub mod primary_watch;
mod scene;

use std::time::Duration;

pub use outcome::Outcome;
pub use play::{How, Mode, play};
pub use scene::Scene;

use scene::Place;

/// One row: what is done to a cluster, how it is undone, and what the figures have to be.
pub struct Fault {
    pub name: &'static str,
    place: Place,
    fence: &'static str,
    /// Whether the leader must have led for a while before: only then is it replaced for a stall.
    settled: bool,
    failsafe: bool,
    inject: fn(&mut Scene),
    heal: fn(&mut Scene),
    pub reach: Reach,
}

/// What is to be reached at `ttl: 5` in asynchronous mode; without a figure the fault has none.
#[derive(Clone, Copy)]
pub struct Reach {
    /// For how long writes may be refused.
    pub gap: Option<Duration>,
    /// Whether nothing may be lost even then.
    pub nothing_lost: bool,
    /// For how long two may write.
    pub two_writers: Duration,
}

impl Fault {
    const fn new(name: &'static str, inject: fn(&mut Scene), heal: fn(&mut Scene)) -> Fault {
        let reach = Reach { gap: None, nothing_lost: false, two_writers: Duration::ZERO };
        let (place, fence) = (Place::Plain, "auto");
        Fault { name, place, fence, settled: false, failsafe: true, inject, heal, reach }
    }

    const fn place(self, place: Place) -> Fault {
        Fault { place, ..self }
    }

    const fn fence(self, fence: &'static str) -> Fault {
        Fault { fence, ..self }
    }

    const fn settled(self) -> Fault {
        Fault { settled: true, ..self }
    }

    const fn without_failsafe(self) -> Fault {
        Fault { failsafe: false, ..self }
    }

    const fn gap_millis(self, millis: u64) -> Fault {
        let gap = Some(Duration::from_millis(millis));
        Fault { reach: Reach { gap, ..self.reach }, ..self }
    }

    const fn nothing_lost(self) -> Fault {
        Fault { reach: Reach { nothing_lost: true, ..self.reach }, ..self }
    }

    const fn two_writers_millis(self, millis: u64) -> Fault {
        let two_writers = Duration::from_millis(millis);
        Fault { reach: Reach { two_writers, ..self.reach }, ..self }
    }

    /// Nothing may happen at all. "0 s" is 0.1 s with a writer each 10 ms.
    const fn unnoticed(self) -> Fault {
        self.gap_millis(100).nothing_lost()
    }
}

/// All of them.
#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    Fault::new("agent killed", deeds::kill_agent, deeds::start).gap_millis(2000).nothing_lost(),
    Fault::new("agent killed, below a subreaper", deeds::kill_agent, deeds::start)
        .fence("subreaper").gap_millis(2000).nothing_lost(),
    Fault::new("agent killed, back at once", deeds::kill_and_start_agent, deeds::nothing).unnoticed(),
    Fault::new("agent stopped", deeds::stop_agent, deeds::resume).gap_millis(2000).nothing_lost(),
    Fault::new("agent stopped, below a subreaper", deeds::stop_agent, deeds::resume)
        .fence("subreaper").gap_millis(2000).nothing_lost(),
    Fault::new("agent upgraded in place", deeds::upgrade, deeds::nothing).unnoticed(),
    Fault::new("guardian killed", deeds::kill_guardian, deeds::nothing),
    Fault::new("guardian stopped", deeds::stop_guardian, deeds::resume),
    Fault::new("agent and guardian killed", deeds::kill_both, deeds::start),
    Fault::new("agent and guardian stopped", deeds::stop_both, deeds::resume),
    Fault::new("postmaster killed", deeds::kill_postmaster, deeds::nothing),
    Fault::new("all backends stopped", deeds::stop_backends, deeds::resume).settled().gap_millis(12_000),
    Fault::new("all server processes stopped", deeds::stop_server, deeds::resume)
        .settled().gap_millis(12_000),
    Fault::new("host stopped, then resumed", deeds::stop_host, deeds::resume).two_writers_millis(20),
    Fault::new("host stopped, then resumed, below a subreaper", deeds::stop_host, deeds::resume)
        .fence("subreaper").two_writers_millis(20),
    Fault::new("host killed", deeds::kill_host, deeds::start),
    Fault::new("plug pulled", deeds::unplug, deeds::plug_in).place(Place::Network),
    Fault::new("primary cut off from all", deeds::part_from_all, deeds::join_all).place(Place::Network),
    Fault::new("primary cut off from etcd only", deeds::part_from_etcd, deeds::join_etcd)
        .place(Place::Network).unnoticed(),
    Fault::new("primary cut off from etcd only, no failsafe", deeds::part_from_etcd, deeds::join_etcd)
        .place(Place::Network).without_failsafe().gap_millis(2000),
    Fault::new("etcd's answers do not arrive, no failsafe", deeds::cut_answers_of_etcd, deeds::mend_answers_of_etcd)
        .place(Place::Network).without_failsafe(),
    Fault::new("primary cut off from its peers only", deeds::part_from_peers, deeds::join_peers)
        .place(Place::Network).unnoticed(),
    Fault::new("nothing arrives at the primary", deeds::deafen, deeds::undeafen).place(Place::Network),
    Fault::new("nothing of the primary arrives", deeds::mute, deeds::unmute).place(Place::Network),
    Fault::new("etcd's leader killed", deeds::kill_etcd_leader, deeds::restart_etcd).unnoticed(),
    Fault::new("two of three etcd members killed", deeds::kill_etcd_quorum, deeds::restart_etcd).unnoticed(),
    Fault::new("all of etcd killed", deeds::kill_etcd, deeds::restart_etcd).unnoticed(),
    Fault::new("all of etcd and a standby killed", deeds::kill_etcd_and_a_standby, deeds::restart_etcd_and_standby)
        .unnoticed(),
    Fault::new("one etcd member answers nothing", deeds::freeze_etcd_leader, deeds::thaw_etcd).unnoticed(),
    Fault::new("500 ms to etcd", deeds::slow_etcd, deeds::quick_etcd).place(Place::SlowEtcd).unnoticed(),
    Fault::new("disk full", deeds::fill_disk, deeds::empty_disk)
        .place(Place::Volume { megabytes: 400 }).settled().gap_millis(12_000),
    Fault::new("disk frozen", deeds::freeze_disk, deeds::thaw_disk)
        .place(Place::Volume { megabytes: 600 }).settled().gap_millis(12_000),
    Fault::new("clock set forward by a day", deeds::clock_forward, deeds::clock_right)
        .place(Place::OwnClock).unnoticed(),
    Fault::new("clock set back by a day", deeds::clock_back, deeds::clock_right)
        .place(Place::OwnClock).unnoticed(),
];

/// The row with that name.
pub fn fault(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).expect("a fault of the table")
}
