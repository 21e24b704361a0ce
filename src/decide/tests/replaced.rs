//! A store that was emptied, or put back to an earlier state.

use super::*;

#[test]
fn nothing_is_built_on_a_store_that_shows_less_than_was_seen() {
    let older = |view: View| view.seen(5).seat(Seat::Vacant(Vacancy::Silent));
    let expected = "hold still: the store is older than this node: it shows term 3, this node has seen \
                    5; restore the right state, or accept what would be lost with `pgbaton ctl recover \
                    --accept-term 5`";
    let unfinished = older(view("b").down(ControlState::InRecovery, 1, 90));
    for view in [
        older(view("b").standby(1, 100)),
        older(view("b").empty()),
        unfinished.unfinished(Unfinished::Rewind),
    ] {
        assert_eq!(check(&view, expected), []);
    }
    let asked = older(view("b").standby(1, 100)).promise_asked(4);
    assert_eq!(decide(&asked).effects, [Effect::RefusePromise(Refusal::StoreIsOlder)]);
}

#[test]
fn a_server_that_is_down_comes_up_where_a_person_can_see_how_far_its_log_goes() {
    let down = view("b").down(ControlState::InProduction, 1, 90).seen(5);
    let decision = decide(&down.seat(Seat::Vacant(Vacancy::Silent)));
    assert_eq!(decision.reason.label, "start as a standby: the store is older than this node");
    assert!(decision.reason.detail.contains("pgbaton ctl recover"), "{}", decision.reason.detail);
    let within = Duration::from_secs(60);
    let start = Effect::Start { start_as: StartAs::Standby(None), within };
    assert_eq!(decision.effects, [Effect::Kill, start]);
}

#[test]
fn an_emptied_store_is_nobodys_to_found_anew() {
    let emptied = view("b").standby(1, 100).seen(3).blank_cluster();
    let decision = decide(&emptied.seat(Seat::Vacant(Vacancy::NeverHeld)));
    assert_eq!(decision.reason.label, "hold still: the store is older than this node");
    assert!(decision.reason.detail.starts_with("it shows no term, this node has seen 3"));
}

#[test]
fn a_person_can_accept_what_the_store_has() {
    let accepted = view("b").standby(1, 100).seen(5).recovered(5);
    let effects = check(
        &accepted.clone().seat(Seat::Vacant(Vacancy::Silent)),
        "race: ask the others where they stand: term 6",
    );
    assert_eq!(effects, [Effect::CollectVotes { term: Term(6), baton: Revision(30), word: None }]);
    let raced = accepted.clone().seat(Seat::Vacant(Vacancy::Silent)).ballot(&[("b", 1, 100)]);
    let raced = raced.refused("c", Refusal::StoreIsOlder);
    let expected = "wait: a member has not heard that the store was accepted as it is: c";
    assert_eq!(check(&raced, expected), []);
    let too_little = view("b").standby(1, 100).seen(5).recovered(4);
    let decision = decide(&too_little.seat(Seat::Vacant(Vacancy::Silent)));
    assert_eq!(decision.reason.label, "hold still: the store is older than this node");
}

#[test]
fn the_primary_of_an_emptied_store_writes_everything_back_in_a_later_term() {
    let leads = || view("a").primary(1, 100).leading(after(3_000)).seen(3).promised(3).emptied();
    let expected = "write everything back: the store was emptied under the running primary: term 4";
    let effects = check(&leads(), expected);
    assert!(matches!(effects[..], [Effect::Refound { term: Term(4), .. }]));
    let knows_more = leads().promised(6);
    let expected =
        "the store is empty, and a person has to look: this node leads in term 3 and knows of 6";
    assert_eq!(check(&knows_more, expected), []);
}

#[test]
fn a_node_remembers_the_latest_holder_it_was_shown() {
    let leader = view("a").primary(1, 100).leading(after(4_000)).member("a", Role::Primary);
    assert!(decide(&leader).upkeep.contains(&Effect::RememberTerm(Term(3))));
    let follower = view("b").standby(1, 100).held_by("a").following("a").slots(&["a"]);
    assert_eq!(decide(&follower).upkeep, [Effect::RememberTerm(Term(3))]);
    assert_eq!(decide(&follower.seen(3)).upkeep, []);
}
