//! Logical slots that a standby carries along for the day when it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::cluster::{MAJOR_THAT_SYNCS, Slot, SlotKind, SlotLog, StopMode};
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
    view.permanent(slot).with_slots(all.collect())
}

impl View {
    fn carries(mut self) -> Self {
        Arc::make_mut(&mut self.journal).carried.insert("cdc".to_owned());
        self
    }

    /// The leader was asked, and has answered that it keeps what this transaction needs.
    fn kept_from(mut self, xid: u32) -> Self {
        self.memory.carried.observe(&self.me.name, self.cluster.as_deref());
        self.memory.carried.asked(self.now, BTreeMap::from([("cdc".to_owned(), xid)]));
        self
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
    let [Effect::Carry(Carry::Copy { from, names }), Effect::Stop { mode, .. }] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (from.name.as_str(), &names[..], *mode),
        ("a", &["cdc".to_owned()][..], StopMode::Restart)
    );
    let mut again = standby(vec![]);
    again.memory.carried.copies(again.now - Duration::from_secs(59), &["cdc".to_owned()]);
    check(&again, "follow: a");
    again.memory.carried.copies(again.now - Duration::from_secs(60), &["cdc".to_owned()]);
    check(&again, "restart: logical slots of the leader are taken along: cdc");
    check(&standby(vec![]).failed(JobKind::Stop, "the log is not here any more"), "follow: a");
}

#[test]
fn nothing_is_copied_where_it_would_be_of_no_use() {
    let follows = |view: View| check(&view, "follow: a");
    follows(standby(vec![]).nofailover());
    follows(standby(vec![]).changed(|cluster| cluster.slot_positions.clear()));
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
    let mut led_by_another = has(80, 701).kept_from(701).changed(|cluster| {
        cluster.baton.as_mut().unwrap().value.term = Term(9);
    });
    let cluster = led_by_another.cluster.clone();
    led_by_another.memory.carried.observe(&"b".into(), cluster.as_deref());
    assert!(!led_by_another.is_ready(), "another leader may have let rows go");
}

#[test]
fn a_promotion_opens_none_that_is_of_no_use_and_a_leader_has_its_own() {
    let drops = |view: View| {
        decide(&view.seat(Seat::Offered).baton(BatonState::Offered, "b"))
            .effects
            .into_iter()
            .find_map(|effect| match effect {
                Effect::ArrangeSlots { unwanted, .. } => Some(unwanted),
                _ => None,
            })
    };
    let ready = || standby(vec![slot(80, 701)]).carries().kept_from(701);
    assert!(ready().is_ready());
    assert_eq!(drops(ready()), Some(vec![]));
    assert_eq!(drops(standby(vec![slot(80, 701)]).carries()), Some(vec!["cdc".to_owned()]));
    assert_eq!(drops(standby(vec![slot(80, 701)])), Some(vec![]), "it led with that one itself");
    let leader = view("a").primary(1, 100).leading(after(4_000));
    assert!(!decide(&leader).upkeep.contains(&Effect::Carry(Carry::Forget)));
    assert!(decide(&leader.carries()).upkeep.contains(&Effect::Carry(Carry::Forget)));
}
