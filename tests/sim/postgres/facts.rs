//! What a look at a server finds.

use pgbaton::cluster::{
    Control, ControlState, Downstream, Look, PrimaryFacts, Receiver, Slot, StandbyFacts, State,
};

use super::{Content, Data, Process};
use crate::world::World;

/// One look.
pub fn look(world: &World, node: usize) -> Look {
    let state = state(world, node);
    let answers = matches!(&state, State::Primary(_) | State::Standby(_));
    let started_at = world.hosts[node].pg.borrow().started_at.as_micros() as i64;
    let started_at_micros = answers.then_some(started_at);
    Look { state, started_at_micros, version: None, pending_restart: Vec::new() }
}

fn state(world: &World, node: usize) -> State {
    let pg = world.hosts[node].pg.borrow();
    let data = match &pg.content {
        Content::Empty => return State::Empty,
        // The control file of a directory that is being made or rewound still reads well.
        Content::Partial(_, Some(data)) => return State::Down(control(world, data)),
        Content::Partial(what, None) => return State::Unusable((*what).to_owned()),
        Content::Whole(data) => data,
    };
    match pg.process {
        Process::Off => State::Down(control(world, data)),
        Process::Starting { .. } => State::Starting,
        Process::Stopping { .. } => State::Stopping,
        Process::Primary { .. } => State::Primary(PrimaryFacts {
            system_id: data.system,
            position: world.wal.borrow().position(data.at),
            checkpoint_timeline: data.checkpoint_timeline,
            ancestors: world.wal.borrow().branch(data.at).ancestors.clone(),
            downstreams: downstreams(world, node),
            slots: slots(data),
            sync_names: Some(pg.sync.names.clone()),
        }),
        Process::Standby => {
            let wal = world.wal.borrow();
            let upstream = data.upstream.as_ref();
            State::Standby(StandbyFacts {
                system_id: data.system,
                major: 17,
                timeline: wal.branch(data.at).timeline,
                received: pg.receiver.received,
                replayed: pg.replayed,
                replayed_at_micros: None,
                replay_paused: false,
                too_small: None,
                receiver: pg.receiver.connected.map(|_| Receiver {
                    streaming: true,
                    latest_end: None,
                    written: None,
                }),
                ancestors: wal.branch(data.at).ancestors.clone(),
                later: Vec::new(),
                upstream: upstream.map(|one| format!("{}:{}", one.host, one.port)),
                slot: upstream.and_then(|one| one.slot.clone()),
                downstreams: Vec::new(),
                slots: slots(data),
            })
        }
    }
}

/// What `pg_controldata` says: the end only where it was stopped cleanly, else a lower bound; the
/// timeline of the last checkpoint, which a promotion does not change at once.
fn control(world: &World, data: &Data) -> Control {
    let wal = world.wal.borrow();
    let clean = matches!(data.control, ControlState::ShutDown | ControlState::ShutDownInRecovery);
    let timeline = match data.control {
        ControlState::InProduction => data.checkpoint_timeline,
        ControlState::ShutDown | ControlState::ShutDownInRecovery | ControlState::InRecovery => {
            wal.branch(data.at).timeline
        }
    };
    let ancestors = &wal.branch(data.at).ancestors;
    let own = ancestors.iter().take_while(|one| one.timeline != timeline);
    Control {
        state: data.control,
        system_id: data.system,
        timeline,
        end: if clean { data.at.lsn } else { data.redo },
        ancestors: own.copied().collect(),
        later: Vec::new(),
        can_rewind: true,
    }
}

fn slots(data: &Data) -> Vec<Slot> {
    let of = |name: &String| Slot { restart: Some(data.redo), ..Slot::physical(name.as_str()) };
    data.slots.iter().map(of).collect()
}

fn downstreams(world: &World, node: usize) -> Vec<Downstream> {
    let mut found = Vec::new();
    for (other, host) in world.hosts.iter().enumerate() {
        if other == node {
            continue;
        }
        let pg = host.pg.borrow();
        let Some(data) = pg.data().filter(|_| pg.receiver.connected == Some(node)) else {
            continue;
        };
        found.push(Downstream {
            name: host.name.as_str().to_owned(),
            user: "replicator".to_owned(),
            client_address: None,
            state: "streaming".to_owned(),
            flushed: data.at.lsn,
            replayed: pg.replayed,
            sync_state: "async".to_owned(),
            sync_priority: 0,
            slot: data.upstream.as_ref().and_then(|one| one.slot.clone()),
        });
    }
    found
}
