//! Rules of the table, row by row, through one helper.

mod accepted_loss;
mod bootstrap;
mod carried;
mod election;
mod failsafe;
mod fixtures;
mod gray;
mod ladder;
mod replaced;
mod returning;
mod slots;
mod synchronous;
mod upstream;

use std::time::Duration;

use super::*;
use crate::cluster::{
    Basis, BatonState, ControlState, Initialize, Refusal, Request, Role, StartAs, StopMode,
};
use crate::config::DivergedData;
use crate::values::{Revision, Term};
use fixtures::{after, view};

#[track_caller]
fn check(view: &View, expected_reason: &str) -> Vec<Effect> {
    let decision = decide(view);
    assert_eq!(decision.reason.to_string(), expected_reason);
    decision.effects
}

#[test]
fn a_silent_store_is_not_a_vacant_seat() {
    let effects = check(
        &view("b").standby(1, 100).seat(Seat::Unknown),
        "hold still: the store did not answer",
    );
    assert!(effects.is_empty());
}

#[test]
fn a_primary_past_its_deadline_is_killed_whatever_it_is_busy_with() {
    let view = view("a").primary(1, 100).leading(after(-1)).busy(JobKind::HandOver);
    let decision = decide(&view);
    assert_eq!(decision.reason.to_string(), "fence: the lease ran out");
    assert_eq!(decision.effects, [Effect::Kill]);
    assert!(decision.interrupt);
}

#[test]
fn a_primary_under_somebody_elses_lease_is_killed() {
    let view = view("a").primary(1, 100).held_by("b");
    assert_eq!(check(&view, "fence: the lease is somebody else's: b"), [Effect::Kill]);
}

#[test]
fn a_primary_without_lease_and_store_is_killed() {
    let view = view("a").primary(1, 100).seat(Seat::Unknown);
    let expected = "fence: no lease, and the store does not answer";
    assert_eq!(check(&view, expected), [Effect::Kill]);
}

#[test]
fn a_server_that_may_be_promoted_any_moment_counts_as_a_primary() {
    let view = view("a").standby(1, 100).exposed().held_by("b");
    assert_eq!(check(&view, "fence: the lease is somebody else's: b"), [Effect::Kill]);
}

#[test]
fn shortly_before_the_deadline_the_server_is_stopped_softly() {
    let view = view("a").primary(1, 100).exposed().leading(after(900));
    let within = Duration::from_millis(900);
    let effects = check(&view, "soft stop: the lease could not be renewed");
    assert_eq!(effects, [Effect::Stop { mode: StopMode::Fast, within }]);
}

#[test]
fn data_of_another_cluster_never_joins() {
    let view = view("b").down(ControlState::ShutDown, 1, 100).foreign_data().held_by("a");
    let decision = decide(&view);
    assert_eq!(decision.reason.label, "refuse: the data is another cluster's");
    assert!(matches!(decision.effects.last(), Some(Effect::Exit(_))));
}

#[test]
fn one_thing_at_a_time() {
    let view = view("b").empty().held_by("a").busy(JobKind::Copy);
    assert_eq!(check(&view, "busy: copying the leader's data"), []);
}

#[test]
fn an_unfinished_copy_is_removed_and_never_started() {
    let view =
        view("b").down(ControlState::InRecovery, 1, 100).held_by("a").unfinished(Unfinished::Copy);
    let effects = check(&view, "remove the copy that was not finished");
    assert_eq!(effects, [Effect::Kill, Effect::RemoveData, Effect::Finish]);
}

#[test]
fn an_unfinished_rewind_is_repeated_and_nothing_else() {
    let view =
        view("b").down(ControlState::ShutDown, 1, 100).held_by("a").unfinished(Unfinished::Rewind);
    let effects = check(&view, "repeat the rewind that broke off");
    assert!(matches!(effects[..2], [Effect::Kill, Effect::Rewind(_)]));
    let vacant = view.seat(Seat::Vacant(Vacancy::Silent));
    assert_eq!(check(&vacant, "stay down: a rewind has to be repeated, with a leader"), []);
}

#[test]
fn a_holder_that_learns_of_a_later_promise_raises_its_term() {
    let view = view("a").primary(1, 100).leading(after(4_000)).promised_by("b", 9);
    let effects = check(&view, "raise the term: a race broke off: to 9");
    assert_eq!(effects, [Effect::RaiseTerm(Term(9))]);
}

#[test]
fn a_standby_follows_nobody_of_an_earlier_term_than_it_promised() {
    let view = view("b").standby(1, 100).held_by("a").promised(4);
    let expected = "wait: this node has promised a later term: promised term 4, the leader's is 3";
    assert_eq!(check(&view, expected), []);
}

#[test]
fn a_standby_follows_once_the_promotion_is_recorded() {
    let view = view("b").standby(1, 100).held_by("a").intended("a", 3, 2);
    assert_eq!(check(&view, "wait: the new leader is being promoted: a"), []);
    let view = fixtures::view("b").standby(1, 100).held_by("a");
    let effects = check(&view, "follow a new leader: a");
    assert!(matches!(&effects[0], Effect::Follow(Some(upstream)) if upstream.name == "a".into()));
}

#[test]
fn a_former_primary_on_the_path_starts_as_a_standby() {
    let view = view("b").down(ControlState::ShutDown, 1, 100).held_by("a").done("a", 3, 2, 100);
    let effects = check(&view, "start the former primary as a standby: of a");
    assert!(matches!(&effects[1], Effect::Start { start_as: StartAs::Standby(Some(_)), .. }));
}

#[test]
fn a_former_primary_past_the_fork_is_rewound_after_the_leaders_checkpoint() {
    let view = view("b").down(ControlState::ShutDown, 1, 101).held_by("a").done("a", 3, 2, 100);
    let waits = view.clone().awaiting_checkpoint("a");
    let expected = "wait for the new leader's checkpoint before rewinding: a";
    assert_eq!(check(&waits, expected), []);
    let expected = "rewind: it is past the point 0/64 where its timeline was left; 1 bytes of log \
                    of its own, up to 0/65";
    let effects = check(&view, expected);
    let begin = effects.iter().position(|e| *e == Effect::Begin(Unfinished::Rewind)).unwrap();
    let rewind = effects.iter().position(|e| matches!(e, Effect::Rewind(_))).unwrap();
    assert!(begin < rewind);
}

#[test]
fn what_cannot_be_rewound_stays_down_untouched() {
    let view = view("b")
        .down(ControlState::ShutDown, 1, 101)
        .held_by("a")
        .done("a", 3, 2, 100)
        .without_rewind()
        .diverged_data(DivergedData::StayDown);
    let expected = "stay down: the data went another way: it is past the point 0/64 where its \
                    timeline was left, and it cannot be rewound: postgresql.use_pg_rewind is off; \
                    set pgbaton.diverged_data to keep to have it set aside and copied anew";
    assert_eq!(check(&view, expected), []);
}

#[test]
fn a_crashed_former_primary_is_recovered_before_it_is_judged() {
    let view = view("b").down(ControlState::InProduction, 1, 90).held_by("a").done("a", 3, 2, 100);
    let effects = check(&view, "recover the crashed server before it rejoins");
    assert_eq!(effects, [Effect::Kill, Effect::RecoverAlone]);
}

#[test]
fn a_crashed_standby_on_a_timeline_that_the_record_lacks_is_started_and_not_recovered() {
    let view = view("b").down(ControlState::InRecovery, 3, 120).held_by("a").done("a", 3, 2, 100);
    check(&view, "start as a standby: of a");
    let view = view.diverged_for(Duration::from_secs(5));
    check(&view, "recover the crashed server before it rejoins");
}

#[test]
fn a_crash_under_the_leader_is_restarted_in_place_after_what_is_left_is_killed() {
    let view = view("a").down(ControlState::InProduction, 1, 90).leading(after(4_000));
    let effects = check(&view, "restart in place: the server crashed");
    assert_eq!(effects[0], Effect::Kill);
    assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Primary, .. }));
}

#[test]
fn primary_start_timeout_zero_hands_over_at_once() {
    let view = view("a")
        .down(ControlState::InProduction, 1, 90)
        .leading(after(4_000))
        .member("b", Role::Replica)
        .primary_start_timeout(0)
        .unserved_for(0);
    let expected =
        "hand over: the server did not come back within primary_start_timeout: b is there";
    assert_eq!(check(&view, expected), [Effect::Kill, Effect::Release]);
}

#[test]
fn with_nobody_else_a_leader_keeps_trying() {
    let view = view("a")
        .down(ControlState::InProduction, 1, 90)
        .leading(after(4_000))
        .primary_start_timeout(0)
        .unserved_for(0);
    check(&view, "restart in place: the server crashed");
}

#[test]
fn a_switchover_stops_before_it_offers() {
    let view = view("a").primary(1, 100).leading(after(4_000)).streaming("b", 100).asked(Request {
        leader: Some("a".into()),
        candidate: Some("b".into()),
        scheduled_at: None,
        accepts_loss: false,
    });
    let effects = check(&view, "hand over: to b, somebody asked for it");
    assert_eq!(effects[0], Effect::Checkpoint);
    assert!(matches!(effects[1], Effect::Stop { mode: StopMode::Fast, .. }));
    assert!(matches!(effects[2], Effect::AwaitReceived { .. }));
    assert!(matches!(effects[3], Effect::Offer { .. }));
}

#[test]
fn a_switchover_that_cannot_be_is_refused_with_the_reason() {
    let ask = |candidate: &str| Request {
        leader: Some("a".into()),
        candidate: Some(candidate.into()),
        scheduled_at: None,
        accepts_loss: false,
    };
    let primary = || view("a").primary(1, 100).leading(after(4_000));
    let unknown = primary().asked(ask("x"));
    check(&unknown, "refuse to hand over: x is not a member of this cluster");
    let down = primary().member("b", Role::Replica).asked(ask("b"));
    check(&down, "refuse to hand over: b is not streaming");
    let behind = view("a").primary(1, 5_000_000).leading(after(4_000));
    let behind = behind.streaming("b", 100).asked(ask("b"));
    let expected = "refuse to hand over: b lags by 4999900 bytes, 1048576 are allowed";
    check(&behind, expected);
}

#[test]
fn an_offered_lead_is_accepted_by_a_standby_only() {
    let view = view("b").standby(1, 100).seat(Seat::Offered).baton(BatonState::Offered, "b");
    let effects = check(&view, "take the lead: it was handed over by name");
    assert_eq!(effects[0], Effect::AcceptOffer);
    let down = fixtures::view("b").down(ControlState::ShutDown, 1, 100).seat(Seat::Offered);
    let expected = "decline the offered lead: the server is not a running standby";
    assert_eq!(check(&down, expected), [Effect::Release]);
}

#[test]
fn a_promise_is_refused_while_the_holder_renews() {
    let asked = |view: View| view.promise_asked(4);
    let fresh = asked(view("b").standby(1, 100).held_by("a"));
    check(&fresh, "refuse to promise: HolderIsAlive");
    let vacant = asked(view("b").standby(1, 100).seat(Seat::Vacant(Vacancy::Silent)));
    assert_eq!(check(&vacant, "promise: term 4"), [Effect::Promise { term: Term(4) }]);
    let later = vacant.promised(5);
    check(&later, "refuse to promise: Promised(Term(5))");
}

/// It cannot give its lease up, as the store does not answer it; but it is asked.
#[test]
fn a_holder_whose_lease_ran_out_does_not_hold_a_race_up_once_its_server_is_closed() {
    let past = || view("a").down(ControlState::ShutDown, 1, 100).leading(after(0)).promise_asked(4);
    check(&past(), "refuse to promise: NotAVoter(\"its own lease ran out\")");
    let open = decide(&past().exposed());
    assert_eq!(open.reason.to_string(), "fence: the lease ran out");
    let ahead = view("a").primary(1, 100).leading(after(4_000)).promise_asked(4);
    check(&ahead, "refuse to promise: HolderIsAlive");
}

#[test]
fn a_lease_that_ran_out_is_given_up_once_the_server_is_closed() {
    let lapsed = || view("b").standby(1, 100).held_by("b").lapsed();
    let effects = check(&lapsed(), "give the lapsed lease up: the server is closed");
    assert_eq!(effects, [Effect::Release]);
    let open = lapsed().exposed();
    assert_eq!(check(&open, "fence: the lease is somebody else's: b"), [Effect::Kill]);
}

#[test]
fn a_shutdown_that_does_not_end_is_killed() {
    let stopping = || view("a").stopping().leading(after(4_000));
    check(&stopping().unserved_for(1), "lead: the server is not accepting writes yet");
    let effects = check(&stopping().unserved_for(5), "kill the server: its shutdown does not end");
    assert_eq!(effects, [Effect::Kill]);
}

#[test]
fn a_holder_is_given_the_ttl_it_renewed_with() {
    let asked = |silent_for| {
        view("b")
            .standby(1, 100)
            .held_by("a")
            .ttl_of_holder(30)
            .silent_for(silent_for)
            .promise_asked(4)
    };
    check(&asked(20), "refuse to promise: HolderIsAlive");
    check(&asked(29), "promise: term 4");
}

#[test]
fn an_agent_that_is_told_to_stop_hands_over_if_it_can() {
    let alone = view("a").primary(1, 100).leading(after(4_000)).stop_asked();
    check(&alone, "stop: the server first");
    let view = view("a").primary(1, 100).leading(after(4_000)).streaming("b", 100).stop_asked();
    check(&view, "hand over: to b, this agent was told to stop");
    let down =
        fixtures::view("a").down(ControlState::ShutDown, 1, 100).leading(after(4_000)).stop_asked();
    assert_eq!(check(&down, "stop: told to"), [Effect::Kill, Effect::Release, Effect::Leave]);
}

#[test]
fn the_same_view_gives_the_same_decision() {
    let view = view("a").primary(1, 100).leading(after(4_000)).streaming("b", 100);
    assert_eq!(decide(&view), decide(&view.clone()));
}
