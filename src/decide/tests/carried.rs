//! Logical slots that a standby carries along for the day when it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::cluster::{MAJOR_THAT_SYNCS, ReplicationState, Role, Slot, SlotKind, SlotLog, StopMode};
use crate::config::PermanentSlot;
use crate::decide::{Carry, carried_along};
use crate::values::Lsn;

fn kind() -> (String, String) {
    ("app".to_owned(), "pgoutput".to_owned())
}

fn slot(confirmed: u64, catalog_xmin: u32) -> Slot {
    let (database, plugin) = kind();
    Slot {
        kind: SlotKind::Logical { database, plugin },
        confirmed: Some(Lsn(confirmed)),
        catalog_xmin: Some(catalog_xmin),
        ..Slot::physical("cdc")
    }
}

/// `b`, which streams from `a` in term 3; the consumer of the permanent logical slot `cdc` is at 80 there.
fn standby(slots: Vec<Slot>) -> View {
    let view = view("b").standby(1, 100).held_by("a").following("a").seen(3).consumer("cdc", 80);
    let slot = PermanentSlot { name: "cdc".to_owned(), logical: Some(kind()) };
    let all = [Slot::physical("a")].into_iter().chain(slots);
    view.permanent(slot).with_slots(all.collect()).observed()
}

impl View {
    fn carries(mut self) -> Self {
        Arc::make_mut(&mut self.journal).carried.insert("cdc".to_owned());
        self
    }

    fn observed(mut self) -> Self {
        let (server, cluster) = (Arc::clone(&self.server), self.cluster.clone());
        self.memory.carried.observe(self.now, &server, &self.me.name, cluster.as_deref());
        self
    }

    /// The leader was asked, and has answered that it keeps what this transaction needs.
    fn kept_from(self, xid: u32) -> Self {
        let mut view = self.observed();
        view.memory.carried.asked(view.now, BTreeMap::from([("cdc".to_owned(), xid)]));
        view
    }

    fn is_ready(&self) -> bool {
        let State::Standby(facts) = &*self.server else { panic!("a standby") };
        carried_along(self, facts).eq(["cdc".to_owned()])
    }
}

fn asks(view: &View) -> bool {
    decide(view)
        .upkeep
        .iter()
        .any(|effect| matches!(effect, Effect::Carry(Carry::AskWhatIsKept { .. })))
}

fn moved(view: &View) -> Option<Vec<(String, String, Lsn)>> {
    decide(view).upkeep.into_iter().find_map(|effect| match effect {
        Effect::Carry(Carry::Advance(to)) => Some(to),
        _ => None,
    })
}

#[test]
fn a_slot_that_the_leader_has_is_copied_with_a_restart() {
    let effects =
        check(&standby(vec![]), "restart: logical slots of the leader are taken along: cdc");
    let [Effect::Carry(Carry::Copy { from, slots }), Effect::Stop { mode, .. }] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
    assert_eq!((from.name.as_str(), &names[..], *mode), ("a", &["cdc"][..], StopMode::Restart));
}

#[test]
fn what_was_tried_in_vain_is_tried_again_later_and_later() {
    let mut view = standby(vec![]);
    for pause in [5, 10, 20, 40] {
        view.memory.carried.tries(view.now, &["cdc".to_owned()]);
        view.now = view.now + Duration::from_secs(pause) - Duration::from_millis(1);
        check(&view, "follow: a");
        view.now = view.now + Duration::from_millis(1);
        check(&view, "restart: logical slots of the leader are taken along: cdc");
    }
}

#[test]
fn standbys_are_restarted_for_it_one_after_the_other() {
    let with = |name: &str, streams: bool| {
        let view = standby(vec![]).member(name, Role::Replica);
        view.changed(|cluster| {
            let member = Arc::make_mut(cluster.members.get_mut(&name.into()).expect("a member"));
            member.replication_state = streams.then_some(ReplicationState::Streaming);
        })
    };
    check(&with("c", true), "restart: logical slots of the leader are taken along: cdc");
    check(&with("c", false), "follow: a");
    let mut second = with("aa", true);
    check(&second, "follow: a");
    second.now = second.now + Duration::from_secs(3);
    check(&second, "restart: logical slots of the leader are taken along: cdc");
}

#[test]
fn nothing_is_copied_where_it_would_be_of_no_use() {
    let follows = |view: View| check(&view, "follow: a");
    follows(standby(vec![]).nofailover());
    follows(standby(vec![]).changed(|cluster| cluster.slot_positions.clear()).observed());
    follows(standby(vec![slot(50, 700)]).carries());
    let mut younger = standby(vec![]);
    let State::Standby(mut facts) = (*younger.server).clone() else { panic!("a standby") };
    facts.major = MAJOR_THAT_SYNCS;
    younger.server = Arc::new(State::Standby(facts));
    follows(younger);
    assert_ne!(decide(&standby(vec![]).cut_off()).effects.len(), 2, "the leader may be gone");
}

#[test]
fn it_is_moved_on_to_where_its_consumer_is_but_never_past_what_is_replayed() {
    let to = |lsn| Some(vec![("cdc".to_owned(), "app".to_owned(), Lsn(lsn))]);
    assert_eq!(moved(&standby(vec![slot(50, 700)]).carries()), to(80));
    assert_eq!(moved(&standby(vec![slot(50, 700)]).carries().consumer("cdc", 900)), to(100));
    assert_eq!(moved(&standby(vec![slot(80, 700)]).carries()), None);
    let used = Slot { is_active: true, ..slot(50, 700) };
    assert_eq!(moved(&standby(vec![used]).carries()), None);
}

#[test]
fn one_that_this_node_led_with_is_dropped_and_copied_anew() {
    let unwanted = |view: View| {
        decide(&view).upkeep.into_iter().find_map(|effect| match effect {
            Effect::ArrangeSlots { unwanted, .. } => Some(unwanted),
            _ => None,
        })
    };
    assert_eq!(unwanted(standby(vec![slot(50, 700)])), Some(vec!["cdc".to_owned()]));
    assert_eq!(unwanted(standby(vec![slot(50, 700)]).carries()), None);
    let lost = Slot { log: SlotLog::Lost, ..slot(50, 700) };
    assert_eq!(unwanted(standby(vec![lost]).carries()), Some(vec!["cdc".to_owned()]));
    let another = SlotKind::Logical { database: "app".into(), plugin: "test_decoding".into() };
    let another = Slot { kind: another, ..slot(50, 700) };
    assert_eq!(unwanted(standby(vec![another]).carries()), Some(vec!["cdc".to_owned()]));
}

#[test]
fn it_is_of_use_once_nothing_that_it_needs_can_be_gone() {
    let has = |confirmed, xid| standby(vec![slot(confirmed, xid)]).carries();
    assert!(!has(80, 700).is_ready() && asks(&has(80, 700)), "the leader was not asked yet");
    assert!(!has(80, 700).kept_from(701).is_ready(), "rows may be gone that it needs");
    assert!(has(80, 701).kept_from(701).is_ready());
    assert!(!asks(&has(80, 701).kept_from(701)), "it stays so");
    assert!(!has(101, 701).kept_from(701).is_ready(), "what was confirmed is not here yet");
    assert!(has(80, 5).kept_from(u32::MAX - 5).is_ready(), "the numbers wrap around");
    assert!(!has(80, u32::MAX - 5).kept_from(5).is_ready());
    let led_by_another = has(80, 701).kept_from(701).changed(|cluster| {
        cluster.baton.as_mut().unwrap().value.term = Term(9);
    });
    let led_by_another = led_by_another.observed();
    assert!(!led_by_another.is_ready(), "another leader may have let rows go");
    let mut again = has(80, 701).kept_from(701);
    for streams in [again.clone().cut_off(), again.clone()] {
        let cluster = again.cluster.clone();
        again.memory.carried.observe(again.now, &streams.server, &"b".into(), cluster.as_deref());
    }
    assert!(!again.is_ready(), "it told the leader nothing meanwhile");
}

#[test]
fn a_promotion_opens_none_that_is_of_no_use_and_a_leader_has_its_own() {
    let settles = |view: View| {
        let view = view.seat(Seat::Offered).baton(BatonState::Offered, "b");
        decide(&view).effects.into_iter().find_map(|effect| match effect {
            Effect::Carry(Carry::KeepNoneBut(names)) => Some(names),
            _ => None,
        })
    };
    let ready = || standby(vec![slot(80, 701)]).carries().kept_from(701);
    assert!(ready().is_ready());
    assert_eq!(settles(ready()), Some(vec![]));
    let dropped = Some(vec!["cdc".to_owned()]);
    assert_eq!(settles(standby(vec![slot(80, 701)]).carries()), dropped);
    assert_eq!(settles(standby(vec![slot(80, 701)])), None, "it led with that one itself");
    let drops = |view: &View| {
        decide(view).upkeep.contains(&Effect::Carry(Carry::KeepNoneBut(vec!["cdc".to_owned()])))
    };
    let leader = view("a").primary(1, 100).leading(after(4_000));
    assert!(!drops(&leader) && drops(&leader.carries()), "it could not be dropped then");
}

/// A new one under the same name goes on past what its consumer has missed, and the consumer does not know.
#[test]
fn one_that_is_gone_with_its_leader_is_not_made_anew() {
    let slot = PermanentSlot { name: "cdc".to_owned(), logical: Some(kind()) };
    let leader = || view("a").primary(1, 100).leading(after(4_000)).permanent(slot.clone());
    let makes = |view: &View| {
        let makes = |effect: &Effect| matches!(effect, Effect::MakeLogicalSlot { .. });
        decide(view).upkeep.iter().any(makes)
    };
    assert!(makes(&leader()));
    let gone = leader().consumer("cdc", 80);
    assert!(!makes(&gone));
    let told = decide(&gone).upkeep.into_iter().find_map(|effect| match effect {
        Effect::WriteStatus { slots, .. } => slots.get("cdc").copied(),
        _ => None,
    });
    assert_eq!(told, Some(Lsn(80)), "the next leader knows it, too");
}
