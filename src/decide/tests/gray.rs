//! Servers that are alive and of no use, and servers that only look so.

use std::sync::Arc;

use super::*;
use crate::cluster::{Finding, Health, State, Trouble, UNFIT};
use crate::config::SynchronousMode;
use crate::values::{Lsn, MemberName, Monotonic};

/// So many seconds before the view's moment.
fn ago(view: &View, seconds: u64) -> Monotonic {
    view.now - Duration::from_secs(seconds)
}

impl View {
    fn health(mut self, change: impl FnOnce(&mut Health, Monotonic)) -> Self {
        let now = self.now;
        change(Arc::make_mut(&mut self.health), now);
        self
    }

    fn silent_disk(self, seconds: u64) -> Self {
        self.health(|health, now| {
            health.disk = Finding::Silent { since: now - Duration::from_secs(seconds) };
        })
    }

    fn silent_commit(self, seconds: u64) -> Self {
        self.health(|health, now| {
            health.commit = Finding::Silent { since: now - Duration::from_secs(seconds) };
        })
    }

    fn silent_connection(self, seconds: u64) -> Self {
        self.health(|health, now| {
            health.connection = Finding::Silent { since: now - Duration::from_secs(seconds) };
        })
    }

    fn idle_postmaster(self, seconds: u64) -> Self {
        self.health(|health, now| {
            health.postmaster_idle_since = Some(now - Duration::from_secs(seconds));
        })
    }

    fn no_answer(mut self, seconds: u64) -> Self {
        self.server = Arc::new(State::Silent);
        self.memory.symptoms.silent_since = Some(ago(&self, seconds));
        self
    }

    fn led_for(mut self, seconds: u64) -> Self {
        self.memory.symptoms.led_since = Some(ago(&self, seconds));
        self
    }

    fn log_at(mut self, lsn: u64, seconds: u64) -> Self {
        self.memory.symptoms.log = Some((Lsn(lsn), ago(&self, seconds)));
        self
    }

    fn stall_timeout(mut self, seconds: u64) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        settings.dynamic.primary_stall_timeout = Duration::from_secs(seconds);
        self
    }

    fn unfit(mut self, name: &str) -> Self {
        let mut cluster = self.cluster().into_owned();
        let member = Arc::make_mut(cluster.members.get_mut(&MemberName::from(name)).unwrap());
        member.other.insert(UNFIT.to_owned(), "its disk does not answer".into());
        self.cluster = Some(Arc::new(cluster));
        self
    }
}

/// A leader for a minute that `b` streams from, whose log has rested for half of that.
fn leader() -> View {
    view("a")
        .primary(1, 100)
        .leading(after(4_000))
        .streaming("b", 100)
        .exposed()
        .led_for(60)
        .log_at(100, 30)
}

/// A node that was frozen while its disk stalled has not heard yet that it answers again.
#[test]
fn what_was_found_before_this_process_stood_still_is_no_sign() {
    let stalled = leader().silent_disk(12).silent_commit(12);
    let looked = |millis| {
        let at = stalled.now - Duration::from_millis(millis);
        stalled.clone().health(|health, _| health.looked_at = Some(at))
    };
    assert_eq!(decide(&looked(1_000)).effects, GIVEN_UP);
    assert_ne!(decide(&looked(3_000)).effects, GIVEN_UP);
}

const GIVEN_UP: [Effect; 2] = [Effect::Kill, Effect::ReleaseUnread];

#[test]
fn a_stalled_disk_under_a_commit_that_hangs_is_handed_over() {
    let view = leader().silent_disk(9).silent_commit(6);
    let expected = "hand over: the disk is stalled: the disk does not answer for 9.0 s, a local \
                    commit for 6.0 s; b is there";
    assert_eq!(check(&view, expected), GIVEN_UP);
    let decision = decide(&view.busy(JobKind::HandOver));
    assert_eq!(decision.effects, GIVEN_UP);
    assert!(decision.interrupt);
}

#[test]
fn one_sign_alone_is_not_acted_on() {
    for view in [
        leader().silent_disk(60),
        leader().silent_commit(60),
        leader().silent_connection(60),
        leader().no_answer(60),
        leader().idle_postmaster(60),
        leader().silent_connection(60).no_answer(60),
        leader().silent_commit(60).no_answer(60),
        leader().silent_disk(7).silent_commit(8),
    ] {
        assert_eq!(decide(&view).effects, [], "{:?}", view.health);
    }
}

#[test]
fn a_log_that_moves_is_a_server_that_works() {
    let view = leader().silent_disk(60).silent_commit(60).log_at(100, 1);
    check(&view, "lead");
}

#[test]
fn waiting_for_a_synchronous_standby_is_no_sign() {
    let view = leader().health(|health, now| {
        health.commit = Finding::Good { asked_at: now, took: Duration::from_millis(1) };
        health.sync_waiting_since = Some(now - Duration::from_secs(60));
    });
    check(&view, "lead");
}

#[test]
fn a_postmaster_that_does_not_run_while_a_connection_waits_is_handed_over() {
    let view = leader().silent_connection(9).idle_postmaster(9);
    let expected = "hand over: the server lets nobody in: a new connection is not answered for 9.0 \
                    s, and the postmaster does not run; b is there";
    assert_eq!(check(&view, expected), GIVEN_UP);
}

#[test]
fn stopped_sessions_are_handed_over_unless_new_ones_write() {
    let stopped = || {
        leader().silent_commit(8).health(|health, now| {
            health.sessions_stopped_since = Some(now - Duration::from_secs(9));
            health.flushed = Some(Lsn(100));
        })
    };
    let signs =
        "a local commit is not answered for 8.0 s, and several processes are stopped for 9.0 s";
    let expected = format!("hand over: the server's sessions are stopped: {signs}; b is there");
    assert_eq!(check(&stopped(), &expected), GIVEN_UP);
    let writes = stopped().health(|health, _| health.flushed = Some(Lsn(900)));
    let effects = check(&writes, &format!("{RESTART_LABEL}: {signs}"));
    assert_eq!(decide(&stopped().log_at(100, 1)).reason.label, RESTART_LABEL);
    assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Primary, .. }));
    let mut waits = writes;
    Arc::make_mut(&mut waits.settings).dynamic.synchronous_mode = SynchronousMode::On;
    let effects = check(&waits, &format!("{RESTART_LABEL}: {signs}"));
    assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Standby(None), .. }));
}

#[test]
fn a_full_disk_is_not_restart_looped() {
    let full = |view: View| {
        view.leading(after(4_000)).led_for(60).unserved_for(0).health(|health, now| {
            (health.space_ran_out_at, health.free_asked_at) = (Some(now), Some(now));
        })
    };
    let down = || full(view("a").down(ControlState::InProduction, 1, 100));
    let expected = "hand over: the disk is full: the server said so and went down; b is there";
    assert_eq!(check(&down().member("b", Role::Replica), expected), GIVEN_UP);
    check(&down(), "restart in place: the server crashed");
    let well = full(view("a").down(ControlState::ShutDown, 1, 100)).member("b", Role::Replica);
    check(&well, "restart in place: the server was stopped");
}

/// As by an agent that was frozen meanwhile.
#[test]
fn words_of_a_full_disk_that_are_heard_late_count_once_the_disk_was_asked() {
    let down = |said_ago, asked_ago, free| {
        let view = view("a").down(ControlState::InProduction, 1, 100).member("b", Role::Replica);
        view.leading(after(4_000)).led_for(60).unserved_for(0).health(|health, now| {
            let ago = |millis| now - Duration::from_millis(millis);
            (health.space_ran_out_at, health.free_asked_at) =
                (Some(ago(said_ago)), Some(ago(asked_ago)));
            health.free_bytes = free;
        })
    };
    let waits = "lead: ask whether the disk is full still";
    assert_eq!(check(&down(10, 500, Some(0)), waits), []);
    assert_eq!(check(&down(10, 500, None), waits), []);
    check(&down(500, 10, Some(1 << 30)), "restart in place: the server crashed");
    let full = "hand over: the disk is full: the server said so and went down; b is there";
    assert_eq!(check(&down(500, 10, Some(1 << 20)), full), GIVEN_UP);
    assert_eq!(check(&down(5_001, 9_000, None), full), GIVEN_UP, "the disk does not tell");
}

#[test]
fn a_crashed_server_without_room_for_a_segment_is_handed_over() {
    let down = |free, asked_ago| {
        view("a")
            .down(ControlState::InProduction, 1, 100)
            .member("b", Role::Replica)
            .leading(after(4_000))
            .led_for(60)
            .unserved_for(0)
            .health(|health, now| {
                (health.free_bytes, health.free_asked_at) = (Some(free), Some(now - asked_ago));
            })
    };
    let lately = Duration::from_secs(1);
    assert_eq!(decide(&down(1 << 20, lately)).effects, GIVEN_UP);
    check(&down(1 << 30, lately), "restart in place: the server crashed");
    let old = down(1 << 20, Duration::from_millis(3_001));
    check(&old, "lead: ask whether the disk is full still");
    assert_eq!(decide(&old.unserved_for(5)).effects, GIVEN_UP, "the disk does not tell");
}

#[test]
fn without_anybody_to_take_over_it_is_said_and_tried_on() {
    let expected = "lead: the disk is stalled, and nobody could take over";
    let alone = || leader().silent_disk(9).silent_commit(6);
    assert_eq!(check(&alone().unfit("b"), expected), []);
    let expected = format!("{expected}: the last change of leader was too recently");
    assert_eq!(check(&alone().led_for(29), &expected), []);
}

#[test]
fn a_last_leader_on_a_bad_disk_is_not_waited_for() {
    let voter = || {
        view("b")
            .standby(1, 90)
            .member("a", Role::Primary)
            .baton(BatonState::Released, "a")
            .seat(Seat::Vacant(Vacancy::Released))
            .published(100)
            .ballot(&[("b", 1, 90)])
    };
    check(&voter(), "wait for the last leader: its log goes further than any here");
    let effects = decide(&voter().unfit("a")).effects;
    assert!(matches!(effects[0], Effect::TakeBaton { .. }), "{effects:?}");
}

#[test]
fn zero_turns_it_off() {
    check(&leader().silent_disk(60).silent_commit(60).stall_timeout(0), "lead");
}

#[test]
fn a_standby_whose_disk_does_not_answer_neither_votes_nor_stands() {
    let standby = || view("b").standby(1, 100).silent_disk(6);
    let vacant = standby().seat(Seat::Vacant(Vacancy::Released));
    check(&vacant, "stand by: this node is not well: its disk does not answer");
    let asked = vacant.promise_asked(4);
    let expected = Refusal::NotAVoter("its disk does not answer".into());
    assert_eq!(decide(&asked).effects, [Effect::RefusePromise(expected)]);
    assert_eq!(unfit(&standby()).as_deref(), Some("its disk does not answer"));
}

#[test]
fn a_standby_that_does_not_replay_says_so_and_one_that_does_not_receive_is_not_held_back() {
    let mut stuck = view("b").standby(1, 100);
    assert_eq!(unfit(&stuck), None);
    stuck.memory.symptoms.stuck = Some((Lsn(90), ago(&stuck, 10)));
    assert_eq!(unfit(&stuck).as_deref(), Some("its replay stands at 0/5A, and log waits"));
    let mut dry = view("b").standby(1, 100);
    dry.memory.symptoms.dry_since = Some(ago(&dry, 10));
    assert_eq!(unfit(&dry), None);
    assert!(not_receiving(&dry).is_some());
}

#[test]
fn a_member_that_is_not_well_is_not_switched_over_to() {
    let asked = Request {
        leader: None,
        candidate: Some("b".into()),
        scheduled_at: None,
        accepts_loss: false,
    };
    let view = leader().unfit("b").asked(asked);
    let expected = "refuse to hand over: b is not well: its disk does not answer";
    check(&view, expected);
}

#[test]
fn a_broken_disk_is_a_dead_one() {
    let view = leader().silent_commit(6).health(|health, now| {
        let trouble = Trouble::Broken("Input/output error".into());
        health.disk = Finding::Bad { since: now - Duration::from_secs(9), trouble };
    });
    assert_eq!(decide(&view).effects, GIVEN_UP);
}
