//! What is known of the probes' answers, and since when.

use super::*;

fn at(millis: u64) -> Monotonic {
    Monotonic::from_boot(Duration::from_millis(millis))
}

fn asked(asked_at: u64) -> Known {
    let mut known = Known::default();
    known.connection.open = Some(at(asked_at));
    known.switches = Some(7);
    known
}

fn glimpse(switches: u64, halted: bool) -> Glimpse {
    Glimpse {
        postmaster_switches: Some(switches),
        postmaster_is_halted: halted,
        ..Glimpse::default()
    }
}

#[test]
fn an_answer_is_owed_from_the_question_on_and_counted_once() {
    let mut known = asked(1_000);
    known.look_after(at(2_000), Duration::from_secs(2));
    assert_eq!(known.health().connection, Finding::Unknown);
    for now in [3_000, 4_000] {
        known.look_after(at(now), Duration::from_secs(2));
        assert_eq!(known.health().connection, Finding::Silent { since: at(1_000) });
    }
    assert_eq!(known.health().failures.connection, 1);
    known.connection.answered(at(5_000), &Probed::Good(()));
    let took = Duration::from_secs(4);
    assert_eq!(known.health().connection, Finding::Good { asked_at: at(1_000), took });
}

#[test]
fn time_in_which_this_process_did_not_run_does_not_count() {
    let mut known = asked(1_000);
    known.look_after(at(3_000), Duration::from_secs(2));
    known.shift(Duration::from_secs(60));
    assert_eq!(known.health().connection.silent_for(at(64_000)), Duration::from_secs(3));
}

#[test]
fn a_postmaster_that_ran_for_the_connection_is_idle_only_when_it_is_halted() {
    let mut known = asked(1_000);
    known.glimpsed(at(2_000), glimpse(7, false));
    assert_eq!(known.health().postmaster_idle_since, Some(at(1_000)));
    known.glimpsed(at(3_000), glimpse(8, false));
    assert_eq!(known.health().postmaster_idle_since, None);
    known.glimpsed(at(4_000), glimpse(8, true));
    known.glimpsed(at(5_000), glimpse(8, true));
    assert_eq!(known.health().postmaster_idle_since, Some(at(4_000)));
}

#[test]
fn trouble_lasts_from_the_first_bad_answer_on() {
    let mut known = Known::default();
    for asked_at in [1_000, 2_000] {
        known.disk.open = Some(at(asked_at));
        known.disk.answered(at(asked_at + 5), &Probed::<u64>::Trouble(Trouble::NoSpace));
    }
    let expected = Finding::Bad { since: at(1_000), trouble: Trouble::NoSpace };
    assert_eq!(known.health().disk, expected);
    assert_eq!(known.health().failures.disk, 2);
}

#[test]
fn only_the_age_of_a_good_answer_is_no_news() {
    let good = |asked_at| Health {
        disk: Finding::Good { asked_at: at(asked_at), took: Duration::ZERO },
        ..Health::default()
    };
    let silent = Health { disk: Finding::Silent { since: at(3) }, ..Health::default() };
    assert!(!is_news(&good(1), &good(2)));
    assert!(is_news(&good(1), &silent) && is_news(&silent, &silent));
    assert!(is_news(&silent, &good(4)));
}
