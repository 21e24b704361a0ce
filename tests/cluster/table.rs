//! Rows of the table of faults that `make soak` holds for a minute, held for three times the lease: four of
//! them in quorum mode, and those that no other test here plays.

use std::time::Duration;

use crate::fault_table::{How, Mode, fault, play};

/// What is added to the lease where it has to run out, as in the other tests.
const TAKEOVER_BOUND: Duration = Duration::from_secs(7);
/// What a write takes here at most when nothing is wrong.
const UNNOTICED: Duration = Duration::from_millis(700);

fn how(mode: Mode) -> How {
    let (ttl, stall_timeout) = (3, Duration::from_secs(3));
    How { ttl, stall_timeout, held: Duration::from_secs(3 * ttl), mode }
}

#[track_caller]
fn check(name: &str, mode: Mode, gap: Duration) {
    play(fault(name), how(mode)).assert_well(gap);
}

#[test]
fn in_quorum_mode_a_killed_agent_loses_nothing() {
    check("agent killed", Mode::Quorum, TAKEOVER_BOUND);
}

#[test]
fn in_quorum_mode_a_host_that_is_stopped_and_resumed_loses_nothing() {
    check("host stopped, then resumed", Mode::Quorum, TAKEOVER_BOUND);
}

#[test]
fn in_quorum_mode_a_primary_that_is_cut_off_loses_nothing() {
    check("primary cut off from all", Mode::Quorum, TAKEOVER_BOUND);
}

#[test]
fn in_quorum_mode_a_server_that_hangs_loses_nothing() {
    check("all server processes stopped", Mode::Quorum, TAKEOVER_BOUND);
}

#[test]
fn a_host_that_is_stopped_and_resumed_writes_no_more() {
    check("host stopped, then resumed, below a subreaper", Mode::Async, TAKEOVER_BOUND);
}

#[test]
fn a_primary_at_which_nothing_arrives_is_replaced() {
    check("nothing arrives at the primary", Mode::Async, TAKEOVER_BOUND);
}

#[test]
fn a_primary_of_which_nothing_arrives_is_replaced() {
    check("nothing of the primary arrives", Mode::Async, TAKEOVER_BOUND);
}

#[test]
fn half_a_second_to_etcd_is_not_noticed() {
    check("500 ms to etcd", Mode::Async, UNNOTICED);
}

#[test]
fn a_clock_that_is_set_forward_is_not_noticed() {
    check("clock set forward by a day", Mode::Async, UNNOTICED);
}

#[test]
fn a_clock_that_is_set_back_is_not_noticed() {
    check("clock set back by a day", Mode::Async, UNNOTICED);
}

#[test]
fn a_primary_that_is_cut_off_from_all_is_replaced() {
    check("primary cut off from all", Mode::Async, TAKEOVER_BOUND);
}

#[test]
fn a_primary_that_is_cut_off_from_its_peers_only_goes_on() {
    check("primary cut off from its peers only", Mode::Async, UNNOTICED);
}

#[test]
fn a_primary_that_is_cut_off_from_etcd_only_goes_on() {
    check("primary cut off from etcd only", Mode::Async, UNNOTICED);
}

#[test]
fn an_etcd_leader_that_dies_is_not_missed() {
    check("etcd's leader killed", Mode::Async, UNNOTICED);
}

#[test]
fn a_guardian_that_is_stopped_is_replaced_with_its_server_or_its_node() {
    check("guardian stopped", Mode::Async, TAKEOVER_BOUND);
}
