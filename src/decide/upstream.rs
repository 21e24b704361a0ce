//! Where a standby is to get its log from, and a copy its data.

use crate::cluster::{Cluster, Member, MemberState, ReplicationState, Role, Upstream};
use crate::values::MemberName;

use super::proof;
use super::view::{JobKind, View};

/// The leader as an upstream; `None` while it has not published where its server is.
pub fn of_leader(view: &View) -> Option<Upstream> {
    let cluster = view.cluster.as_ref()?;
    let holder = &cluster.baton.as_ref()?.value.holder;
    let slot = view.settings.use_slots.then(|| view.me.name.slot_name());
    at_member(cluster.members.get(holder)?, slot)
}

/// A member that has promised, as an upstream: it keeps no slot for whoever needs its log only once.
pub fn of_voter(view: &View, name: &MemberName) -> Option<Upstream> {
    at_member(view.cluster.as_ref()?.members.get(name)?, None)
}

fn at_member(member: &Member, slot: Option<String>) -> Option<Upstream> {
    let (host, port) = host_and_port(member.conn_url.as_deref()?)?;
    Some(Upstream { name: member.name.clone(), host, port, slot })
}

/// Whom this node streams from: nobody (`nostream`), the member its tags name while that one streams
/// itself (`replicatefrom`), else the leader.
pub fn to_stream_from(view: &View, leader: Upstream) -> Option<Upstream> {
    if view.me.nostream {
        return None;
    }
    let cluster = view.cluster();
    let wanted = view.me.replicatefrom.as_ref();
    let member = wanted.and_then(|name| between(&cluster, &view.me.name, name));
    Some(member.and_then(|member| at_member(member, leader.slot.clone())).unwrap_or(leader))
}

/// The member from which `name` streams instead of from the leader, while that is possible.
pub fn of_member<'a>(cluster: &'a Cluster, name: &MemberName) -> Option<&'a Member> {
    let member = cluster.members.get(name)?;
    if member.is_fed_from_the_archive() {
        return None;
    }
    between(cluster, name, &member.replicatefrom()?.into())
}

/// A standby that streams, and does so from somebody else than the one it is to feed.
fn between<'a>(cluster: &'a Cluster, fed: &MemberName, feeder: &MemberName) -> Option<&'a Member> {
    let holder = cluster.baton.as_ref().map(|baton| &baton.value.holder);
    let member = cluster.members.get(feeder)?;
    let streams = member.state == MemberState::Running
        && member.role == Role::Replica
        && member.replication_state == Some(ReplicationState::Streaming);
    (streams && feeder != fed && Some(feeder) != holder && !is_fed_by(cluster, feeder, fed))
        .then_some(member)
}

/// Whether the log of `fed` comes from `feeder`, by however many others, as their tags say.
fn is_fed_by(cluster: &Cluster, fed: &MemberName, feeder: &MemberName) -> bool {
    let mut at = fed.clone();
    for _ in 0..cluster.members.len() {
        let next = cluster.member(&at).and_then(Member::replicatefrom);
        match next {
            Some(next) if next == feeder.as_str() => return true,
            Some(next) => at = next.into(),
            None => return false,
        }
    }
    // Round and round: nobody feeds anybody there.
    true
}

/// Whose data is copied: that of a standby tagged `clonefrom`, the one that is furthest; the leader's where
/// there is none, or when copying failed the last time. In synchronous mode always the leader's: another one may
/// lack what the node itself had confirmed before its data was lost, and would vote as if it had it.
pub fn to_copy_from(view: &View, leader: &Upstream) -> Upstream {
    let failed = view.memory.failure.as_ref().is_some_and(|last| last.kind == JobKind::Copy);
    let cluster = view.cluster();
    let timeline = cluster.lineage().current().map(|promotion| promotion.timeline);
    let is_good = |member: &&Member| {
        member.is_source_of_copies()
            && member.name != leader.name
            && member.name != view.me.name
            && member.state == MemberState::Running
            && member.role == Role::Replica
            && member.timeline == timeline
            && member.unfit().is_none()
    };
    let only_leader = failed || proof::record(view).is_some();
    let candidates = cluster.each_member().filter(is_good).filter(|_| !only_leader);
    let best = candidates.max_by_key(|member| member.replay_lsn);
    // The slot is the leader's to make; a backup brings its own log.
    best.and_then(|member| at_member(member, None)).unwrap_or_else(|| leader.clone())
}

/// Whether a leader says that it runs as a primary, and is not this node itself.
pub fn serves(view: &View, leader: &Upstream) -> bool {
    let runs =
        view.cluster().members.get(&leader.name).is_some_and(|member| {
            member.state == MemberState::Running && member.role == Role::Primary
        });
    runs && leader.name != view.me.name
}

/// `host:port`, as a standby's facts name its upstream.
pub fn address(upstream: &Upstream) -> String {
    format!("{}:{}", upstream.host, upstream.port)
}

/// The host and port of a `postgres://host:port/database` URL; brackets of an IPv6 host are dropped.
pub fn host_and_port(url: &str) -> Option<(String, u16)> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 5432),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_url_gives_host_and_port() {
        for (url, expected) in [
            ("postgres://10.1.0.7:5433/postgres", Some(("10.1.0.7", 5433))),
            ("postgres://db-a/postgres", Some(("db-a", 5432))),
            ("postgres://[::1]:5434/postgres", Some(("::1", 5434))),
            ("postgres://[::1]/postgres", Some(("::1", 5432))),
            ("postgres://:5432/", None),
            ("nonsense", None),
            ("postgres://a:notaport/", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }
}
