//! The race for a vacant seat.

use super::*;

#[test]
fn nobody_leads_before_the_votes_are_in() {
    let view = view("b").standby(1, 100).seat(Seat::Vacant(Vacancy::Silent));
    let effects = check(&view, "race: ask the others where they stand: term 4");
    assert_eq!(effects, [Effect::CollectVotes { term: Term(4), baton: Revision(30), word: None }]);
}

#[test]
fn the_best_voter_takes_the_seat_and_records_the_intent_first() {
    let view = view("b")
        .standby(1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100), ("c", 1, 90)]);
    let effects = check(&view, "take the lead: won the race: term 4, votes of b, c");
    assert!(matches!(effects[0], Effect::TakeBaton { term: Term(4), baton: Revision(30), .. }));
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let intent = place(|effect| matches!(effect, Effect::RecordIntent { .. }));
    let promote = place(|effect| matches!(effect, Effect::Promote));
    assert!(intent < promote);
    assert_eq!(effects.last(), Some(&Effect::RecordPromotion));
}

#[test]
fn the_others_leave_it_to_the_best() {
    let view = view("b")
        .standby(1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100), ("c", 1, 101)]);
    assert_eq!(check(&view, "leave it to the better candidate: c"), []);
}

#[test]
fn a_voter_that_sees_the_holder_alive_is_believed_for_a_while() {
    let view = view("b")
        .standby(1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100)])
        .refused("c", Refusal::HolderIsAlive);
    assert_eq!(check(&view, "wait: a member still sees the holder alive: c"), []);
}

#[test]
fn a_silent_voter_gets_a_second_round_but_no_veto() {
    let view = view("b")
        .standby(1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100)])
        .silent("c");
    assert_eq!(check(&view, "ask again: a member did not answer: c"), []);
    let second = view.round(2);
    let effects = check(&second, "take the lead: won the race: term 4, votes of b");
    assert!(!effects.is_empty());
}

#[test]
fn who_lacks_too_much_does_not_lead() {
    let view = view("b")
        .standby(1, 100)
        .published(100 + 2_000_000)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100)]);
    assert_eq!(check(&view, "no candidate is fit: b lacks 2000000 bytes"), []);
}

#[test]
fn a_tagged_node_stands_by() {
    let view = view("b").standby(1, 100).seat(Seat::Vacant(Vacancy::Silent)).nofailover();
    assert_eq!(check(&view, "stand by: this node is tagged nofailover"), []);
}

#[test]
fn a_node_without_the_watchdog_that_it_needs_stands_by_and_says_why() {
    let view = view("b").standby(1, 100).seat(Seat::Vacant(Vacancy::Silent));
    let view = view.barred("the watchdog is required, but /dev/watchdog is no device");
    let reason = "stand by: this node cannot be fenced: the watchdog is required, but /dev/watchdog \
                  is no device";
    assert_eq!(check(&view, reason), []);
}

#[test]
fn after_a_clean_release_the_last_leader_is_waited_for_if_its_log_goes_further() {
    let view = view("b")
        .standby(1, 100)
        .published(150)
        .seat(Seat::Vacant(Vacancy::Released))
        .ballot(&[("b", 1, 100)]);
    let expected = "wait for the last leader: its log goes further than any here";
    assert_eq!(check(&view, expected), []);
}
