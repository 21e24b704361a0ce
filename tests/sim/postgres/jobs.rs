//! The long jobs: `initdb`, a copy, a rewind, a recovery, a stop. Each leaves the directory as it is
//! when it is cut short.

use std::time::Duration;

use pgbaton::cluster::{ControlState, StopMode, Upstream};
use pgbaton::postgres::ServerError;
use pgbaton::values::{SystemId, Timeline, WalPosition};
use tokio::time::sleep;

use super::server::{SimServer, not_possible};
use super::{Content, Data, Process, kill_everything, node_of};
use crate::invariants::{self, Deed};
use crate::sometimes::Sometimes;

pub async fn initialize(server: &SimServer) -> Result<SystemId, ServerError> {
    server.disk().await;
    if !matches!(server.pg().content, Content::Empty) {
        return Err(not_possible("the directory is not empty"));
    }
    server.pg().content = Content::Partial("initdb", None);
    sleep(server.world.rng.millis(50, 300)).await;
    server.disk().await;
    let system = SystemId(server.world.rng.next() >> 1);
    let at = server.world.wal.borrow_mut().found(system);
    server.world.note(server.node, "has new data", [0, 0]);
    server.pg().content = Content::Whole(Data {
        system,
        at,
        control: ControlState::ShutDown,
        checkpoint_timeline: Timeline::FIRST,
        redo: at.lsn,
        histories: [1].into(),
        oldest: at.lsn,
        upstream: None,
        slots: Default::default(),
    });
    Ok(system)
}

/// A server that could be copied or rewound from: what it has, while it serves and can be reached.
fn source_of(server: &SimServer, source: &Upstream) -> Result<Data, ServerError> {
    let node = node_of(&source.host).filter(|node| *node != server.node);
    let Some(node) = node else { return Err(not_possible("no such host")) };
    let host = &server.world.hosts[node];
    let net = server.world.net.borrow();
    if net.wal[node][server.node].cut || net.wal[server.node][node].cut || host.gate.is_closed() {
        return Err(not_possible("the connection timed out"));
    }
    let pg = host.pg.borrow();
    match (pg.process, pg.data()) {
        (Process::Primary { .. } | Process::Standby, Some(data))
            if !pg.stalled && pg.stopped.is_none() =>
        {
            Ok(data.clone())
        }
        _ => Err(not_possible("the connection was refused")),
    }
}

fn has_space(server: &SimServer) -> Result<(), ServerError> {
    if server.pg().full { Err(not_possible("No space left on device")) } else { Ok(()) }
}

/// Waits while the source goes on serving.
async fn transfer(
    server: &SimServer,
    source: &Upstream,
    takes: Duration,
) -> Result<Data, ServerError> {
    let steps = (takes.as_millis() / 50).max(1) as u32;
    for _ in 0..steps {
        sleep(takes / steps).await;
        server.disk().await;
        has_space(server)?;
        source_of(server, source)?;
    }
    source_of(server, source)
}

pub async fn copy(server: &SimServer, source: &Upstream) -> Result<(), ServerError> {
    server.disk().await;
    if !matches!(server.pg().content, Content::Empty) {
        return Err(not_possible("the directory is not empty"));
    }
    source_of(server, source)?;
    invariants::destroys(&server.world, server.node, Deed::Copy);
    server.pg().content = Content::Partial("a copy", None);
    let usual = server.world.rng.millis(100, 800);
    let usual = if server.world.founds_quickly.get() { usual / 4 } else { usual };
    let takes = usual + server.pg().slow;
    match transfer(server, source, takes).await {
        Ok(data) => {
            server.world.note(server.node, "has a copy", [0, 0]);
            let oldest = data.at.lsn;
            server.pg().content = Content::Whole(Data {
                control: ControlState::InRecovery,
                oldest,
                histories: server
                    .world
                    .wal
                    .borrow()
                    .branch(data.at)
                    .ancestors
                    .iter()
                    .map(|one| one.timeline.0)
                    .chain([server.world.wal.borrow().branch(data.at).timeline.0])
                    .collect(),
                upstream: None,
                slots: Default::default(),
                ..data
            });
            Ok(())
        }
        Err(error) => {
            server.pg().content = Content::Empty;
            Err(error)
        }
    }
}

pub async fn recover_alone(server: &SimServer) -> Result<(), ServerError> {
    server.disk().await;
    sleep(server.world.rng.millis(50, 300)).await;
    server.disk().await;
    has_space(server)?;
    let mut pg = server.pg();
    if pg.process != Process::Off || pg.orphans.is_some() {
        return Err(not_possible("a server runs on the directory"));
    }
    let Some(data) = pg.data_mut() else { return Err(not_possible("there is no data")) };
    let mut wal = server.world.wal.borrow_mut();
    // Recovery ends with a checkpoint of its own, unless there was nothing to recover.
    data.at = wal.append(data.at, 120);
    data.checkpoint_timeline = wal.branch(data.at).timeline;
    data.redo = data.at.lsn;
    data.control = ControlState::ShutDown;
    drop(wal);
    server.world.note(server.node, "was recovered alone", [0, 0]);
    Ok(())
}

fn program_failed(said: &str) -> ServerError {
    let (program, status) = ("pg_rewind".to_owned(), "exit status: 1".to_owned());
    ServerError::Program { program, status, stderr: said.to_owned() }
}

pub async fn rewind(server: &SimServer, source: &Upstream) -> Result<(), ServerError> {
    server.disk().await;
    if server.pg().process != Process::Off {
        return Err(not_possible("a server runs on the directory"));
    }
    let theirs = source_of(server, source)?;
    let (mine, repeated) = match &server.pg().content {
        Content::Whole(data) => (data.clone(), false),
        Content::Partial(_, Some(data)) => (data.clone(), true),
        Content::Empty | Content::Partial(_, None) => return Err(not_possible("there is no data")),
    };
    if mine.system != theirs.system {
        return Err(not_possible("source and target are of different systems"));
    }
    // It goes by the control files: a source that has not written a checkpoint on its new timeline
    // looks as if it had never left the old one.
    if mine.checkpoint_timeline == theirs.checkpoint_timeline && !repeated {
        server.world.note(server.node, "no rewind required", [0, 0]);
        return Ok(());
    }
    let forked = server.world.wal.borrow().common(mine.at, theirs.at);
    if forked.is_some_and(|lsn| lsn < mine.oldest || lsn < theirs.oldest) {
        server.world.sometimes(Sometimes::RewindWithoutLog);
        return Err(program_failed("could not find previous WAL record"));
    }
    invariants::destroys(&server.world, server.node, Deed::Rewind);
    server.pg().content = Content::Partial("a rewind", Some(mine));
    let takes = server.world.rng.millis(100, 600) + server.pg().slow;
    let theirs = transfer(server, source, takes).await?;
    if server.pg().breaks_rewinds {
        server.world.note(server.node, "its rewind breaks off", [0, 0]);
        return Err(program_failed("could not write file"));
    }
    server.world.note(server.node, "was rewound", [0, 0]);
    server.world.sometimes(Sometimes::Rewound);
    if repeated {
        server.world.sometimes(Sometimes::RewindRepeated);
    }
    server.pg().content = Content::Whole(Data {
        control: ControlState::InRecovery,
        upstream: None,
        slots: Default::default(),
        ..theirs
    });
    Ok(())
}

pub async fn set_aside(server: &SimServer) -> Result<String, ServerError> {
    server.disk().await;
    if server.pg().process != Process::Off {
        return Err(not_possible("a server runs on the directory"));
    }
    invariants::destroys(&server.world, server.node, Deed::SetAside);
    server.world.note(server.node, "its data is set aside", [0, 0]);
    server.world.sometimes(Sometimes::SetAside);
    server.pg().content = Content::Empty;
    Ok("aside".to_owned())
}

pub fn has_log(
    server: &SimServer,
    upstream: &Upstream,
    from: WalPosition,
) -> Result<bool, ServerError> {
    let has = source_of(server, upstream)?.oldest <= from.lsn;
    if !has {
        server.world.sometimes(Sometimes::LogWasGone);
    }
    Ok(has)
}

pub fn begin_stop(server: &SimServer, mode: StopMode) {
    let now = server.world.now();
    let process = server.pg().process;
    if mode == StopMode::Immediate {
        // Needs the disk before it does anything to anybody.
        if !server.pg().stalled && server.pg().stopped.is_none() {
            kill_everything(&server.world, server.node);
        }
        return;
    }
    let was_primary = match process {
        Process::Off | Process::Stopping { .. } => return,
        Process::Primary { .. } => true,
        Process::Starting { as_primary, .. } => {
            // It ends when recovery does; as if it had been killed, but in order.
            if as_primary {
                kill_everything(&server.world, server.node);
                return;
            }
            false
        }
        Process::Standby => false,
    };
    let slow = server.pg().slow;
    let not_before = now + server.world.rng.millis(10, 120) + slow;
    let patience = server.world.plan.ttl * 3 / 2;
    let mut pg = server.pg();
    pg.promoted_at = None;
    pg.process = Process::Stopping {
        not_before,
        give_up_at: not_before + patience,
        was_primary,
        checkpointed: false,
    };
    drop(pg);
    server.world.note(
        server.node,
        "is told to stop, was a primary: {}",
        [u64::from(was_primary), 0],
    );
}
