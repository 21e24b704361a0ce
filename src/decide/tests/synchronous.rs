//! Synchronous mode: what goes first, who is waited for, and who may stand.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::cluster::{State, SyncNames, SyncState, Versioned};
use crate::config::SynchronousMode;
use crate::decide::SyncChange;
use crate::values::{Lsn, MemberName};

impl View {
    fn mode(mut self, mode: SynchronousMode) -> Self {
        Arc::make_mut(&mut self.settings).dynamic.synchronous_mode = mode;
        self
    }

    fn strict(mut self) -> Self {
        Arc::make_mut(&mut self.settings).dynamic.synchronous_mode_strict = true;
        self
    }

    pub(super) fn recorded(mut self, leader: &str, standbys: &str, need: u32) -> Self {
        let mut cluster = self.cluster().into_owned();
        let standbys = standbys.chars().map(|one| one.to_string().into()).collect();
        let value = SyncState { leader: Some(leader.into()), standbys, quorum: need - 1 };
        cluster.sync = Some(Versioned { value, revision: Revision(40) });
        self.cluster = Some(Arc::new(cluster));
        self
    }

    fn tagged(mut self, name: &str, tag: &str, value: serde_json::Value) -> Self {
        let mut cluster = self.cluster().into_owned();
        let member = cluster.members.get_mut(&MemberName::from(name)).unwrap();
        Arc::make_mut(member).tags.insert(tag.to_owned(), value);
        self.cluster = Some(Arc::new(cluster));
        self
    }

    /// These names are in force, and those named have everything.
    fn waiting_for(mut self, names: &SyncNames) -> Self {
        let State::Primary(mut facts) = (*self.server).clone() else { panic!("no primary") };
        facts.sync_names = Some(names.clone());
        self.server = Arc::new(State::Primary(facts));
        self.memory.sync.possible = vec![names.clone()];
        self.memory.sync.in_force_at = Some(Lsn(50));
        self.memory.sync.caught_up = true;
        self
    }
}

fn any(count: usize, of: &str) -> SyncNames {
    let of: BTreeSet<MemberName> = of.chars().map(|one| one.to_string().into()).collect();
    SyncNames::any_of(count, of)
}

fn leader() -> View {
    view("a").primary(1, 100).leading(after(4_000)).mode(SynchronousMode::On)
}

/// The one change that is made, spelled out.
#[track_caller]
fn change(view: &View) -> SyncChange {
    let effects = decide(view).effects;
    match effects.as_slice() {
        [Effect::Sync(change)] => change.clone(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn sets(view: &View, expected: &SyncNames) {
    match change(view) {
        SyncChange::SetNames { names, .. } => assert_eq!(names, *expected),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn records(view: &View, standbys: &str, need: u32) {
    match change(view) {
        SyncChange::Record { state, .. } => {
            let names: String = state.standbys.iter().map(MemberName::as_str).collect();
            assert_eq!((names.as_str(), state.quorum), (standbys, need - 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_record_is_there_before_anybody_is_waited_for() {
    records(&leader().streaming("b", 100), "", 1);
    let recorded = leader().streaming("b", 100).recorded("a", "", 1);
    sets(&recorded.waiting_for(&SyncNames::Nobody), &any(1, "b"));
}

#[test]
fn a_standby_is_recorded_once_it_has_caught_up() {
    let mut view = leader().streaming("b", 100).recorded("a", "", 1).waiting_for(&any(1, "b"));
    records(&view, "b", 1);
    view.memory.sync.caught_up = false;
    check(&view, "lead: wait until enough synchronous standbys have caught up");
}

#[test]
fn in_quorum_mode_a_newcomer_is_heard_before_it_may_acknowledge() {
    let view = leader().mode(SynchronousMode::Quorum).streaming("b", 100).streaming("c", 100);
    let view = view.recorded("a", "b", 1).waiting_for(&any(1, "b"));
    records(&view, "bc", 2);
    sets(&view.recorded("a", "bc", 2), &any(1, "bc"));
}

#[test]
fn the_last_standby_is_missed_for_a_moment_and_then_only_the_leader_may_lead() {
    let mut view = leader().recorded("a", "b", 1).waiting_for(&any(1, "b"));
    view.memory.sync.lonely_since = Some(view.now);
    check(&view, "lead: wait a moment for the lost synchronous standbys");
    view.memory.sync.lonely_since = Some(view.now - Duration::from_secs(2));
    records(&view, "", 1);
    sets(&view.recorded("a", "", 1), &SyncNames::Nobody);
}

#[test]
fn in_strict_mode_nothing_lets_waiting_writes_go() {
    let mut view = leader().strict().recorded("a", "b", 1).waiting_for(&any(1, "b"));
    view.memory.sync.lonely_since = Some(view.now - Duration::from_secs(60));
    assert_eq!(decide(&view).effects, []);
    let view = leader().strict().recorded("a", "", 1).waiting_for(&SyncNames::Nobody);
    sets(&view, &SyncNames::Closed);
}

#[test]
fn who_may_not_be_waited_for_is_not() {
    let alone = |view: View| view.recorded("a", "", 1).waiting_for(&SyncNames::Nobody);
    let view = alone(leader().streaming("b", 100).tagged("b", "nosync", true.into()));
    check(&view, "lead");
    let twice = alone(leader().streaming("b", 100).streaming("b", 100));
    check(&twice, "lead: two connections with one name are no synchronous standby: b");
    let stranger = alone(leader().streaming("b", 100));
    let mut cluster = stranger.cluster().into_owned();
    cluster.members.clear();
    check(&View { cluster: Some(Arc::new(cluster)), ..stranger }, "lead");
}

#[test]
fn who_goes_under_a_member_s_name_without_its_slot_is_not_waited_for() {
    let label = "a connection that does not hold its member's slot is no synchronous standby: b";
    let label = format!("lead: {label}");
    let stranger = || leader().streaming("b", 100).without_slot("b");
    check(&stranger().recorded("a", "", 1).waiting_for(&SyncNames::Nobody), &label);
    let mut no_slots = stranger().recorded("a", "", 1).waiting_for(&SyncNames::Nobody);
    Arc::make_mut(&mut no_slots.settings).use_slots = false;
    sets(&no_slots, &any(1, "b"));
    // It came when the member was lost: not one more commit is to go by it.
    records(&stranger().recorded("a", "b", 1).waiting_for(&any(1, "b")), "", 1);
    sets(&stranger().recorded("a", "", 1).waiting_for(&any(1, "b")), &SyncNames::Nobody);
}

#[test]
fn in_strict_mode_a_stranger_in_the_place_of_a_member_or_beside_it_closes_the_server() {
    let stranger = || leader().strict().streaming("b", 100).without_slot("b");
    for view in [stranger(), stranger().streaming("b", 100)] {
        records(&view.recorded("a", "b", 1).waiting_for(&any(1, "b")), "", 1);
    }
    for view in [stranger(), stranger().streaming("b", 100)] {
        sets(&view.recorded("a", "", 1).waiting_for(&any(1, "b")), &SyncNames::Closed);
    }
    let closed = stranger().recorded("a", "", 1).waiting_for(&SyncNames::Closed);
    assert_eq!(decide(&closed).effects, []);
}

#[test]
fn a_higher_priority_goes_before_who_is_waited_for_already() {
    let view =
        leader().streaming("b", 100).streaming("c", 90).tagged("c", "sync_priority", 5.into());
    let view = view.recorded("a", "", 1).waiting_for(&any(1, "b"));
    sets(&view, &any(1, "c"));
}

/// Compared with the best of the standbys; the only one there is with the leader.
#[test]
fn who_lags_by_more_than_it_may_is_not_waited_for() {
    let at_most = |mut view: View, most| {
        Arc::make_mut(&mut view.settings).dynamic.maximum_lag_on_syncnode = most;
        view
    };
    let both = |most| {
        let view = leader().streaming("b", 40).streaming("c", 90).recorded("a", "", 1);
        at_most(view.waiting_for(&any(1, "b")), most)
    };
    sets(&both(Some(49)), &any(1, "c"));
    check(&both(Some(50)), "lead: record who has every acknowledged commit");
    check(&both(None), "lead: record who has every acknowledged commit");
    let alone = |most| {
        let view = leader().streaming("b", 40).recorded("a", "", 1);
        at_most(view.waiting_for(&SyncNames::Nobody), Some(most))
    };
    assert_eq!(decide(&alone(59)).effects, [], "the leader is at 100");
    sets(&alone(60), &any(1, "b"));
}

#[test]
fn a_write_that_may_still_come_is_shut_out_first() {
    let mut view = leader().streaming("b", 100).recorded("a", "", 1).waiting_for(&any(1, "b"));
    view.memory.sync_write = Some(Revision(40));
    check(&view, "lead: write the record of synchronous standbys again");
    records(&view, "", 1);
}

#[test]
fn names_of_somebody_elses_leave_the_lead_to_the_leader() {
    let mut view = leader().streaming("b", 100).recorded("a", "b", 1);
    let State::Primary(mut facts) = (*view.server).clone() else { panic!("a primary") };
    facts.sync_names = None;
    view.server = Arc::new(State::Primary(facts));
    records(&view, "", 1);
}

#[test]
fn switched_off_the_record_goes_before_the_names() {
    let view = leader().mode(SynchronousMode::Off).recorded("a", "b", 1).waiting_for(&any(1, "b"));
    let effects = check(&view, "lead: synchronous mode was switched off");
    assert_eq!(
        effects,
        [Effect::Sync(SyncChange::Forget(Revision(40))), Effect::Sync(SyncChange::LeaveNames),]
    );
}

#[test]
fn a_server_that_went_down_comes_back_closed() {
    let view = view("a").down(ControlState::InProduction, 1, 90).leading(after(4_000));
    let effects = check(&view.mode(SynchronousMode::On), "restart in place: the server crashed");
    assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Standby(None), .. }));
}

#[test]
fn only_who_is_proven_to_have_everything_takes_the_seat() {
    let race = |votes: &[(&str, u32, u64)]| {
        let view = view("b").standby(1, 100).baton(BatonState::Held, "a").recorded("a", "bc", 2);
        view.seat(Seat::Vacant(Vacancy::Silent)).ballot(votes)
    };
    let decision = decide(&race(&[("b", 1, 100)]));
    let why = "no candidate is fit: b may lack acknowledged commits: 2 of b, c had to answer, 1 did, \
               and the last leader a did not";
    assert_eq!(decision.reason.to_string(), why);
    let effects = check(
        &race(&[("b", 1, 100), ("c", 1, 90)]),
        "take the lead: won the race: term 4, votes of b, c",
    );
    assert!(matches!(effects[0], Effect::TakeBaton { .. }));
    let Effect::Sync(SyncChange::Record { state, over, .. }) = &effects[1] else {
        panic!("{effects:?}")
    };
    assert_eq!((state.quorum, *over), (1, Revision(40)));
    assert_eq!(state.standbys, ["a".into(), "c".into()]);
    let Effect::Sync(SyncChange::SetNames { names, .. }) = &effects[2] else {
        panic!("{effects:?}")
    };
    assert_eq!(*names, any(1, "ac"));
    let promotes = effects.iter().position(|effect| *effect == Effect::Promote);
    assert!(promotes > Some(2));
}

#[test]
fn what_only_a_voter_has_that_may_not_lead_is_fetched_from_it() {
    let race = |votes: &[(&str, u32, u64)]| {
        let view = view("b").standby(1, 90).baton(BatonState::Held, "a").recorded("a", "c", 1);
        let view = view.member("c", Role::Replica).seat(Seat::Vacant(Vacancy::Silent));
        view.ballot(votes).may_not_lead("c")
    };
    let effects = check(
        &race(&[("b", 1, 90), ("c", 1, 100)]),
        "fetch the acknowledged commits that no candidate has: up to 0/64 from c",
    );
    let Effect::FetchLog(fetch) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((fetch.from.name.as_str(), fetch.upto.lsn), ("c", Lsn(100)));
    assert!(matches!(effects[1], Effect::CollectVotes { .. }), "then it is asked anew");
    let effects = check(
        &race(&[("b", 1, 100), ("c", 1, 100)]),
        "take the lead: won the race: term 4, votes of b, c",
    );
    assert!(matches!(effects[0], Effect::TakeBaton { .. }));
    let unheard = decide(&race(&[("b", 1, 90)]));
    assert_eq!(unheard.reason.label, "no candidate is fit");
}

#[test]
fn a_restarted_leader_waits_for_the_record_it_wrote_itself() {
    let mut view = view("a").standby(1, 100).leading(after(4_000)).recorded("a", "", 1);
    check(&view, "promote: the lease is held");
    view.memory.wrote = Revision(view.cluster().revision.0 + 1);
    assert_eq!(check(&view, "promote: wait for what was just written"), []);
}

#[test]
fn without_synchronous_mode_a_new_leader_waits_for_nobody_it_once_named() {
    let view = view("a").standby(1, 100).leading(after(4_000));
    let effects = check(&view, "promote: the lease is held");
    assert_eq!(effects[0], Effect::Sync(SyncChange::LeaveNames));
}

#[test]
fn of_two_that_are_as_far_the_synchronous_standby_takes_over() {
    let race = |votes| {
        view("c")
            .standby(1, 100)
            .baton(BatonState::Held, "a")
            .seat(Seat::Vacant(Vacancy::Silent))
            .ballot(votes)
            .recorded("a", "c", 1)
    };
    let expected = "take the lead: won the race: term 4, votes of b, c";
    check(&race(&[("b", 1, 100), ("c", 1, 100)]), expected);
    let further = race(&[("b", 1, 110), ("c", 1, 100)]);
    check(&further, "leave it to the better candidate: b");
}

/// Its agent may be upgraded any time, and clients must not be thrown out for that.
#[test]
fn the_next_agent_goes_on_letting_clients_in() {
    let View { server, now, settings, .. } = view("a").primary(1, 100);
    let rules = StandbyRules::of(&settings);
    let mut found = SyncMemory::default();
    found.observe(&server, None, rules, now);
    assert!(!found.admits, "what the store records was not read yet");
    found.recall(Some(7), Some(6));
    assert!(!found.admits, "that was another server");
    found.recall(Some(7), Some(7));
    assert!(found.admits);
    let mut leads = leader().streaming("b", 100).recorded("a", "b", 1).waiting_for(&any(1, "b"));
    leads.memory.sync.admitted = found.admitted;
    assert!(decide(&leads).upkeep.contains(&Effect::RememberAdmitted(7)));
    Arc::make_mut(&mut leads.journal).admitted = Some(7);
    assert!(!decide(&leads).upkeep.contains(&Effect::RememberAdmitted(7)));
}

/// Without a slot of its own a standby can be connected twice, and be counted twice.
#[test]
fn without_slots_commits_wait_for_one() {
    let mut view = leader().streaming("b", 100).streaming("c", 100).recorded("a", "", 1);
    let names = |view: &View| match change(view) {
        SyncChange::SetNames { names, .. } => names,
        other => panic!("{other:?}"),
    };
    Arc::make_mut(&mut view.settings).dynamic.synchronous_node_count = 2;
    assert_eq!(names(&view), any(2, "bc"));
    Arc::make_mut(&mut view.settings).use_slots = false;
    assert_eq!(names(&view), any(1, "b"));
}

/// A walsender releases by the number that it has read. Whoever told these names may have died before all had.
#[test]
fn names_that_were_found_are_told_to_every_walsender_anew() {
    let mut view = leader().streaming("b", 100).streaming("c", 100).recorded("a", "", 1);
    Arc::make_mut(&mut view.settings).dynamic.synchronous_node_count = 2;
    let raises = |view: &View| match change(view) {
        SyncChange::SetNames { names, raises_count, .. } if names == any(2, "bc") => raises_count,
        other => panic!("{other:?}"),
    };
    let mut found = view.waiting_for(&any(2, "bc"));
    found.memory.sync = Default::default();
    assert!(raises(&found), "of an earlier agent");
    let mut half_told = found;
    half_told.memory.sync.possible = vec![any(2, "bc")];
    assert!(!raises(&half_told), "this agent's own, which were in force once");
}
