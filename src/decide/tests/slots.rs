//! Which slots are made, kept, moved on and dropped.

use std::sync::Arc;

use super::*;
use crate::cluster::{Slot, SlotKind, SlotLog};
use crate::config::{PermanentSlot, SlotMatcher};
use crate::values::Lsn;

/// A leader that streams to `b`, with these slots.
fn leader(slots: &[&str]) -> View {
    let slots = slots.iter().map(|name| Slot::physical(*name)).collect();
    view("a").primary(1, 100).leading(after(4_000)).streaming("b", 100).with_slots(slots)
}

fn permanent_slot(name: &str) -> PermanentSlot {
    PermanentSlot { name: name.to_owned(), logical: None }
}

fn arranged(view: &View) -> (Vec<String>, Vec<String>) {
    let arranged = decide(view).upkeep.into_iter().find_map(|effect| match effect {
        Effect::ArrangeSlots { wanted, unwanted } => Some((wanted, unwanted)),
        _ => None,
    });
    arranged.unwrap_or_default()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_member_that_is_gone_keeps_its_slot_for_a_while() {
    let gone_for = |seconds| leader(&["b", "c"]).member_slot_seen("c", seconds);
    assert_eq!(arranged(&gone_for(1_700)), (names(&[]), names(&[])));
    assert_eq!(arranged(&gone_for(1_801)), (names(&[]), names(&["c"])));
    let status = decide(&gone_for(60)).upkeep.into_iter().find_map(|effect| match effect {
        Effect::WriteStatus { retained, .. } => Some(retained),
        _ => None,
    });
    assert_eq!(status, Some(names(&["c"])), "the next leader is told");
}

#[test]
fn a_slot_that_was_never_known_is_nobodys_to_drop() {
    assert_eq!(arranged(&leader(&["b", "backup"])), (names(&[]), names(&[])));
}

#[test]
fn what_is_to_be_ignored_is_not_dropped() {
    let view = leader(&["b", "c"]).member_slot_seen("c", 9_000);
    let matcher = SlotMatcher { name: Some("c".to_owned()), ..SlotMatcher::default() };
    assert_eq!(arranged(&view.ignoring(matcher)), (names(&[]), names(&[])));
}

#[test]
fn a_permanent_slot_is_made_and_a_lost_one_is_made_again() {
    let view = leader(&["b"]).permanent(permanent_slot("archive"));
    assert_eq!(arranged(&view), (names(&["archive"]), names(&[])));
    let lost = Slot { log: SlotLog::Lost, ..Slot::physical("archive") };
    let view = view.with_slots(vec![Slot::physical("b"), lost]);
    assert_eq!(arranged(&view), (names(&[]), names(&["archive"])));
}

#[test]
fn a_logical_slot_is_made_on_the_leader() {
    let logical = Some(("app".to_owned(), "pgoutput".to_owned()));
    let view = leader(&["b"]).permanent(PermanentSlot { name: "cdc".to_owned(), logical });
    let expected = Effect::MakeLogicalSlot {
        name: "cdc".to_owned(),
        database: "app".to_owned(),
        plugin: "pgoutput".to_owned(),
    };
    assert!(decide(&view).upkeep.contains(&expected));
}

#[test]
fn a_standby_moves_a_permanent_slot_on_but_never_past_what_it_has_replayed() {
    let slot = |at| Slot { restart: Some(Lsn(at)), ..Slot::physical("archive") };
    let standby = |at, there| {
        let view = view("b").standby(1, 100).held_by("a").following("a");
        let view = view.seen(3).permanent(permanent_slot("archive"));
        view.with_slots(vec![Slot::physical("a"), slot(at)]).consumer("archive", there)
    };
    let moved = |view: &View| decide(view).upkeep;
    let to = |lsn| vec![Effect::AdvanceSlots(vec![("archive".to_owned(), Lsn(lsn))])];
    assert_eq!(moved(&standby(50, 80)), to(80));
    assert_eq!(moved(&standby(50, 900)), to(100));
    assert_eq!(moved(&standby(80, 80)), []);
}

/// `b`, that streams from `a`; `c` is a member, too.
fn standby(slots: Vec<Slot>) -> View {
    let view = view("b").standby(1, 90_000_000).held_by("a").following("a").seen(3);
    let view = view.consumer("a", 1_000).consumer("c", 1_000);
    view.member("c", Role::Replica).with_slots(slots)
}

#[test]
fn a_standby_that_may_lead_has_the_slots_it_will_need_then() {
    let mine = || standby(vec![Slot::physical("c"), Slot::physical("mine")]);
    assert_eq!(arranged(&mine()), (names(&["a"]), names(&[])));
    assert_eq!(arranged(&mine().nofailover()), (names(&[]), names(&["c"])));
    let off = mine().member_slots_ttl(0);
    assert_eq!(arranged(&off), (names(&[]), names(&["c"])), "as it was before Patroni 4");
    let gone = || standby(vec![Slot::physical("a"), Slot::physical("c"), Slot::physical("d")]);
    let gone_for = |seconds| arranged(&gone().member_slot_seen("d", seconds));
    assert_eq!(gone_for(1_700), (names(&[]), names(&[])));
    assert_eq!(gone_for(1_801), (names(&[]), names(&["d"])));
    let lost = Slot { log: SlotLog::Lost, ..Slot::physical("c") };
    assert_eq!(arranged(&standby(vec![Slot::physical("a"), lost])).1, names(&["c"]), "made again");
    let untold = view("b").standby(1, 100).held_by("a").following("a").seen(3);
    assert_eq!(arranged(&untold), (names(&[]), names(&[])), "nothing would move it on");
}

#[test]
fn rows_that_a_member_asked_a_former_leader_to_keep_are_let_go() {
    let has = |keeps_rows, is_active| {
        let slot = Slot { keeps_rows, is_active, ..Slot::physical("c") };
        arranged(&standby(vec![Slot::physical("a"), slot]))
    };
    assert_eq!(has(true, false), (names(&[]), names(&["c"])), "it is made again");
    assert_eq!(has(true, true), (names(&[]), names(&[])), "c streams from here");
    assert_eq!(has(false, false), (names(&[]), names(&[])));
    let outside = Slot { keeps_rows: true, ..Slot::physical("outside") };
    let permanent = standby(vec![Slot::physical("a"), Slot::physical("c"), outside]);
    let permanent = permanent.permanent(permanent_slot("outside"));
    assert_eq!(arranged(&permanent), (names(&[]), names(&["outside"])));
}

#[test]
fn a_slot_that_an_agent_here_made_is_known_to_the_next_one() {
    let slots = || vec![Slot::physical("a"), Slot::physical("c"), Slot::physical("gone")];
    assert_eq!(arranged(&standby(slots())), (names(&[]), names(&[])), "somebody's own");
    let made = |seconds| {
        let made = ["a", "c", "gone", "not_there"].map(str::to_owned).into();
        let mut view = standby(slots());
        view.memory.slots.look_back(view.now, &view.server, &made, &[]);
        view.now = view.now + Duration::from_secs(seconds);
        view.memory.slots.look_back(view.now, &view.server, &made, &[]);
        view.memory.slots.observe(view.now, &"b".into(), view.cluster.as_deref());
        let (wanted, unwanted) = arranged(&view.consumer("not_there", 1_000));
        assert_eq!(wanted, names(&[]), "what is not there any more is not made again");
        (wanted, unwanted)
    };
    assert_eq!(made(1_700), (names(&[]), names(&[])), "its member may come back");
    assert_eq!(made(1_801), (names(&[]), names(&["gone"])));
}

#[test]
fn a_standby_that_no_leader_feeds_or_that_has_no_slots_lets_members_slots_go() {
    let mine = || standby(vec![Slot::physical("c"), Slot::physical("mine")]);
    let cut_off = arranged(&mine().cut_off());
    assert_eq!(cut_off, (names(&[]), names(&[])), "it may stream again any moment");
    assert_eq!(arranged(&mine().nostream()), (names(&[]), names(&["c"])));
    let mut without = mine();
    Arc::make_mut(&mut without.settings).use_slots = false;
    assert_eq!(decide(&without).reason.label, "follow with another slot");
    assert_eq!(arranged(&without.following("a")), (names(&[]), names(&["c"])));
}

#[test]
fn a_standby_moves_a_members_slot_on_by_whole_segments() {
    let at = |at| vec![Slot::physical("a"), Slot { restart: Some(Lsn(at)), ..Slot::physical("c") }];
    let moved = |from, there| decide(&standby(at(from)).consumer("c", there)).upkeep;
    let to = |lsn| vec![Effect::AdvanceSlots(vec![("c".to_owned(), Lsn(lsn))])];
    assert_eq!(moved(1_000, 20_000_000), to(20_000_000));
    assert_eq!(moved(1_000, 99_000_000), to(90_000_000), "never past what it has replayed");
    assert_eq!(moved(10_000_000, 20_000_000), [], "that frees nothing");
}

#[test]
fn a_lost_logical_slot_is_not_made_anew() {
    let kind = SlotKind::Logical { database: "app".to_owned(), plugin: "pgoutput".to_owned() };
    let logical = Some(("app".to_owned(), "pgoutput".to_owned()));
    let leader = |slot: Slot| {
        let view = view("a").primary(1, 100).leading(after(4_000));
        let permanent = PermanentSlot { name: "cdc".to_owned(), logical: logical.clone() };
        let view = view.permanent(permanent).with_slots(vec![Slot { log: SlotLog::Lost, ..slot }]);
        let makes = |effect: &Effect| matches!(effect, Effect::MakeLogicalSlot { .. });
        assert!(!decide(&view).upkeep.iter().any(makes));
        arranged(&view)
    };
    assert_eq!(leader(Slot { kind, ..Slot::physical("cdc") }), (names(&[]), names(&[])));
    assert_eq!(leader(Slot::physical("cdc")), (names(&[]), names(&["cdc"])));
}

#[test]
fn a_former_primary_drops_its_logical_slots_but_not_those_that_the_server_syncs() {
    let kind = SlotKind::Logical { database: "app".to_owned(), plugin: "pgoutput".to_owned() };
    let logical = Some(("app".to_owned(), "pgoutput".to_owned()));
    let own = Slot { kind, ..Slot::physical("cdc") };
    let standby = |slot| {
        let view = view("b").standby(1, 100).held_by("a").following("a");
        let permanent = PermanentSlot { name: "cdc".to_owned(), logical: logical.clone() };
        view.permanent(permanent).with_slots(vec![Slot::physical("a"), slot])
    };
    assert_eq!(arranged(&standby(own.clone())), (names(&[]), names(&["cdc"])));
    assert_eq!(arranged(&standby(Slot { is_synced: true, ..own })), (names(&[]), names(&[])));
}
