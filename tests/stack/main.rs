//! Ring 5: the stack of `compose.yaml`, brought up as a user would, and a game day on it: what stops, what is
//! killed, what clients see of it, what Prometheus makes of it. One stack, one drill after another.
//!
//! `cargo test --release --features cluster --test stack -- fence` goes through the drills with that word.

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod daemon;
mod dashboards;
mod drills;
mod fence;
mod prometheus;
mod rules;
mod stack;
mod swarm;
mod systemd;

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use stack::Stack;

type Drill = (&'static str, fn(&Stack));

/// In this order: the alerts look back on what was done before them.
const DRILLS: [Drill; 15] = [
    ("every_node_is_fenced_as_a_container", fence::every_node_is_fenced_as_a_container),
    ("a_stopped_replica_is_missed_by_nobody", drills::a_stopped_replica_is_missed_by_nobody),
    ("a_stopped_primary_hands_over", drills::a_stopped_primary_hands_over),
    ("a_killed_primary_loses_nothing", drills::a_killed_primary_loses_nothing),
    ("one_etcd_member_is_not_missed", drills::one_etcd_member_is_not_missed),
    ("writes_go_on_without_an_etcd_majority", drills::writes_go_on_without_an_etcd_majority),
    ("direct_clients_need_no_haproxy", drills::direct_clients_need_no_haproxy),
    ("clients_change_to_the_other_haproxy", drills::clients_change_to_the_other_haproxy),
    ("a_killed_agent_is_started_again", fence::a_killed_agent_is_started_again),
    ("a_stopped_agent_is_fenced", fence::a_stopped_agent_is_fenced),
    ("a_stopped_agent_is_fenced_with_sys_admin", fence::a_stopped_agent_is_fenced_with_sys_admin),
    ("a_paused_primary_is_fenced_when_it_wakes", fence::a_paused_primary_is_fenced_when_it_wakes),
    ("every_panel_has_data", dashboards::every_panel_has_data),
    ("every_alert_asks_for_what_there_is", rules::every_alert_asks_for_what_there_is),
    ("all_stopped_is_alerted_and_comes_back", rules::all_stopped_is_alerted_and_comes_back),
];

/// Those that bring up what they need themselves.
const ON_THEIR_OWN: [(&str, fn()); 2] = [
    ("the_stack_works_on_a_swarm_of_one", swarm::the_stack_works_on_a_swarm_of_one),
    ("the_unit_works_under_systemd", systemd::the_unit_works_under_systemd),
];

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let began = Instant::now();
    keep_what_panics_say();
    let _daemon = daemon::Daemon::ready();
    daemon::base_image();
    stack::lay_binary_down();
    let mut failed = Vec::new();
    if DRILLS.iter().any(|(name, _)| chosen(name)) {
        go_through(&chosen, &mut failed);
    }
    for (name, test) in ON_THEIR_OWN.into_iter().filter(|(name, _)| chosen(name)) {
        if !run(name, test) {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        // At the end once more, with what they said: what came between is long.
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        println!("\n{}\n\nfailures:\n    {}", said.join("\n"), failed.join("\n    "));
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; \
         finished in {:.2}s",
        PASSED.load(Ordering::Relaxed),
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many drills have passed.
static PASSED: AtomicUsize = AtomicUsize::new(0);

/// What those that failed said.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_what_panics_say() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
        before(panic);
    }));
}

/// The drills on the compose stack, which is gone afterwards.
fn go_through(chosen: &dyn Fn(&str) -> bool, failed: &mut Vec<&'static str>) {
    stack::build_images();
    let stack = Stack::up();
    for (name, drill) in DRILLS.iter().filter(|(name, _)| chosen(name)) {
        let drilled = |prepare: fn(&Stack)| {
            run(name, || {
                prepare(&stack);
                stack.settle();
                drill(&stack);
            })
        };
        if drilled(|_| ()) {
            continue;
        }
        stack.tell_logs(name);
        // Its bounds are those of a machine that does nothing else. Both results are shown.
        println!("{name} is run once more");
        if !drilled(Stack::put_back) {
            failed.push(name);
        }
    }
    // A stop that is not clean, or something left behind, is a failure as well.
    if !run("nothing_is_left_behind", || stack.down()) {
        failed.push("nothing_is_left_behind");
    }
}

fn run(name: &str, test: impl FnOnce()) -> bool {
    let began = Instant::now();
    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
    PASSED.fetch_add(usize::from(passed), Ordering::Relaxed);
    let verdict = if passed { "ok" } else { "FAILED" };
    println!("{name} took {:.1} s", began.elapsed().as_secs_f64());
    println!("test {name} ... {verdict}");
    passed
}
