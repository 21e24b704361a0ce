//! The first data of a cluster, and the first copies of it.

use super::*;

#[test]
fn only_one_node_bootstraps() {
    let claims = view("a").empty().seat(Seat::Vacant(Vacancy::NeverHeld)).blank_cluster();
    let effects = check(&claims, "bootstrap a new cluster");
    assert_eq!(effects[0], Effect::ClaimInitialize);
    let claimed = claims.initialize(Initialize::Claimed);
    check(&claimed, "wait: another node is bootstrapping the cluster");
}

#[test]
fn a_claim_that_came_late_is_given_up() {
    let claimed = view("a")
        .empty()
        .seat(Seat::Vacant(Vacancy::NeverHeld))
        .blank_cluster()
        .initialize(Initialize::Claimed)
        .claimed_by_me();
    let effects = check(&claimed, "give the claim up: the bootstrap it was for is over");
    assert_eq!(effects, [Effect::DropClaim]);
}

#[test]
fn a_bootstrap_that_was_written_down_after_all_is_kept() {
    let kept = view("a")
        .down(ControlState::InProduction, 1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .unfinished(Unfinished::Bootstrap);
    let effects = check(&kept, "keep the bootstrap: it was written down after all");
    assert_eq!(effects, [Effect::Finish]);
}

#[test]
fn what_an_earlier_claim_may_still_finish_is_not_removed() {
    let open = view("a")
        .down(ControlState::InProduction, 1, 100)
        .seat(Seat::Vacant(Vacancy::Silent))
        .blank_cluster()
        .initialize(Initialize::Claimed)
        .unfinished(Unfinished::Bootstrap);
    check(&open, "wait: an earlier claim to bootstrap may still be finished");
}

#[test]
fn a_bootstrap_is_not_undone_before_the_store_was_read() {
    let mut view = view("b").unfinished(Unfinished::Bootstrap);
    view.cluster = None;
    assert!(check(&view, "wait for the store before undoing the bootstrap").is_empty());
}

#[test]
fn a_bootstrap_that_failed_is_undone_and_ends_the_agent() {
    let view = view("a")
        .empty()
        .seat(Seat::Vacant(Vacancy::NeverHeld))
        .blank_cluster()
        .unfinished(Unfinished::Bootstrap)
        .failed(JobKind::Bootstrap, "post_bootstrap said no");
    let effects = check(&view, "undo the bootstrap that was not finished: post_bootstrap said no");
    assert!(effects.contains(&Effect::RemoveData) && effects.contains(&Effect::DropClaim));
    assert!(matches!(effects.last(), Some(Effect::Exit(_))));
}

#[test]
fn existing_data_is_adopted_where_there_is_no_cluster() {
    let view = view("a")
        .down(ControlState::ShutDown, 1, 100)
        .seat(Seat::Vacant(Vacancy::NeverHeld))
        .blank_cluster();
    let effects = check(&view, "adopt the existing data as the cluster's first");
    assert!(!effects.contains(&Effect::InitializeData) && !effects.contains(&Effect::RemoveData));
}

#[test]
fn after_a_full_restart_everybody_comes_up_as_a_standby() {
    for state in [ControlState::ShutDown, ControlState::InProduction, ControlState::InRecovery] {
        let view = view("a").down(state, 1, 100).seat(Seat::Vacant(Vacancy::Silent));
        let effects = check(&view, "start as a standby: nobody leads, this node may stand");
        assert!(matches!(effects[1], Effect::Start { start_as: StartAs::Standby(None), .. }));
    }
}

#[test]
fn an_empty_node_copies_from_a_leader_that_serves() {
    let view = view("b").empty().held_by("a");
    let effects = check(&view, "copy the leader's data: a");
    assert_eq!(effects[0], Effect::Begin(Unfinished::Copy));
    assert!(matches!(effects[1], Effect::CopyFrom(_)));
}
