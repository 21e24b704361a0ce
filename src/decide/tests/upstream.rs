//! What the tags `replicatefrom`, `nostream` and `clonefrom` change: from whom a node streams or copies.

use std::sync::Arc;

use super::*;
use crate::cluster::{Cluster, ReplicationState, Role, Slot, Upstream};
use crate::decide::slots;
use crate::values::{Lsn, Timeline, WalPosition};
use serde_json::{Value, json};

impl View {
    pub(super) fn changed(mut self, change: impl FnOnce(&mut Cluster)) -> Self {
        change(Arc::make_mut(self.cluster.as_mut().expect("a cluster")));
        self
    }

    /// One more member that streams, on the cluster's timeline.
    fn streams(self, name: &str) -> Self {
        self.member(name, Role::Replica).changed(|cluster| {
            let member = cluster.members.get_mut(&name.into()).expect("a member");
            let member = Arc::make_mut(member);
            member.replication_state = Some(ReplicationState::Streaming);
            member.timeline = Some(Timeline(1));
        })
    }

    fn with_tags(self, name: &str, tags: Value) -> Self {
        self.changed(|cluster| {
            let member = cluster.members.get_mut(&name.into()).expect("a member");
            Arc::make_mut(member).tags = tags.as_object().expect("tags").clone();
        })
    }

    /// Something failed, and the pause after it is over.
    fn failed_long_ago(mut self, kind: JobKind) -> Self {
        self = self.failed(kind, "it broke");
        self.now = self.now + Duration::from_secs(600);
        let changed_at = self.now;
        self.seat(Seat::Held { changed_at })
    }

    fn replicating_from(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.me).replicatefrom = Some(name.into());
        self
    }
}

fn followed(view: &View) -> Option<Option<String>> {
    let name = |upstream: &Upstream| upstream.name.as_str().to_owned();
    decide(view).effects.iter().find_map(|effect| match effect {
        Effect::Follow(upstream) => Some(upstream.as_ref().map(name)),
        Effect::Start { start_as: StartAs::Standby(upstream), .. } => {
            Some(upstream.as_ref().map(name))
        }
        _ => None,
    })
}

fn copied(view: &View) -> Option<String> {
    decide(view).effects.iter().find_map(|effect| match effect {
        Effect::CopyFrom(upstream) => Some(upstream.name.as_str().to_owned()),
        _ => None,
    })
}

/// `c` stands by, `a` leads, `b` streams from it.
fn behind_b() -> View {
    view("c").held_by("a").streams("b").replicating_from("b").standby(1, 100)
}

#[test]
fn a_standby_streams_from_the_member_that_its_tag_names() {
    check(&behind_b(), "follow a new leader: a, through b");
    assert_eq!(followed(&behind_b()), Some(Some("b".to_owned())));
    check(&behind_b().following("b"), "follow: a, through b");
}

#[test]
fn it_falls_back_to_the_leader_where_that_member_is_of_no_use() {
    let without = view("c").held_by("a").replicating_from("b").standby(1, 100);
    assert_eq!(followed(&without), Some(Some("a".to_owned())), "b is not there");
    let starting = without.clone().member("b", Role::Replica);
    assert_eq!(followed(&starting), Some(Some("a".to_owned())), "b does not stream");
    let leads = view("c").held_by("b").replicating_from("b").standby(1, 100);
    assert_eq!(followed(&leads), Some(Some("b".to_owned())), "b leads");
    let in_a_ring = behind_b().with_tags("b", json!({"replicatefrom": "c"}));
    assert_eq!(followed(&in_a_ring), Some(Some("a".to_owned())), "b streams from c");
    let oneself = view("c").held_by("a").streams("c").replicating_from("c").standby(1, 100);
    assert_eq!(followed(&oneself), Some(Some("a".to_owned())), "c names itself");
}

#[test]
fn a_standby_that_gets_nothing_in_between_goes_to_the_leader() {
    let at = WalPosition { timeline: Timeline(1), lsn: Lsn(100) };
    let stuck = behind_b().following("b").cut_off().stuck_for(30, at);
    check(&stuck, "follow a new leader: a");
}

#[test]
fn who_is_tagged_nostream_streams_from_nobody() {
    let mut fed = view("c").held_by("a").standby(1, 100);
    Arc::make_mut(&mut fed.me).nostream = true;
    check(&fed, "follow: a, from the archive: tagged nostream");
    check(&fed.clone().following("a"), "follow a new leader: a, from the archive: tagged nostream");
    assert_eq!(followed(&fed.following("a")), Some(None));
}

#[test]
fn a_slot_is_where_its_member_streams_from_and_with_the_leader() {
    let tagged = json!({"replicatefrom": "b"});
    let leader = view("a").primary(1, 100).leading(after(4_000)).streams("b").streams("c");
    assert_eq!(slots::member_slots(&leader), ["b", "c"]);
    let leader = leader.with_tags("c", tagged.clone());
    assert_eq!(slots::member_slots(&leader), ["b", "c"], "b may be gone any time");
    assert!(slots::retained(&leader).is_empty(), "c is not gone");
    let leader = leader.with_tags("b", json!({"nostream": true}));
    assert_eq!(slots::member_slots(&leader), ["c"], "b streams from nobody");
    let between = view("b").held_by("a").streams("b").streams("c").with_tags("c", tagged);
    // One that may lead has the others' all the same.
    let between = between.standby(1, 100).following("a").nofailover();
    let made = decide(&between).upkeep.into_iter().find_map(|effect| match effect {
        Effect::ArrangeSlots { wanted, .. } => Some(wanted),
        _ => None,
    });
    assert_eq!(made, Some(vec!["c".to_owned()]));
}

#[test]
fn the_leader_moves_the_slot_of_a_member_on_that_streams_through_another() {
    const SEGMENT: u64 = 16 << 20;
    let moved = |restart: u64, replayed: u64| {
        let slot = Slot { restart: Some(Lsn(restart)), ..Slot::physical("c") };
        let leader = view("a").primary(1, 9 * SEGMENT).leading(after(4_000)).streams("b");
        let leader = leader.streams("c").with_tags("c", json!({"replicatefrom": "b"}));
        let leader = leader.with_slots(vec![Slot::physical("b"), slot]).changed(|cluster| {
            let member = cluster.members.get_mut(&"c".into()).expect("a member");
            Arc::make_mut(member).replay_lsn = Some(Lsn(replayed));
        });
        decide(&leader).upkeep.into_iter().find_map(|effect| match effect {
            Effect::AdvanceSlots(to) => Some(to),
            _ => None,
        })
    };
    assert_eq!(moved(SEGMENT, 3 * SEGMENT), Some(vec![("c".to_owned(), Lsn(3 * SEGMENT))]));
    assert_eq!(moved(SEGMENT, 2 * SEGMENT - 1), None, "no segment would be freed");
    let ahead = Some(vec![("c".to_owned(), Lsn(9 * SEGMENT))]);
    assert_eq!(moved(SEGMENT, 10 * SEGMENT), ahead, "never past what the leader has");
}

#[test]
fn a_copy_is_made_from_a_standby_that_offers_itself() {
    let empty = view("c").held_by("a").streams("b").empty();
    assert_eq!(copied(&empty).as_deref(), Some("a"));
    let offered = empty.with_tags("b", json!({"clonefrom": true}));
    check(&offered, "copy a standby's data: b");
    assert_eq!(copied(&offered).as_deref(), Some("b"));
    assert_eq!(followed(&offered), Some(Some("a".to_owned())), "it streams from the leader");
    let synchronous = offered.clone().recorded("a", "b", 1);
    assert_eq!(
        copied(&synchronous).as_deref(),
        Some("a"),
        "another may lack what it has confirmed"
    );
    let tried = offered.failed_long_ago(JobKind::Copy);
    assert_eq!(copied(&tried).as_deref(), Some("a"), "copying failed");
}
