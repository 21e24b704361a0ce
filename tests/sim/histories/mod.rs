//! Histories that once broke a rule, each as a plan of its own: a seed would mean another world as soon
//! as worlds are drawn differently. Each is lived a few times, with other times for everything that
//! takes time.

mod seeds;

use std::time::Duration;

use pgbaton::config::DivergedData;

use crate::faults::{Fault, Target, What};
use crate::life::live_by;
use crate::plan::{Plan, SyncPlan};
use crate::report::Report;
use crate::rng::Rng;
use crate::world::Violation;

/// One history.
struct History {
    name: &'static str,
    plan: fn() -> Plan,
}

/// How often each is lived.
const LIVES: u64 = 200;
/// How often at the most while a planted fault is hunted in it.
const LIVES_OF_A_FAULT: u64 = 1_000;

const ALL: [History; 37] = [
    // Starts were bounded by `primary_start_timeout`: with 0 no server ever came up.
    History {
        name: "a_start_takes_its_time_where_a_crash_hands_over_at_once",
        plan: hand_over_at_once,
    },
    // The leader recorded its promotion again and again until its watch showed it.
    History { name: "a_late_watch_makes_no_leader_go_round_in_circles", plan: late_watch },
    // The released baton said less than the leader had published, by the files of its crashed server.
    History {
        name: "a_crashed_server_does_not_lower_what_was_published",
        plan: crash_with_log_on_its_way,
    },
    // The bootstrap was undone although the store had it, and the cluster was lost.
    History { name: "a_bootstrap_whose_end_was_not_heard_is_kept", plan: founding_unheard },
    // The claim stayed, and nobody could bootstrap any more.
    History { name: "a_claim_whose_answer_was_lost_is_given_up", plan: claim_unheard },
    // An intent that came late put the record of a finished promotion back.
    History { name: "a_late_intent_does_not_undo_the_record", plan: late_intent },
    // With the new, shorter ttl the others took over from a leader that had the old one.
    History { name: "a_shorter_ttl_does_not_shorten_a_lease_that_was_given", plan: shorter_ttl },
    // At a short ttl the ballot was out of date as soon as the silent member had been waited for.
    History { name: "a_silent_member_does_not_hold_up_the_race", plan: silent_member },
    // The rule took the acceptance for one of the lease that was taken after it.
    History { name: "an_acceptance_is_of_one_lease", plan: late_question },
    // The lead that was offered stayed with the old leader as far as it knew, which opened its server again,
    // and then the offer arrived.
    History { name: LATE_OFFER, plan: late_offer },
    // The record lost the timeline that everybody was on, and nobody could lead any more.
    History { name: UNRECORDED, plan: unrecorded },
    // It was recovered alone, as if it had gone another way, and then started on the same timeline.
    History { name: "a_standby_quicker_than_the_record_is_not_diverged", plan: seeds::late_record },
    // The name that nobody has stayed in its file, and it took no write as the next leader.
    History { name: "settings_that_were_not_written_are_written_again", plan: seeds::unwritten },
    // Nobody led: the one that had every acknowledged commit may not.
    History { name: "what_only_a_voter_has_that_may_not_lead_is_fetched", plan: seeds::full_disk },
    // The rewind that at last reached its source failed, and then paused as long as if it had all the time.
    History { name: "another_trouble_begins_with_a_short_pause", plan: seeds::late_trouble },
    // Its agent's next one had it stream from a leader of an earlier term than it had promised.
    History { name: "a_standby_that_is_started_keeps_its_promise", plan: seeds::kept_promise },
    // The record it had written itself had not come back to it, and it promoted by the one before.
    History { name: "a_leader_goes_by_the_record_it_wrote_itself", plan: seeds::unseen_record },
    // An earlier presence arrived over the one with its promise: the leader never learned of that.
    History { name: "a_late_presence_does_not_hide_a_promise", plan: seeds::hidden_promise },
    // Names from a lease before stayed in force when it led again without synchronous mode.
    History { name: "who_leads_again_waits_for_nobody_it_once_named", plan: seeds::left_names },
    // Two leaders in a row died before they could record their promotion, and the one that was left was on the
    // first one's timeline.
    History { name: BURNT_BRANCH, plan: seeds::burnt_branch },
    // Its successor took names that not every walsender had read for those in force.
    History { name: HALF_TOLD, plan: seeds::half_told },
    // Releases that failed held up the next leader's change of names for a minute.
    History { name: "what_failed_before_holds_up_no_leader", plan: seeds::failed_releases },
    // The candidate asked again only a renewal period after a member had not heard of the release.
    History { name: "who_has_not_heard_of_a_release_is_asked_again", plan: seeds::unheard_release },
    // Words of a full disk were heard late, when there was room again, and a working server was handed over.
    History { name: "words_that_are_heard_late_are_looked_into", plan: seeds::late_words },
    // The loop told a hung server its settings once more, and judged it that much later.
    History {
        name: "a_hung_server_is_judged_before_it_is_told_anything",
        plan: seeds::hung_server,
    },
    // Never broken; planted faults show in them (see `mutants`).
    History { name: LATE_RECORD, plan: seeds::late_record_of_ones_own },
    History { name: SLOW_ANSWERS, plan: seeds::slow_answers },
    History { name: NO_ANSWERS, plan: seeds::no_answers },
    History { name: NAMESAKE, plan: seeds::namesake },
    History { name: DEAD_BRANCH, plan: dead_branch },
    History { name: LONE_VOTER, plan: lone_voter },
    History { name: CARRIES_STILL, plan: forgotten_acceptance },
    History { name: ONE_OF_THREE, plan: one_of_three },
    History { name: "a_person_may_let_the_last_one_lead", plan: accepted_loss },
    History { name: OLD_ACCEPTANCE, plan: old_acceptance },
    History { name: ANSWERS, plan: overruled_answers },
    History {
        name: "who_carries_the_leader_is_asked_when_its_keys_are_gone",
        plan: unlisted_carrier,
    },
];

/// A timeline that was left goes further than the one that was taken.
pub const DEAD_BRANCH: &str = "a_dead_branch_that_goes_further_does_not_win";
/// An offer that was not answered is still on its way.
pub const LATE_OFFER: &str = "an_offer_that_was_not_answered_does_not_arrive_any_more";
/// A promotion was done, its record did not reach the store, and the server was promoted once more.
pub const UNRECORDED: &str = "a_promotion_that_was_not_recorded_stays_in_the_history";
/// The only voter that is left has not received what the other one has confirmed.
pub const LONE_VOTER: &str = "one_of_two_voters_proves_nothing";

/// An agent dies while the walsenders are being told of more standbys to wait for.
pub const HALF_TOLD: &str = "names_that_were_found_are_told_to_everybody_again";
/// What an agent has written is still on its way when the next one takes its lease up.
pub const LATE_RECORD: &str = "what_the_last_agent_had_sent_does_not_arrive_under_the_next_one";
/// Answers to renewals come late, and the loop is stuck.
pub const SLOW_ANSWERS: &str = "a_lease_counts_from_when_it_was_asked_for";
/// An agent comes back under a lease of its last start, and cannot write.
pub const NAMESAKE: &str = "a_lease_belongs_to_one_start_of_an_agent";
/// Renewals are not answered any more.
pub const NO_ANSWERS: &str = "a_lease_counts_from_the_last_answer";
/// A timeline that a later intent burnt is all that is left.
pub const BURNT_BRANCH: &str = "a_burnt_branch_is_taken_up_where_it_is_all_that_is_left";

/// A member that carries the leader is started anew, and asked for its promise.
pub const CARRIES_STILL: &str = "an_agent_that_is_started_anew_may_carry_the_leader";

/// Leader and one synchronous standby are gone, and the other one has all that was acknowledged.
pub const ONE_OF_THREE: &str = "one_of_two_that_all_commits_waited_for_is_enough";

/// A person accepted a loss while the leader lived; then it dies, and with it who had everything.
pub const OLD_ACCEPTANCE: &str = "an_acceptance_of_loss_is_of_one_vacancy";

/// A person says that the members which do not answer are stopped, and one that answers carries the leader.
pub const ANSWERS: &str = "who_answers_that_it_carries_the_leader_is_believed";

/// Lives those whose name holds `name`; when the story is told, up to the first life that breaks a
/// rule.
pub fn all(report: &mut Report, name: &str, told: bool) {
    for history in ALL.iter().filter(|history| history.name.contains(name)) {
        let broken = (0..LIVES).find_map(|life| {
            let outcome = live_by((history.plan)(), Rng::new(life), told);
            outcome.violation.map(|violation| format!("life {life}: {violation}"))
        });
        report.test(&format!("histories::{}", history.name), broken);
    }
}

fn seconds(hundredths: u64) -> Duration {
    Duration::from_millis(hundredths * 10)
}

fn plan(faults: Vec<Fault>) -> Plan {
    Plan {
        nodes: 3,
        ttl: Duration::from_secs(2),
        shortest_lease: Duration::from_secs(2),
        lag_bytes_max: 1_000,
        primary_start_timeout_seconds: 5,
        stall_timeout_seconds: 1,
        use_pg_rewind: true,
        remove_diverged: false,
        remove_after_failed_rewind: false,
        diverged_data: DivergedData::Keep,
        failsafe: false,
        sync: Default::default(),
        tags: vec![None, None, None],
        faults_from_the_start: false,
        faulty_for: Duration::from_secs(8),
        faults,
        serves_meanwhile: false,
        stay_away: Vec::new(),
        // What was found in a world happens at its time.
        spares_quiet_time: false,
    }
}

/// Lives one of them until a rule is broken; returns in which life, and the rule.
pub fn first_broken(name: &str) -> Option<(u64, Violation)> {
    let history = ALL.iter().find(|history| history.name == name)?;
    (0..LIVES_OF_A_FAULT)
        .find_map(|life| Some((life, live_by((history.plan)(), Rng::new(life), false).violation?)))
}

/// Times in hundredths of a second.
fn fault(what: What, target: Target, at: u64, lasts: u64) -> Fault {
    Fault { at: seconds(at), lasts: seconds(lasts), target, what }
}

fn hand_over_at_once() -> Plan {
    let faults = vec![
        fault(What::CrashPostmaster, Target::Leader, 50, 10),
        fault(What::CrashPostmaster, Target::Leader, 300, 10),
    ];
    Plan { primary_start_timeout_seconds: 0, ..plan(faults) }
}

fn late_watch() -> Plan {
    plan(vec![
        fault(What::DelayWatches, Target::Any, 10, 700),
        fault(What::DelayWatches, Target::Any, 20, 700),
        fault(What::DelayWatches, Target::Any, 30, 700),
        fault(What::Switchover, Target::Leader, 100, 10),
        fault(What::KillNode, Target::Leader, 300, 200),
    ])
}

fn crash_with_log_on_its_way() -> Plan {
    let faults = vec![
        fault(What::SlowReplication, Target::Leader, 50, 300),
        fault(What::CrashPostmaster, Target::Leader, 150, 10),
    ];
    Plan { primary_start_timeout_seconds: 0, ..plan(faults) }
}

fn founding_unheard() -> Plan {
    let faults = vec![
        fault(What::LoseReplies, Target::Leader, 45, 120),
        fault(What::LoseReplies, Target::Leader, 55, 120),
    ];
    Plan { faults_from_the_start: true, ..plan(faults) }
}

fn claim_unheard() -> Plan {
    let lost = |at| fault(What::LoseReplies, Target::Any, at, 80);
    Plan { faults_from_the_start: true, ..plan(vec![lost(12), lost(14), lost(16), lost(18)]) }
}

fn late_intent() -> Plan {
    plan(vec![
        fault(What::KillNode, Target::Leader, 50, 300),
        fault(What::SlowStore, Target::Other, 230, 130),
        fault(What::SlowStore, Target::Any, 235, 130),
    ])
}

fn shorter_ttl() -> Plan {
    let faults = vec![
        fault(What::CutStore, Target::Leader, 52, 400),
        fault(What::ShortestTtl, Target::Any, 55, 10),
    ];
    Plan { ttl: Duration::from_secs(5), ..plan(faults) }
}

fn silent_member() -> Plan {
    let faults = vec![
        fault(What::Isolate, Target::Other, 100, 1000),
        fault(What::KillNode, Target::Leader, 150, 1000),
    ];
    let faulty_for = Duration::from_secs(5);
    Plan { lag_bytes_max: 1 << 20, faulty_for, serves_meanwhile: true, ..plan(faults) }
}

/// One standby has what the first leader wrote last; the other one takes over, and writes for less long
/// before it is stopped. Then the one with the longer log is left alone.
fn dead_branch() -> Plan {
    let faults = vec![
        fault(What::CutReplication, Target::Other, 50, 1200),
        fault(What::CutStore, Target::Leader, 51, 1200),
        fault(What::Isolate, Target::Other, 179, 321),
        fault(What::KillNode, Target::Leader, 180, 1000),
        fault(What::StopAgent, Target::Leader, 480, 600),
    ];
    Plan { faulty_for: Duration::from_secs(12), ..plan(faults) }
}

fn lone_voter() -> Plan {
    let faults = vec![
        fault(What::CutReplication, Target::Other, 100, 600),
        fault(What::KillNode, Target::Leader, 110, 600),
        fault(What::KillNode, Target::Other, 111, 600),
    ];
    let sync = SyncPlan { mode: "quorum".into(), strict: false, count: 1 };
    Plan { sync, ..plan(faults) }
}

fn one_of_three() -> Plan {
    let sync = SyncPlan { mode: true.into(), strict: false, count: 2 };
    let stay_away = vec![Target::Leader, Target::Other];
    Plan { lag_bytes_max: 1 << 20, sync, stay_away, ..plan(Vec::new()) }
}

/// Leader and another are gone, and it is not known whether the last one has everything, or whether the others
/// carry the leader; a person says what only a person can.
fn accepted_loss() -> Plan {
    let faults = vec![
        fault(What::CutReplication, Target::Other, 90, 600),
        fault(What::KillNode, Target::Leader, 120, 2_000),
        fault(What::KillNode, Target::Other, 121, 2_000),
        fault(What::AcceptLoss, Target::Any, 700, 10),
    ];
    let sync = SyncPlan { mode: true.into(), strict: false, count: 1 };
    let faulty_for = Duration::from_secs(14);
    Plan { sync, failsafe: true, faulty_for, serves_meanwhile: true, ..plan(faults) }
}

fn old_acceptance() -> Plan {
    let faults = vec![
        fault(What::StickLoop, Target::Leader, 100, 300),
        fault(What::AcceptLoss, Target::Other, 120, 10),
        fault(What::CutReplication, Target::Same, 130, 700),
        fault(What::KillNode, Target::Leader, 250, 700),
        fault(What::KillNode, Target::Other, 251, 700),
    ];
    let sync = SyncPlan { mode: true.into(), strict: false, count: 1 };
    Plan { sync, faulty_for: Duration::from_secs(9), ..plan(faults) }
}

fn overruled_answers() -> Plan {
    let faults = vec![
        fault(What::CutFromLeader, Target::Other, 90, 1_500),
        fault(What::CutStore, Target::Leader, 100, 1_500),
        fault(What::AcceptLoss, Target::Any, 400, 10),
        fault(What::AcceptLoss, Target::Any, 600, 10),
    ];
    let faulty_for = Duration::from_secs(9);
    Plan { failsafe: true, lag_bytes_max: 1 << 20, faulty_for, ..plan(faults) }
}

/// The same where the members' keys of both are gone by then.
fn unlisted_carrier() -> Plan {
    let faults = vec![
        fault(What::CutFromLeader, Target::Other, 90, 1_500),
        fault(What::CutStore, Target::Leader, 100, 1_500),
        fault(What::CutStore, Target::Other, 101, 1_500),
        fault(What::AcceptLoss, Target::Any, 700, 10),
        fault(What::AcceptLoss, Target::Any, 760, 10),
    ];
    let faulty_for = Duration::from_secs(12);
    Plan { failsafe: true, lag_bytes_max: 1 << 20, faulty_for, ..plan(faults) }
}

/// A question of the first leader's arrives when it has given its lease up and takes it again.
fn late_question() -> Plan {
    let faults = vec![
        fault(What::FreezeNode, Target::Other, 100, 310),
        fault(What::CutStore, Target::Leader, 140, 135),
    ];
    let sync = SyncPlan { mode: "quorum".into(), strict: false, count: 1 };
    Plan {
        nodes: 2,
        tags: vec![None, None],
        failsafe: true,
        primary_start_timeout_seconds: 0,
        sync,
        ..plan(faults)
    }
}

fn late_offer() -> Plan {
    // What matters takes milliseconds: it gets four chances.
    let once = |at| {
        [
            fault(What::Switchover, Target::Leader, at, 32),
            fault(What::SlowStore, Target::Same, at + 6, 194),
            fault(What::KillNode, Target::Other, at + 30, 120),
        ]
    };
    let faults = [68, 368, 668, 968].into_iter().flat_map(once).collect();
    let faulty_for = Duration::from_secs(14);
    Plan { primary_start_timeout_seconds: 1, faulty_for, ..plan(faults) }
}

/// The members carry the leader, all but one, which it does not reach and which races all the time; agents of
/// members that carry it are started anew.
fn forgotten_acceptance() -> Plan {
    let restart = |at| fault(What::KillAgent, Target::Other, at, 5);
    let mut faults = vec![
        fault(What::CutFromLeader, Target::Other, 150, 900),
        fault(What::CutStore, Target::Leader, 200, 800),
    ];
    faults.extend([430, 470, 510, 550, 590, 630, 670].map(restart));
    Plan {
        nodes: 4,
        failsafe: true,
        tags: vec![None, None, None, None],
        faulty_for: Duration::from_secs(12),
        ..plan(faults)
    }
}

fn unrecorded() -> Plan {
    let faults = vec![
        fault(What::KillNode, Target::Leader, 68, 90),
        fault(What::SlowStore, Target::Leader, 428, 417),
        fault(What::CrashPostmaster, Target::Leader, 468, 10),
        fault(What::Failover, Target::Leader, 671, 10),
        fault(What::CrashPostmaster, Target::Other, 740, 10),
    ];
    let ttl = Duration::from_secs(3);
    let sync = SyncPlan { mode: "quorum".into(), strict: true, count: 1 };
    Plan { ttl, sync, faulty_for: Duration::from_secs(12), ..plan(faults) }
}
