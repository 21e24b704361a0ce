//! A person lets somebody lead with what it has.

use std::sync::Arc;

use super::*;

fn asked(mut view: View, candidate: &str, accepts_loss: bool) -> View {
    if let Some(ballot) = &mut view.memory.ballot {
        Arc::make_mut(ballot).word = accepts_loss.then_some(Revision(31));
    }
    let candidate = Some(candidate.into());
    view.asked(Request { leader: None, candidate, scheduled_at: None, accepts_loss })
}

/// Nobody leads: the last leader and the only synchronous standby are gone.
fn left_alone() -> View {
    view("c")
        .standby(1, 90)
        .baton(BatonState::Held, "a")
        .seat(Seat::Vacant(Vacancy::Silent))
        .recorded("a", "b", 1)
        .ballot(&[("c", 1, 90)])
        .round(2)
}

#[test]
fn who_is_named_leads_with_what_it_has_and_it_is_told() {
    assert_eq!(decide(&left_alone()).reason.label, "no candidate is fit");
    let effects = check(
        &asked(left_alone(), "c", true),
        "take the lead: somebody accepted what may be lost: may lack acknowledged commits: 1 of b had to \
         answer, 0 did, and the last leader a did not; term 4, votes of c",
    );
    assert!(matches!(effects[0], Effect::TakeBaton { .. }));
}

#[test]
fn nobody_leads_so_without_being_named_or_without_a_word_of_loss() {
    assert_eq!(decide(&asked(left_alone(), "c", false)).reason.label, "no candidate is fit");
    assert_eq!(decide(&asked(left_alone(), "b", true)).reason.label, "no candidate is fit");
    let leads = left_alone().ballot(&[("c", 1, 90), ("d", 1, 90)]).round(2);
    check(&asked(leads, "d", true), "leave it to the better candidate: d");
}

#[test]
fn what_was_accepted_before_the_batons_last_change_counts_no_more() {
    let mut view = asked(left_alone(), "c", true);
    let cluster = Arc::make_mut(view.cluster.as_mut().expect("a cluster"));
    let baton = cluster.baton.as_ref().expect("a baton").revision;
    cluster.request.as_mut().expect("a request").revision = Revision(baton.0 - 1);
    Arc::make_mut(view.memory.ballot.as_mut().expect("a ballot")).word = None;
    assert_eq!(decide(&view).reason.label, "no candidate is fit");
}

#[test]
fn votes_from_before_the_word_are_not_counted() {
    let mut view = asked(left_alone(), "c", true);
    Arc::make_mut(view.memory.ballot.as_mut().expect("a ballot")).word = None;
    let effects = check(&view, "race: ask the others where they stand: term 4");
    let word = Some(Revision(31));
    assert_eq!(effects, [Effect::CollectVotes { term: Term(4), baton: Revision(30), word }]);
}

#[test]
fn who_has_everything_goes_before_who_is_named() {
    let both = left_alone().ballot(&[("b", 1, 100), ("c", 1, 90)]);
    check(&asked(both, "c", true), "leave it to the better candidate: b");
}

#[test]
fn what_it_lacks_is_fetched_first_where_that_can_be() {
    let both = left_alone().member("b", Role::Replica).ballot(&[("b", 1, 100), ("c", 1, 90)]);
    let fetches = "fetch the acknowledged commits that no candidate has: up to 0/64 from b";
    let mut word = asked(both.may_not_lead("b"), "c", true);
    check(&word, fetches);
    word.memory.vacant_since = Some(word.now - word.settings.times.ttl * 2);
    let label = decide(&word).reason.label;
    assert_eq!(label, "take the lead: somebody accepted what may be lost", "it did not come");
}

#[test]
fn a_bound_on_the_lag_and_who_may_carry_the_leader_are_a_persons_to_waive() {
    let behind = view("c")
        .standby(1, 90)
        .baton(BatonState::Held, "a")
        .seat(Seat::Vacant(Vacancy::Silent))
        .failsafe_mode()
        .listed(&["a", "b", "c"])
        .ballot(&[("c", 1, 90)])
        .silent("b")
        .round(2);
    let label = "stand by: the silent leader may be carried by other members";
    assert_eq!(decide(&behind).reason.label, label);
    for answer in [
        Refusal::HolderIsAlive,
        Refusal::Carries("until then".to_owned()),
        Refusal::NotAVoter("the server is a primary".to_owned()),
    ] {
        let mut answered = asked(behind.clone(), "c", true).refused("b", answer);
        answered.memory.vacant_since = Some(answered.now - answered.settings.times.ttl * 9);
        let label = "stand by: a member answers that may see or carry the silent leader";
        assert_eq!(decide(&answered).reason.label, label, "for as long as it answers so");
    }
    let decision = decide(&asked(behind, "c", true));
    assert_eq!(decision.reason.label, "take the lead: somebody accepted what may be lost");
    assert!(
        decision.reason.detail.starts_with("2 of a, b, c have to say"),
        "{:?}",
        decision.reason
    );
    let basis = Basis { failsafe: Some(Revision(30)), word: Some(Revision(31)) };
    let took =
        matches!(decision.effects[0], Effect::TakeBaton { basis: found, .. } if found == basis);
    assert!(took, "{:?}", decision.effects[0]);
}

#[test]
fn one_that_the_history_has_left_behind_may_be_named_too() {
    let left_behind = view("b")
        .standby(2, 500)
        .seat(Seat::Vacant(Vacancy::Silent))
        .intended("b", 2, 2)
        .done("a", 3, 3, 120)
        .ballot(&[("b", 2, 500)])
        .left_behind("b", 1, 100);
    let nobody = "no candidate is fit: b its timeline 2 is not on the history";
    check(&left_behind.clone().vacant_for(20), nobody);
    let effects = check(
        &asked(left_behind, "b", true),
        "take the lead: somebody accepted what may be lost: its timeline 2 is not on the history; \
         term 4, votes of b",
    );
    let intent = effects.iter().find_map(|effect| match effect {
        Effect::RecordIntent { known } => Some(&known.value),
        _ => None,
    });
    assert!(intent.is_some_and(|known| !known.is_burnt(crate::values::Timeline(2))));
    let past_the_fork = view("b")
        .standby(1, 130)
        .seat(Seat::Vacant(Vacancy::Silent))
        .done("a", 3, 2, 120)
        .ballot(&[("b", 1, 130)]);
    let label = "take the lead: somebody accepted what may be lost";
    assert_eq!(decide(&asked(past_the_fork, "b", true)).reason.label, label);
    // After the store was emptied the record begins with the promotion of a standby.
    let mut begun_anew = view("c")
        .standby(5, 130)
        .seat(Seat::Vacant(Vacancy::Silent))
        .intended("b", 3, 6)
        .ballot(&[("c", 5, 130)])
        .published(2_000_000);
    let cluster = Arc::make_mut(begun_anew.cluster.as_mut().expect("a cluster"));
    cluster.lineage.as_mut().expect("a record").value.promotions.remove(0);
    assert_eq!(decide(&begun_anew).reason.label, "no candidate is fit");
    assert_eq!(decide(&asked(begun_anew, "c", true)).reason.label, label);
    let unknown =
        view("b").standby(7, 130).seat(Seat::Vacant(Vacancy::Silent)).ballot(&[("b", 7, 130)]);
    assert_eq!(decide(&asked(unknown, "b", true)).reason.label, "no candidate is fit");
}
