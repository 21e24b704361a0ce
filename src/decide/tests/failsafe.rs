//! Who carries a primary while the store is away, and who may take over.

use super::*;
use crate::cluster::{FailsafeAsk, NotAccepted};
use crate::values::{Incarnation, Monotonic};

/// `a`'s question under the lease that the fixtures' baton shows.
fn ask(term: u64) -> FailsafeAsk {
    FailsafeAsk {
        name: "a".into(),
        conn_url: "postgres://a:5432/postgres".to_owned(),
        api_url: "http://a:8008/patroni".to_owned(),
        lease: Some((Term(term), Incarnation(1))),
        ttl: Duration::from_secs(5),
    }
}

fn follower() -> View {
    view("b").standby(1, 100).failsafe_mode().listed(&["a", "b", "c"]).seat(Seat::Unknown)
}

#[track_caller]
fn refused(view: &View, ask: &FailsafeAsk, why: &str) {
    assert_eq!(judge(view, ask), Err(NotAccepted::MustNot(why.to_owned())));
}

#[test]
fn a_standby_carries_the_leader_for_a_whole_ttl() {
    let view = follower();
    let accepted = judge(&view, &ask(3)).unwrap();
    assert_eq!((accepted.name.as_str(), accepted.until), ("a", view.now + Duration::from_secs(5)));
    let longer = FailsafeAsk { ttl: Duration::from_secs(30), ..ask(3) };
    assert_eq!(judge(&view, &longer).unwrap().until, view.now + Duration::from_secs(30));
}

#[test]
fn only_a_node_that_is_no_primary_carries_another() {
    for leads in [
        view("b").primary(1, 100).failsafe_mode(),
        follower().exposed(),
        follower().leading(after(1_000)),
        follower().seat(Seat::Offered),
    ] {
        assert_eq!(judge(&leads, &ask(3)), Err(NotAccepted::Leads));
    }
    assert_eq!(judge(&view("b").standby(1, 100), &ask(3)), Err(NotAccepted::SwitchedOff));
}

#[test]
fn who_is_known_to_be_deposed_is_not_carried() {
    refused(&follower().promised(4), &ask(3), "it has promised term 4");
    refused(&follower(), &ask(2), "it has seen term 3 of a");
    let released = follower().baton(BatonState::Released, "a");
    refused(&released, &ask(3), "it has seen term 3 of a");
    let raced = follower().busy(JobKind::Vote);
    refused(&raced, &ask(3), "it is in a race");
    let patronis = FailsafeAsk { lease: None, name: "c".into(), ..ask(3) };
    refused(&follower(), &patronis, "a leads");
    assert!(judge(&follower(), &ask(4)).is_ok(), "a later term than the store has shown");
}

#[test]
fn who_carries_the_leader_neither_races_nor_promises() {
    let carrying = follower().accepted(3, 1_000).seat(Seat::Vacant(Vacancy::Silent));
    let expected = "stand by: this node may carry the leader: it has accepted a";
    let decision = decide(&carrying);
    assert_eq!((decision.reason.to_string().as_str(), decision.effects), (expected, vec![]));
    assert_eq!(decision.look_again_at, Some(carrying.now + Duration::from_secs(1)));
    let refusal = Refusal::Carries("it has accepted a".to_owned());
    assert_eq!(decide(&carrying.promise_asked(4)).effects, [Effect::RefusePromise(refusal)]);
}

#[test]
fn an_acceptance_runs_out_and_ends_with_the_lease() {
    let vacant = |view: View| view.seat(Seat::Vacant(Vacancy::Silent));
    let race = "race: ask the others where they stand: term 4";
    check(&vacant(follower().accepted(3, 0)), race);
    let released = follower().accepted(3, 1_000).baton(BatonState::Released, "a");
    check(&released.seat(Seat::Vacant(Vacancy::Released)), race);
}

#[test]
fn a_node_that_was_just_started_may_have_accepted_before() {
    let started = |millis| follower().started_before(millis).seat(Seat::Vacant(Vacancy::Silent));
    let expected = "stand by: this node may carry the leader: it was started less than ttl ago, and may \
                    have accepted the leader before";
    check(&started(4_999), expected);
    check(&started(5_000), "race: ask the others where they stand: term 4");
    let nobody_lists = view("b").standby(1, 100).started_before(0);
    let vacant = nobody_lists.seat(Seat::Vacant(Vacancy::Silent));
    check(&vacant, "race: ask the others where they stand: term 4");
}

#[test]
fn a_taker_needs_two_of_three_that_do_not_carry_the_holder() {
    let alone = follower()
        .seat(Seat::Vacant(Vacancy::Silent))
        .ballot(&[("b", 1, 100)])
        .silent("c")
        .round(2);
    let decision = decide(&alone);
    let label = "stand by: the silent leader may be carried by other members";
    assert_eq!((decision.reason.label, decision.effects.len()), (label, 0));
    assert!(decision.reason.detail.starts_with("2 of a, b, c have to say that they do not, 1 did"));
    let refusal = Refusal::Abstains("there is no data".to_owned());
    let effects = check(
        &alone.clone().refused("c", refusal),
        "take the lead: won the race: term 4, votes of b",
    );
    let failsafe = Some(Revision(30));
    let basis = Basis { failsafe, word: None };
    let take = Effect::TakeBaton { baton: Revision(30), term: Term(4), basis };
    assert_eq!(effects[0], take);
    let stranger = alone.refused("d", Refusal::Abstains("there is no data".to_owned()));
    assert_eq!(decide(&stranger).reason.label, label, "who is not listed does not count");
}

#[test]
fn a_lease_that_was_given_up_is_carried_by_nobody() {
    let view = follower()
        .baton(BatonState::Released, "a")
        .seat(Seat::Vacant(Vacancy::Released))
        .ballot(&[("b", 1, 100)])
        .silent("c")
        .round(2);
    let effects = check(&view, "take the lead: won the race: term 4, votes of b");
    assert!(matches!(effects[0], Effect::TakeBaton { basis: Basis { failsafe: None, .. }, .. }));
}

#[test]
fn a_node_without_a_vote_can_still_promise_where_members_are_listed() {
    let down = |view: View| {
        view.down(ControlState::InRecovery, 1, 90)
            .seat(Seat::Vacant(Vacancy::Silent))
            .promise_asked(4)
    };
    let why = "the server is down".to_owned();
    let effects = decide(&down(follower())).effects;
    assert_eq!(effects, [Effect::PromiseWithoutVote { term: Term(4), why: why.clone() }]);
    let effects = decide(&down(view("b"))).effects;
    assert_eq!(effects, [Effect::RefusePromise(Refusal::NotAVoter(why))]);
}

#[test]
fn a_primary_that_is_carried_leads_on_and_writes_nothing() {
    let view =
        view("a").primary(1, 100).leading(after(4_000)).promised_by("b", 9).carried_by(&["a", "c"]);
    let expected = "lead: the members carry the lease, the store is away";
    let decision = decide(&view);
    assert_eq!(decision.reason.to_string(), expected);
    assert!(decision.effects.is_empty() && decision.upkeep.is_empty());
}

#[test]
fn a_standby_that_carries_the_leader_says_so_while_the_store_is_away() {
    let expected = "hold still: the store is away, this node carries the leader: it has accepted a";
    assert_eq!(check(&follower().accepted(3, 1_000), expected), []);
}

#[test]
fn the_leader_keeps_the_list_as_the_members_are() {
    let list_of = |view: &View| {
        let upkeep = decide(view).upkeep;
        upkeep.into_iter().find_map(|effect| match effect {
            Effect::WriteFailsafe { list, read_at } => {
                let names = list.map(|list| list.keys().map(ToString::to_string).collect());
                Some((names, read_at))
            }
            _ => None,
        })
    };
    let leader = || view("a").primary(1, 100).leading(after(4_000)).member("a", Role::Primary);
    let two = || leader().member("b", Role::Replica).failsafe_mode();
    let names = |names: &[&str]| -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    };
    assert_eq!(list_of(&two()), Some((names(&["a", "b"]), Revision::ABSENT)));
    assert_eq!(list_of(&two().listed(&["a", "b", "c"])), Some((names(&["a", "b"]), Revision(30))));
    assert_eq!(list_of(&two().listed(&["a", "b"])), None);
    let streams = two().streaming("c", 100).without_key("c").listed(&["a", "b", "c"]);
    assert_eq!(
        list_of(&streams),
        Some((names(&["a", "b"]), Revision(30))),
        "its agent may be gone"
    );
    // b and c are cut off from the store alone: their keys run out one after the other.
    let both = || two().streaming("b", 100).streaming("c", 100);
    let mut first = both().without_key("c").listed(&["a", "b", "c"]);
    let observe = |view: &mut View| {
        let (server, cluster) = (view.server.clone(), view.cluster.clone());
        super::super::failsafe::observe_keyless(
            &mut view.memory.keyless,
            &server,
            cluster.as_deref(),
        );
    };
    observe(&mut first);
    assert_eq!(list_of(&first), Some((names(&["a", "b"]), Revision(30))));
    let mut second = both().without_key("b").without_key("c").listed(&["a", "b"]);
    second.memory.keyless = first.memory.keyless;
    observe(&mut second);
    assert_eq!(list_of(&second), Some((names(&["a", "b", "c"]), Revision(30))));
    let mut of_two = both().without_key("b").without_key("c").listed(&["a", "b"]);
    observe(&mut of_two);
    assert_eq!(list_of(&of_two), Some((names(&["a"]), Revision(30))), "there were two");
    let off = leader().listed(&["a"]);
    assert_eq!(list_of(&off), Some((None, Revision(30))), "a left mode leaves no list");
    let nowhere = view("a").primary(1, 100).leading(after(4_000)).failsafe_mode();
    assert_eq!(list_of(&nowhere), None, "the leader has not said where it is");
}

#[test]
fn a_shorter_ttl_does_not_shorten_what_was_accepted_under_a_longer_one() {
    let accepted = |name: &str, term, until| Acceptance {
        name: name.into(),
        lease: Some((Term(term), Incarnation(7))),
        until: Monotonic::from_boot(Duration::from_secs(until)),
    };
    let before = Some(accepted("a", 3, 40));
    assert_eq!(accepted("a", 3, 15).or_longer(before.clone()), accepted("a", 3, 40));
    assert_eq!(accepted("a", 4, 15).or_longer(before), accepted("a", 4, 15));
}
