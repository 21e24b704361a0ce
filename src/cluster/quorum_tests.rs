use std::collections::HashSet;

use super::*;

fn set(names: &str) -> BTreeSet<MemberName> {
    names.chars().map(|name| MemberName::from(name.to_string())).collect()
}

fn any(count: usize, of: &str) -> SyncNames {
    SyncNames::any_of(count, set(of))
}

fn voters(need: usize, of: &str) -> Voters {
    Voters { need, of: set(of) }
}

/// All sets of `names`.
fn subsets(names: &BTreeSet<MemberName>) -> Vec<BTreeSet<MemberName>> {
    names.iter().fold(vec![BTreeSet::new()], |sets, name| {
        let with = sets.iter().map(|one| one.iter().chain([name]).cloned().collect());
        sets.iter().cloned().chain(with).collect()
    })
}

/// Whether every way to acknowledge meets every way to be heard, by trying all of them.
fn always_meet(names: &SyncNames, voters: &Voters) -> bool {
    let readers: Vec<_> =
        subsets(&voters.of).into_iter().filter(|one| one.len() == voters.need).collect();
    let acknowledging: Vec<BTreeSet<MemberName>> = match names {
        SyncNames::Nobody => vec![BTreeSet::new()],
        SyncNames::Closed => Vec::new(),
        SyncNames::AnyOf { count, of } => {
            subsets(of).into_iter().filter(|one| one.len() == *count).collect()
        }
    };
    readers.iter().all(|heard| acknowledging.iter().all(|has| !heard.is_disjoint(has)))
}

fn all_names(members: &str) -> Vec<SyncNames> {
    let mut all = vec![SyncNames::Nobody, SyncNames::Closed];
    for of in subsets(&set(members)) {
        for count in 1..=of.len() {
            all.push(SyncNames::any_of(count, of.clone()));
        }
    }
    all
}

#[test]
fn what_the_rule_allows_always_meets() {
    for names in all_names("abcd") {
        for of in subsets(&set("abcd")) {
            for need in 1..=of.len().max(1) {
                let voters = Voters { need, of: of.clone() };
                let hears = voters.hears(&names);
                assert!(!hears || always_meet(&names, &voters), "{names:?} {voters:?}");
            }
        }
    }
}

#[test]
fn as_few_as_can_be_are_listened_to() {
    // n, k, must be heard: the table of the field.
    for (of, count, need) in [
        ("a", 1, 1),
        ("ab", 1, 2),
        ("ab", 2, 1),
        ("abc", 1, 3),
        ("abc", 2, 2),
        ("abcd", 2, 3),
        ("abcd", 3, 2),
    ] {
        let names = any(count, of);
        let fewest = Voters::fewest_for(&names);
        assert_eq!(fewest, voters(need, of));
        assert!(fewest.hears(&names));
        let fewer = Voters { need: need - 1, of: set(of) };
        assert!(!fewer.hears(&names));
    }
}

/// A cluster whose leader is never replaced, and what its agent knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Really: the names under which something may be acknowledged that those in force may lack.
    really: Vec<String>,
    /// What the agent knows of them; nothing once it was started again.
    known: Option<Vec<String>>,
    recorded: String,
    caught_up: bool,
}

/// So many changes that have not reached everybody are looked at, one after the other.
const AT_ONCE_MAX: usize = 2;

/// Walks every way there is from `from`, any wish and a crash of the agent after any step, and checks
/// the rule at each.
fn walk(members: &str, wishes: &[SyncNames]) -> usize {
    type Real = (Vec<SyncNames>, Option<Vec<SyncNames>>, Voters, bool);
    let key = |(really, known, recorded, caught_up): &Real| State {
        really: really.iter().map(|one| format!("{one:?}")).collect(),
        known: known.as_ref().map(|all| all.iter().map(|one| format!("{one:?}")).collect()),
        recorded: format!("{recorded:?}"),
        caught_up: *caught_up,
    };
    let first: Real =
        (vec![SyncNames::Nobody], Some(vec![SyncNames::Nobody]), Voters::leader_only(), true);
    let mut seen = HashSet::from([key(&first)]);
    let mut open = vec![first];
    while let Some((really, known, recorded, caught_up)) = open.pop() {
        let names = SyncNames::mixed(&really);
        assert!(recorded.hears(&names), "{members}: {recorded:?} does not hear {names:?}");
        assert!(always_meet(&names, &recorded), "{recorded:?} misses {names:?}");
        let mut next: Vec<Real> = Vec::new();
        // The agent dies, and comes back knowing nothing.
        next.push((really.clone(), None, recorded.clone(), false));
        // Those in force have caught up with what was acknowledged before, and the agent sees it.
        if known.is_some() && really.last() != Some(&SyncNames::Closed) {
            let last = vec![really.last().unwrap().clone()];
            next.push((last.clone(), Some(last), recorded.clone(), true));
        }
        for wanted in wishes {
            let effective = really.last().unwrap();
            let possible = match &known {
                Some(known) => Ok(known.clone()),
                None => resumed(effective, &recorded),
            };
            let step = match possible {
                Ok(possible) => {
                    let step =
                        next_step(&possible, &recorded, wanted, caught_up && known.is_some());
                    (step, Some(possible))
                }
                Err(step) => (step, None),
            };
            match step {
                (Step::Record(voters), _) => {
                    next.push((really.clone(), known.clone(), voters, caught_up));
                }
                (Step::Set(names), possible) => {
                    // The order of the earlier ones means nothing.
                    let with = |mut all: Vec<SyncNames>| {
                        all.retain(|one| *one != names);
                        all.sort_by_key(|one| format!("{one:?}"));
                        all.push(names.clone());
                        all
                    };
                    if really.len() > AT_ONCE_MAX {
                        continue;
                    }
                    let known = possible.map(with);
                    next.push((with(really.clone()), known, recorded.clone(), false));
                    // Half of it: the agent dies while both may be in force.
                    next.push((with(really.clone()), None, recorded.clone(), false));
                }
                (Step::AwaitCaughtUp | Step::Settled, _) => {}
            }
        }
        for one in next {
            if seen.insert(key(&one)) {
                open.push(one);
            }
        }
    }
    seen.len()
}

#[test]
fn no_wish_and_no_crash_breaks_the_rule() {
    assert!(walk("ab", &all_names("ab")) > 50);
    let plain: Vec<_> = all_names("abc")
        .into_iter()
        .filter(|one| one.takes_all() || matches!(one, SyncNames::Nobody | SyncNames::Closed))
        .collect();
    assert!(walk("abc", &plain) > 100);
    let quorum: Vec<_> = all_names("abc")
        .into_iter()
        .filter(|one| !matches!(one, SyncNames::AnyOf { count: 2.., .. }))
        .collect();
    assert!(walk("abc", &quorum) > 100);
}

#[test]
fn every_wish_comes_true_in_a_few_steps() {
    for from in all_names("abc") {
        for wanted in all_names("abc") {
            let mut possible = vec![from.clone()];
            let mut recorded = Voters::fewest_for(&from);
            let mut steps = 0;
            let mut caught_up = true;
            loop {
                match next_step(&possible, &recorded, &wanted, caught_up) {
                    Step::Record(voters) => recorded = voters,
                    Step::Set(names) => {
                        possible.push(names);
                        caught_up = false;
                    }
                    Step::AwaitCaughtUp => {
                        possible = vec![possible.pop().unwrap()];
                        caught_up = true;
                    }
                    Step::Settled => break,
                }
                steps += 1;
                assert!(steps < 6, "{from:?} -> {wanted:?}");
            }
            if wanted != SyncNames::Closed {
                assert_eq!(recorded, Voters::fewest_for(&wanted));
            }
        }
    }
}

#[test]
fn stricter_goes_to_the_server_first_and_looser_to_the_store() {
    let step = |from: SyncNames, wanted: SyncNames| {
        let recorded = Voters::fewest_for(&from);
        next_step(&[from], &recorded, &wanted, true)
    };
    assert_eq!(step(any(1, "ab"), any(2, "ab")), Step::Set(any(2, "ab")));
    assert_eq!(step(any(1, "ab"), any(1, "a")), Step::Set(any(1, "a")));
    assert_eq!(step(any(1, "a"), any(1, "ab")), Step::Record(voters(2, "ab")));
    assert_eq!(step(any(2, "ab"), any(1, "ab")), Step::Record(voters(2, "ab")));
    assert_eq!(step(any(1, "a"), SyncNames::Nobody), Step::Record(Voters::leader_only()));
    assert_eq!(step(SyncNames::Nobody, any(1, "a")), Step::Set(any(1, "a")));
}

/// One walsender reads that two are waited for later than another that it is waited for, too: meanwhile
/// the newcomer alone acknowledges.
#[test]
fn more_names_with_a_larger_number_are_looser_for_a_moment() {
    let (one, two) = (any(1, "a"), any(2, "ab"));
    assert_eq!(SyncNames::mixed(&[one.clone(), two.clone()]), any(1, "ab"));
    let recorded = Voters::fewest_for(&one);
    let step = next_step(std::slice::from_ref(&one), &recorded, &two, true);
    assert_eq!(
        step,
        Step::Record(Voters::leader_only()),
        "any of the plain mode's voters is enough"
    );
    let quorum = any(2, "abc");
    let step = next_step(&[one], &recorded, &quorum, true);
    assert_eq!(step, Step::Record(voters(3, "abc")));
}

#[test]
fn a_change_that_is_not_known_to_have_reached_everybody_counts_too() {
    let possible = [any(1, "ab"), any(1, "b")];
    let recorded = voters(2, "ab");
    let step = next_step(&possible, &recorded, &any(1, "bc"), false);
    assert_eq!(step, Step::Record(voters(3, "abc")));
    assert_eq!(next_step(&possible, &recorded, &any(1, "b"), false), Step::AwaitCaughtUp);
}

/// What the old leader acknowledged is on it and on `count` of the standbys; whoever is heard after the
/// promotion has it, whether anything was written since or not.
#[test]
fn a_promotion_that_dies_loses_nothing() {
    let standbys = "bcd";
    for names in all_names(standbys) {
        for of in subsets(&set(standbys)) {
            for need in 1..=of.len().max(1) {
                let recorded = Voters { need, of: of.clone() };
                if !recorded.hears(&names) {
                    continue;
                }
                for me in ["a", "b", "c", "d", "e"] {
                    let me = MemberName::from(me);
                    let (after, new_names) = on_promotion(&recorded, &"a".into(), &me);
                    assert!(after.hears(&new_names), "{recorded:?} {me}");
                    assert!(always_meet(&new_names, &after));
                    let SyncNames::AnyOf { count, of } = &names else { continue };
                    for mut has in subsets(of).into_iter().filter(|one| one.len() == *count) {
                        has.insert("a".into());
                        let hears = |heard: &BTreeSet<MemberName>| {
                            heard.len() < after.need || !heard.is_disjoint(&has)
                        };
                        assert!(
                            subsets(&after.of).iter().all(hears),
                            "{names:?} {recorded:?} {me}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_new_leader_waits_for_as_many_as_before() {
    let recorded = voters(2, "bc");
    let (after, names) = on_promotion(&recorded, &"a".into(), &"b".into());
    assert_eq!((after, names), (voters(2, "ac"), any(1, "ac")));
    let (after, names) = on_promotion(&voters(1, "b"), &"a".into(), &"b".into());
    assert_eq!((after, names), (voters(1, "a"), any(1, "a")));
    let (after, names) = on_promotion(&voters(2, "bc"), &"a".into(), &"a".into());
    assert_eq!((after, names), (voters(2, "bc"), any(1, "bc")));
    let (after, names) = on_promotion(&Voters::leader_only(), &"a".into(), &"a".into());
    assert_eq!((after, names), (Voters::leader_only(), SyncNames::Nobody));
}

#[test]
fn patronis_number_leaves_the_candidate_out() {
    let state = voters(2, "bc").to_state(&"a".into());
    assert_eq!((state.quorum, state.standbys.len()), (1, 2));
    assert_eq!(Voters::recorded(&state), voters(2, "bc"));
    let alone = Voters::leader_only().to_state(&"a".into());
    assert_eq!(Voters::recorded(&alone), Voters::leader_only());
}
