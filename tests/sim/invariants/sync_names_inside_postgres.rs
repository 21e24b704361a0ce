//! At every instant, whoever may acknowledge a commit at the primary is heard by whoever may elect its
//! successor: `r + k >= |V u S| + 1`, under every setting that any process of the server still goes by.

use std::collections::BTreeSet;

use pgbaton::cluster::SyncNames;
use pgbaton::values::MemberName;

use super::Check;
use crate::postgres::Process;
use crate::world::World;

pub const NAME: &str = "sync_names_inside_postgres";

pub fn check(world: &World) -> Check {
    let truth = world.truth.borrow();
    let Some(record) = truth.sync.as_ref() else { return Ok(()) };
    let voters: BTreeSet<&MemberName> = record.standbys.iter().collect();
    if voters.is_empty() {
        return Ok(());
    }
    let need = record.quorum as usize + 1;
    for host in &world.hosts {
        let leads =
            truth.is_holder(host.incarnation()) && record.leader.as_ref() == Some(&host.name);
        let pg = host.pg.borrow();
        if !leads || !matches!(pg.process, Process::Primary { .. }) {
            continue;
        }
        if !pg.sync.waits {
            return Err(format!("{} acknowledges alone, and {record:?}", host.name));
        }
        let mut settings: Vec<(usize, BTreeSet<&MemberName>)> = Vec::new();
        if let SyncNames::AnyOf { count, of } = &pg.sync.names {
            settings.push((*count, of.iter().collect()));
        }
        if pg.sync.names == SyncNames::Nobody {
            settings.push((0, BTreeSet::new()));
        }
        let named: BTreeSet<&MemberName> = pg
            .sync
            .senders
            .iter()
            .filter(|(_, sender)| sender.is_named)
            .map(|(to, _)| &world.hosts[*to].name)
            .collect();
        let senders = pg.sync.senders.values().filter(|sender| sender.is_named);
        settings.extend(senders.map(|sender| (sender.count, named.clone())));
        for (count, of) in settings {
            let can = count <= of.len();
            if can && need + count < voters.union(&of).count() + 1 {
                return Err(format!(
                    "{} may be acknowledged by {count} of {of:?}, and {record:?}",
                    host.name
                ));
            }
        }
    }
    Ok(())
}
