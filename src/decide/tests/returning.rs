//! Leaders that were killed, stopped or cut off, and come back.

use std::sync::Arc;

use super::*;
use crate::cluster::{State, StopMode};
use crate::values::{Lsn, Timeline, WalPosition};

#[test]
fn a_server_that_was_stopped_for_its_lease_stays_down_until_that_is_renewed() {
    let down = || view("a").down(ControlState::ShutDown, 1, 90);
    let effects = check(&down().leading(after(100)), "stay down: the lease could not be renewed");
    assert_eq!(effects, []);
    check(&down().leading(after(4_000)), "restart in place: the server was stopped");
}

#[test]
fn a_leader_that_was_killed_gets_ready_while_its_lease_runs_out() {
    for state in [ControlState::ShutDown, ControlState::InProduction, ControlState::InRecovery] {
        let effects = check(
            &view("a").down(state, 1, 90).held_by("a"),
            "start as a standby: the lease of this node's earlier agent runs out",
        );
        assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Standby(None), .. }));
    }
}

#[test]
fn a_last_leader_that_is_coming_up_is_waited_for_if_its_log_goes_further() {
    let refusal = Refusal::NotAVoter("the server is down".to_owned());
    let view = view("b")
        .standby(1, 100)
        .baton(BatonState::Held, "a")
        .published(150)
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100)]);
    let coming = view.clone().refused("a", refusal.clone());
    let expected = "wait for the last leader: its log goes further than any here";
    assert_eq!(check(&coming, expected), []);
    let effects =
        check(&view.refused("c", refusal), "take the lead: won the race: term 4, votes of b");
    assert!(!effects.is_empty(), "for others nobody waits");
}

#[test]
fn a_stream_that_has_just_begun_is_waited_for_before_a_switchover() {
    let request = Request {
        leader: Some("a".into()),
        candidate: None,
        scheduled_at: None,
        accepts_loss: false,
    };
    let view = view("a").primary(1, 100).leading(after(4_000)).streaming("b", 0).asked(request);
    let expected = "hand over: wait until it says how far it is: b";
    assert_eq!(check(&view, expected), []);
}

#[test]
fn a_candidate_that_never_confirms_a_position_is_not_waited_for_without_end() {
    let request = Request {
        leader: Some("a".into()),
        candidate: Some("b".into()),
        scheduled_at: None,
        accepts_loss: false,
    };
    let view = view("a").primary(1, 100).leading(after(4_000)).streaming("b", 0).asked(request);
    let waiting = view.clone().request_known_for(4);
    check(&waiting, "hand over: wait until it says how far it is: b");
    let effects = check(
        &view.request_known_for(5),
        "refuse to hand over: b is connected and has not confirmed any position",
    );
    let [Effect::AnswerRequest(outcome)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(!outcome.done && outcome.request == Revision(31));
}

#[test]
fn who_promised_a_later_term_gets_no_log_from_the_leader_by_any_way() {
    let why = "this node has promised a later term: promised term 9, the leader's is 3";
    let standby = view("b").down(ControlState::ShutDownInRecovery, 1, 100).held_by("a");
    assert_eq!(check(&standby.clone().promised(9), &format!("stay down: {why}")), []);
    let effects = check(&standby.promised(3), "start as a standby: of a");
    assert!(matches!(&effects[1], Effect::Start { start_as: StartAs::Standby(Some(_)), .. }));
    let diverged = view("b").down(ControlState::ShutDown, 1, 200).held_by("a").done("a", 3, 2, 100);
    assert_eq!(check(&diverged.promised(9), &format!("stay down: {why}")), []);
    let empty = view("b").empty().held_by("a").promised(9);
    assert_eq!(check(&empty, &format!("wait: {why}")), []);
}

#[test]
fn a_promise_takes_the_log_away_from_a_standby_that_still_gets_it() {
    let view = view("b").standby(1, 100).held_by("a").following("a").promised(4);
    let expected = "wait: this node has promised a later term: promised term 4, the leader's is 3";
    assert_eq!(check(&view, expected), [Effect::Follow(None)]);
}

#[test]
fn a_crashed_primary_that_lets_nobody_in_as_a_standby_is_recovered_alone() {
    let starting = |failed: Option<JobKind>| {
        let view = view("a").starting().seat(Seat::Vacant(Vacancy::Silent));
        let view = view.tried(|ladder| ladder.crashed_as_primary = true);
        failed.map_or(view.clone(), |kind| view.failed(kind, "not finished within 60 s"))
    };
    let expected = "recover the crashed server alone: as a standby it lets nobody in";
    let alone = [Effect::Kill, Effect::RecoverAlone];
    let waiting = starting(Some(JobKind::Start));
    assert_eq!(check(&waiting, "wait: the crashed server recovers, or lets nobody in"), []);
    let mut failed = waiting.clone();
    std::sync::Arc::make_mut(&mut failed.settings).start_within = Duration::ZERO;
    assert_eq!(check(&failed, expected), alone);
    let leads = failed.clone().leading(after(4_000));
    assert_eq!(check(&leads.clone().recorded("a", "b", 1), expected), alone);
    for waits in [
        leads,
        starting(None),
        failed.clone().busy(JobKind::Start),
        failed.tried(|ladder| ladder.crashed_as_primary = false),
    ] {
        assert_eq!(decide(&waits).effects, [], "{:?}", decide(&waits).reason);
    }
}

#[test]
fn a_standby_whose_replay_waits_for_other_settings_is_started_anew() {
    let paused = |why| view("b").standby(1, 100).following("a").held_by("a").paused(why);
    let why = "max_connections is 100, and its log asks for 200";
    let expected = format!("restart: replay is paused for a setting that is too low: {why}");
    let effects = check(&paused(Some(why)), &expected);
    assert!(matches!(effects[..], [Effect::Stop { mode: StopMode::Restart, .. }]));
    assert_eq!(decide(&paused(None)).effects, [], "somebody has paused it");
}

#[test]
fn a_crashed_primary_gets_no_log_of_another_before_it_was_recovered_alone() {
    let down = view("b").down(ControlState::InRecovery, 1, 60).held_by("a").done("a", 3, 2, 100);
    check(&down, "start as a standby: of a");
    let crashed = down.tried(|ladder| ladder.crashed_as_primary = true);
    check(&crashed, "recover the crashed server before it rejoins");
}

/// PostgreSQL goes for the newest timeline that it has a history file of.
#[test]
fn a_timeline_that_the_cluster_has_left_does_not_keep_a_standby_waiting() {
    let knows = |view: View, of: &[u32]| {
        let later: Vec<Timeline> = of.iter().copied().map(Timeline).collect();
        let mut server = (*view.server).clone();
        match &mut server {
            State::Down(control) => control.later = later,
            State::Standby(facts) => facts.later = later,
            _ => panic!("neither down nor a standby"),
        }
        View { server: Arc::new(server), ..view }
    };
    // The history went on from 1 to 3; somebody was on 2.
    let left = |view: View| view.held_by("a").done("a", 3, 3, 100);
    let down = || left(view("b").down(ControlState::ShutDownInRecovery, 1, 90));
    let label = "start as a standby: of a";
    let effects = check(&knows(down(), &[2, 3]), label);
    assert_eq!(effects[1], Effect::LeaveTimelines(vec![Timeline(2)]));
    assert_eq!(check(&knows(down(), &[3]), label).len(), 2, "that is where it is to go");
    assert_eq!(check(&knows(down(), &[4]), label).len(), 2, "the record may not have it yet");
    let stuck = || {
        let view = left(view("b").standby(1, 90)).following("a").cut_off().seen(3);
        view.stuck_for(60, WalPosition { timeline: Timeline(1), lsn: Lsn(90) })
    };
    let label = "restart: the standby waits for a timeline that was left";
    let effects = check(&knows(stuck(), &[2]), label);
    assert_eq!(effects[0], Effect::LeaveTimelines(vec![Timeline(2)]));
    assert!(matches!(effects[1], Effect::Stop { mode: StopMode::Restart, .. }));
    assert_ne!(decide(&knows(stuck(), &[3])).reason.label, label);
}

/// As side work, which no vote waits for; done or not, once.
#[test]
fn what_is_left_is_archived_before_a_former_primary_comes_back_or_is_rewound() {
    for (state, end) in [(ControlState::ShutDown, 90), (ControlState::ShutDownInRecovery, 128)] {
        let mut view = view("b").down(state, 1, end).held_by("a").done("a", 3, 2, 100);
        assert!(!decide(&view).effects.is_empty(), "that was done");
        view.memory.ladder.archived = None;
        let decision = decide(&view);
        assert_eq!(decision.reason.label, "stay down: archive what is left to be archived");
        let [Effect::ArchiveLeft(left)] = &decision.upkeep[..] else { panic!("{decision:?}") };
        assert_eq!((left.before, &left.timelines[..]), (Lsn(end.min(100)), &[Timeline(1)][..]));
        assert_eq!(left.end, WalPosition { timeline: Timeline(1), lsn: Lsn(end) });
        view.upkeep_running = true;
        assert_eq!((decide(&view).effects.len(), decide(&view).upkeep.len()), (0, 0));
    }
}
