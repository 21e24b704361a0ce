//! What the server told of itself, as metrics.

use super::Exposition;
use crate::postgres::{Checkpoints, DatabaseCounts, Statistics};
use crate::publish::{Family, ServerStatistics, server_catalogue as catalogue};
use crate::values::Monotonic;

/// Writes them; only that there are none where the last answer is old.
pub fn render(text: &mut Exposition, statistics: &ServerStatistics, now: Monotonic) {
    if !statistics.is_on() {
        return;
    }
    let taken = statistics.fresh(now);
    text.single(&catalogue::UP, &[], u8::from(taken.is_some()));
    let Some(taken) = taken else { return };
    text.single(&catalogue::AGE, &[], now.since(taken.asked_at).as_secs_f64());
    text.single(&catalogue::TOOK, &[], taken.took.as_secs_f64());
    databases(text, &taken.statistics.databases);
    text.head(&catalogue::DATABASE_SIZE, None);
    for (name, bytes) in &taken.statistics.sizes {
        text.sample(catalogue::DATABASE_SIZE.name, &[("database", name)], bytes);
    }
    server(text, &taken.statistics);
    checkpoints(text, &taken.statistics.checkpoints);
    standbys(text, &taken.statistics);
    let times = &taken.statistics.processes;
    if times.processes > 0 {
        text.head(&catalogue::CPU, None);
        for (mode, time) in [("user", times.user), ("system", times.system)] {
            text.sample(catalogue::CPU.name, &[("mode", mode)], &time.as_secs_f64());
        }
        text.single(&catalogue::PROCESSES, &[], times.processes);
    }
}

type Count = (&'static str, fn(&DatabaseCounts) -> u64);

fn databases(text: &mut Exposition, databases: &[DatabaseCounts]) {
    let mut family = |family: &Family, label: &str, counts: &[Count]| {
        text.head(family, None);
        for one in databases {
            for (word, count) in counts {
                let both = [("database", one.name.as_str()), (label, *word)];
                let labels = if label.is_empty() { &both[..1] } else { &both[..] };
                text.sample(family.name, labels, &count(one));
            }
        }
    };
    let outcomes: &[Count] = &[("commit", |one| one.commits), ("rollback", |one| one.rollbacks)];
    family(&catalogue::TRANSACTIONS, "outcome", outcomes);
    let operations: &[Count] = &[
        ("returned", |one| one.returned),
        ("fetched", |one| one.fetched),
        ("inserted", |one| one.inserted),
        ("updated", |one| one.updated),
        ("deleted", |one| one.deleted),
    ];
    family(&catalogue::ROWS, "operation", operations);
    family(&catalogue::BLOCKS, "source", &[("hit", |one| one.hit), ("read", |one| one.read)]);
    family(&catalogue::DEADLOCKS, "", &[("", |one| one.deadlocks)]);
    family(&catalogue::CONFLICTS, "", &[("", |one| one.conflicts)]);
    family(&catalogue::TEMPORARY, "", &[("", |one| one.temporary_bytes)]);
}

fn server(text: &mut Exposition, statistics: &Statistics) {
    let server = &statistics.server;
    text.head(&catalogue::CONNECTIONS, None);
    for (state, number) in &server.connections {
        text.sample(catalogue::CONNECTIONS.name, &[("state", state)], number);
    }
    text.single(&catalogue::CONNECTIONS_MAX, &[], server.connections_max);
    let longest = server.longest_transaction.unwrap_or_default();
    text.single(&catalogue::LONGEST_TRANSACTION, &[], longest);
    text.head(&catalogue::LOCKS, None);
    for (mode, number) in &server.locks {
        text.sample(catalogue::LOCKS.name, &[("mode", mode)], number);
    }
    text.single(&catalogue::LOCKS_WAITING, &[], server.locks_waiting);
    text.single(&catalogue::WAL, &[], server.wal_bytes);
    text.single(&catalogue::WAL_FILES, &[], server.wal_files);
    text.single(&catalogue::WAL_FILES_SIZE, &[], server.wal_files_bytes);
}

fn checkpoints(text: &mut Exposition, checkpoints: &Checkpoints) {
    text.head(&catalogue::CHECKPOINTS, None);
    for (cause, number) in [("timed", checkpoints.timed), ("requested", checkpoints.requested)] {
        text.sample(catalogue::CHECKPOINTS.name, &[("cause", cause)], &number);
    }
    text.head(&catalogue::CHECKPOINT_TIME, None);
    let times = [("write", checkpoints.write_millis), ("sync", checkpoints.sync_millis)];
    for (stage, millis) in times {
        text.sample(catalogue::CHECKPOINT_TIME.name, &[("stage", stage)], &(millis / 1000.0));
    }
    text.single(&catalogue::CHECKPOINT_BUFFERS, &[], checkpoints.buffers);
}

fn standbys(text: &mut Exposition, statistics: &Statistics) {
    let standbys = &statistics.server.standbys;
    text.head(&catalogue::STANDBYS, None);
    for one in standbys {
        let (standby, state) = (("standby", one.name.as_str()), ("state", one.state.as_str()));
        let labels = [standby, state, ("sync_state", one.sync_state.as_str())];
        text.sample(catalogue::STANDBYS.name, &labels, &1);
    }
    text.head(&catalogue::LAG_BYTES, None);
    for one in standbys {
        let stages = ["sent", "write", "flush", "replay"].into_iter().zip(one.bytes);
        for (stage, bytes) in stages.filter_map(|(stage, bytes)| Some((stage, bytes?))) {
            let labels = [("standby", one.name.as_str()), ("stage", stage)];
            text.sample(catalogue::LAG_BYTES.name, &labels, &bytes);
        }
    }
    text.head(&catalogue::LAG_SECONDS, None);
    for one in standbys {
        for (stage, seconds) in ["write", "flush", "replay"].into_iter().zip(one.seconds) {
            let labels = [("standby", one.name.as_str()), ("stage", stage)];
            text.sample(catalogue::LAG_SECONDS.name, &labels, &seconds);
        }
    }
    if let Some(delay) = statistics.server.replay_delay {
        text.single(&catalogue::REPLAY_DELAY, &[], delay);
    }
}
