//! The race for a vacant seat.

use super::*;
use crate::values::{Lsn, Timeline, WalPosition};

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
fn a_voter_that_has_not_heard_of_a_release_is_asked_again_soon() {
    let again_after = |vacancy, round| {
        let view = view("b").standby(1, 100).seat(Seat::Vacant(vacancy)).ballot(&[("b", 1, 100)]);
        let view = view.refused("c", Refusal::HolderIsAlive).round(round);
        let at = decide(&view).look_again_at.expect("a moment");
        (at.since(view.now), view.settings.times)
    };
    let (soon, times) = again_after(Vacancy::Released, 1);
    assert!(soon <= Duration::from_millis(200) && soon < times.renewal_period, "{soon:?}");
    assert_eq!(again_after(Vacancy::Released, 4).0, times.renewal_period);
    assert_eq!(again_after(Vacancy::Silent, 1).0, times.renewal_period);
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

/// Two leaders in a row were promoted and died before they could record it: `b` to timeline 2, then `a` to 3.
fn on_a_burnt_branch() -> View {
    view("b")
        .standby(2, 500)
        .seat(Seat::Vacant(Vacancy::Silent))
        .intended("b", 2, 2)
        .intended("a", 3, 3)
        .ballot(&[("b", 2, 500)])
        .left_behind("b", 1, 100)
        .vacant_for(20)
}

#[test]
fn who_is_on_a_burnt_branch_leads_where_nobody_else_may_and_takes_its_branch_up() {
    let view = on_a_burnt_branch();
    let effects = check(&view, "take the lead: won the race: term 4, votes of b");
    let intent = effects.iter().find_map(|effect| match effect {
        Effect::RecordIntent { known } => Some(&known.value),
        _ => None,
    });
    let found = intent.and_then(|known| known.current()).map(|current| current.timeline);
    assert_eq!(found, Some(Timeline(2)));
    let early = "no candidate is fit: b its timeline 2 is not on the history";
    check(&view.clone().vacant_for(1), early);
    let on_path = view.ballot(&[("b", 2, 500), ("c", 1, 90)]).left_behind("b", 1, 100);
    check(&on_path, "leave it to the better candidate: c");
}

/// That nobody was fit before is no time in which the better one stood still.
#[test]
fn the_better_one_on_a_burnt_branch_goes_first() {
    let view = on_a_burnt_branch().ballot(&[("b", 2, 500), ("c", 2, 501)]);
    let view = view.left_behind("b", 1, 100).left_behind("c", 1, 100);
    let three_leases = view.settings.times.ttl.as_secs() * 3;
    let early = view.clone().vacant_for(three_leases - 1);
    check(&early, "leave it to the better candidate: c");
    check(&view.vacant_for(three_leases), "take the lead: won the race: term 4, votes of b, c");
}

#[test]
fn what_a_burnt_branch_alone_has_counts_for_nothing() {
    let far = |published| {
        let view = on_a_burnt_branch().ballot(&[("b", 2, 3_000_000)]).left_behind("b", 1, 100);
        view.published(published)
    };
    let label = "no candidate is fit: b its timeline 2 is not on the history";
    check(&far(100 + 1_048_577), label);
    check(&far(100 + 1_048_576), "take the lead: won the race: term 4, votes of b");
    // The last leader left at 40, and told how far it came on its own timeline.
    let parted = |told| {
        far(0).changed(|cluster| {
            let lineage = cluster.lineage.as_mut().expect("a record");
            lineage.value.promotions.last_mut().expect("an intent").switched_at = Lsn(40);
            let baton = cluster.baton.as_mut().expect("a baton");
            baton.value.position = Some(WalPosition { timeline: Timeline(3), lsn: Lsn(told) });
        })
    };
    check(&parted(40 + 1_048_577), label);
    check(&parted(40 + 1_048_576), "take the lead: won the race: term 4, votes of b");
    let unproven = on_a_burnt_branch().recorded("a", "c", 1);
    check(&unproven, label);
    let past_the_fork = on_a_burnt_branch()
        .recorded("a", "bc", 2)
        .ballot(&[("b", 2, 500), ("c", 1, 105)])
        .left_behind("b", 1, 100);
    assert_eq!(decide(&past_the_fork).reason.label, "no candidate is fit");
    let proven = on_a_burnt_branch().recorded("a", "b", 1).published(100 + 2_000_000);
    check(&proven, "take the lead: won the race: term 4, votes of b");
}

#[test]
fn a_branch_is_not_taken_up_once_a_later_promotion_was_done() {
    let view = view("b")
        .standby(2, 500)
        .seat(Seat::Vacant(Vacancy::Silent))
        .intended("b", 2, 2)
        .done("a", 3, 3, 120)
        .ballot(&[("b", 2, 500)])
        .left_behind("b", 1, 100)
        .vacant_for(20);
    check(&view, "no candidate is fit: b its timeline 2 is not on the history");
}

#[test]
fn a_seat_that_was_taken_is_given_up_when_the_history_goes_on_without_it() {
    let taken = || view("b").standby(2, 500).leading(after(4_000)).intended("b", 2, 2);
    let gone_on = taken().done("a", 3, 3, 120);
    let label = "give the lead up: the history has gone on without this node's timeline";
    assert_eq!(check(&gone_on, label), [Effect::Release]);
    assert_eq!(check(&gone_on.exposed(), label), [Effect::Kill, Effect::Release]);
    let effects =
        check(&taken().own_history(&[(1, 100)]).intended("a", 3, 3), "promote: the lease is held");
    assert_eq!(effects.last(), Some(&Effect::RecordPromotion));
}
