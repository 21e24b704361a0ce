//! The names of the keys below a cluster's prefix, Patroni's and our own. What is in them is told by
//! `codec`.

use crate::values::MemberName;

/// The name of the member that leads (Patroni's lock; here for display).
pub const LEADER: &str = "leader";
/// Empty while the cluster is being bootstrapped, then the data's system identifier.
pub const INITIALIZE: &str = "initialize";
/// The dynamic configuration.
pub const CONFIG: &str = "config";
/// The leader's last published position.
pub const STATUS: &str = "status";
/// The same, where members older than Patroni 2.1 are about. Read only where `status` is missing.
pub const OPTIME_LEADER: &str = "optime/leader";
/// The state of synchronous replication.
pub const SYNC: &str = "sync";
/// A switchover or failover that was asked for.
pub const FAILOVER: &str = "failover";
/// The finished timelines, for people.
pub const HISTORY: &str = "history";
/// Who is asked while the store is away.
pub const FAILSAFE: &str = "failsafe";
/// Ours: the lease.
pub const BATON: &str = "baton";
/// Ours: what every leader's write is compared with.
pub const GUARD: &str = "baton_guard";
/// Ours: which start of which agent has claimed the bootstrap, for as long as it has.
pub const CLAIM: &str = "claim";
/// Ours: the recorded promotions.
pub const LINEAGE: &str = "lineage";
/// Ours: up to which term a person has accepted a store that went back.
pub const RECOVERED: &str = "recovered";
/// Ours: what became of the last request.
pub const OUTCOME: &str = "outcome";

const LOSSES: &str = "losses/";
const MEMBERS: &str = "members/";
const AGENTS: &str = "agents/";

/// The key of a member's record.
pub fn member(name: &MemberName) -> String {
    format!("{MEMBERS}{name}")
}

/// The key in which an agent of ours says which start of it is alive and what it promised.
pub fn agent(name: &MemberName) -> String {
    format!("{AGENTS}{name}")
}

/// The key in which a member says what it gave up of its own log when it came back.
pub fn losses(name: &MemberName) -> String {
    format!("{LOSSES}{name}")
}

/// Which key a name below the prefix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// [`LEADER`].
    Leader,
    /// [`INITIALIZE`].
    Initialize,
    /// [`CONFIG`].
    Config,
    /// [`STATUS`].
    Status,
    /// [`OPTIME_LEADER`].
    OptimeLeader,
    /// [`SYNC`].
    Sync,
    /// [`FAILOVER`].
    Failover,
    /// [`HISTORY`].
    History,
    /// [`FAILSAFE`].
    Failsafe,
    /// [`BATON`].
    Baton,
    /// [`GUARD`].
    Guard,
    /// [`CLAIM`].
    Claim,
    /// [`LINEAGE`].
    Lineage,
    /// [`RECOVERED`].
    Recovered,
    /// [`OUTCOME`].
    Outcome,
    /// The record of the member of this name.
    Member(&'a str),
    /// The presence of the agent of this name.
    Agent(&'a str),
    /// What the member of this name gave up.
    Losses(&'a str),
    /// Nobody's here: left alone.
    Foreign,
}

impl<'a> Key<'a> {
    /// Tells which key a name, relative to the prefix, is.
    pub fn of(relative: &'a str) -> Key<'a> {
        match relative {
            LEADER => Key::Leader,
            INITIALIZE => Key::Initialize,
            CONFIG => Key::Config,
            STATUS => Key::Status,
            OPTIME_LEADER => Key::OptimeLeader,
            SYNC => Key::Sync,
            FAILOVER => Key::Failover,
            HISTORY => Key::History,
            FAILSAFE => Key::Failsafe,
            BATON => Key::Baton,
            GUARD => Key::Guard,
            CLAIM => Key::Claim,
            LINEAGE => Key::Lineage,
            RECOVERED => Key::Recovered,
            OUTCOME => Key::Outcome,
            other => of_a_member(other).unwrap_or(Key::Foreign),
        }
    }
}

fn of_a_member(relative: &str) -> Option<Key<'_>> {
    // An entry with a deeper path is not a member: others keep such keys there.
    let name = |name: &&str| !name.is_empty() && !name.contains('/');
    if let Some(member) = relative.strip_prefix(MEMBERS).filter(name) {
        return Some(Key::Member(member));
    }
    if let Some(member) = relative.strip_prefix(LOSSES).filter(name) {
        return Some(Key::Losses(member));
    }
    relative.strip_prefix(AGENTS).filter(name).map(Key::Agent)
}

/// The prefix of a cluster's keys, with one slash at each end: `/<namespace>/<scope>/`. Repeated
/// slashes count as one, and slashes at the ends do not count.
pub fn prefix(namespace: &str, scope: &str) -> String {
    let parts = namespace.split('/').chain(scope.split('/')).filter(|part| !part.is_empty());
    let mut prefix = String::from("/");
    for part in parts {
        prefix.push_str(part);
        prefix.push('/');
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_and_between_the_parts_of_a_prefix_do_not_count() {
        for (namespace, scope) in
            [("service", "shop"), ("/service/", "shop"), ("//service", "/shop/")]
        {
            assert_eq!(prefix(namespace, scope), "/service/shop/");
        }
        assert_eq!(prefix("/a//b", "shop"), "/a/b/shop/");
        assert_eq!(prefix("/", "shop"), "/shop/");
    }

    #[test]
    fn a_deeper_path_is_not_a_member() {
        assert_eq!(Key::of("members/pg-a"), Key::Member("pg-a"));
        assert_eq!(Key::of("agents/pg-a"), Key::Agent("pg-a"));
        for foreign in ["members/", "members/a/b", "agents/a/b", "members", "Leader", "", "x"] {
            assert_eq!(Key::of(foreign), Key::Foreign, "{foreign}");
        }
        assert_eq!(Key::of(&member(&"pg-a".into())), Key::Member("pg-a"));
        assert_eq!(Key::of(&agent(&"pg-a".into())), Key::Agent("pg-a"));
        assert_eq!(Key::of(&losses(&"pg-a".into())), Key::Losses("pg-a"));
    }
}
