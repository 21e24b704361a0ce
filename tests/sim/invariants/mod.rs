//! What must hold in every world, one rule a file. Here: which rules look at which event.

mod async_loss_within_bound;
pub mod convergence;
mod demoted_before_deadline;
mod failsafe_promise_kept;
mod fence_before_takeover;
pub mod gray_failures;
mod lease_before_promotion;
pub mod never_leaderless;
mod no_acknowledged_commit_lost;
mod no_process_after_deadline;
mod nothing_destroyed_silently;
mod one_primary_answers;
mod one_writer;
mod promise_is_kept;
mod race_after_silence;
mod rewinding_never_serves;
mod slots_of_members_are_kept;
mod sync_names_inside_postgres;
mod term_guarded_writes;
mod terms_rise;

use bytes::Bytes;
use pgbaton::dcs::Txn;
use pgbaton::values::{Lsn, Term};

use crate::etcd::Author;
use crate::postgres::At;
use crate::sometimes::Sometimes;
use crate::truth::{Began, Opening};
use crate::world::World;

/// Equal timeline ids mean equal histories. Looked at where logs are written and sent.
pub const EQUAL_TIMELINE: &str = "equal_timeline_equal_history";
/// A directory that is being made or rewound never serves.
pub const REWINDING: &str = rewinding_never_serves::NAME;
/// After the faults are over, the cluster serves again.
pub const CONVERGENCE: &str = "convergence";

pub use nothing_destroyed_silently::Deed;

type Check = Result<(), String>;

fn hold(world: &World, name: &'static str, check: Check) {
    if let Err(text) = check {
        world.broken(name, text);
    }
}

/// A node is about to open its server: it was told to promote, or to start as a primary.
pub fn opens(world: &World, node: usize) {
    hold(world, lease_before_promotion::NAME, lease_before_promotion::check(world, node));
}

/// A server accepts writes from now on; returns the number of the opening.
pub fn opened(world: &World, node: usize, at: At) -> usize {
    if world.truth.borrow().sync.is_some() {
        let check = no_acknowledged_commit_lost::check(world, node, at);
        hold(world, no_acknowledged_commit_lost::NAME, check);
    } else {
        hold(world, async_loss_within_bound::NAME, async_loss_within_bound::check(world, node, at));
    }
    let mut truth = world.truth.borrow_mut();
    let before = truth.openings.last().map(|opening| opening.node);
    let began = truth.began;
    truth.openings.push(Opening { node });
    truth.acknowledged = Some(at);
    if began == Began::Acceptance {
        // It was about this opening. Later ones start from what is here now.
        truth.began = Began::Race(None);
        truth.sync_acknowledged = Some(at).filter(|_| truth.sync.is_some());
    }
    let opening = truth.openings.len() - 1;
    drop(truth);
    match (before, began) {
        (Some(before), _) if before == node => world.sometimes(Sometimes::RestartedInPlace),
        (Some(_), Began::Race(_) | Began::Acceptance) => world.sometimes(Sometimes::FailedOver),
        (Some(_), Began::Offer) => world.sometimes(Sometimes::HandedOver),
        (None, _) => {}
    }
    opening
}

/// A server told a client that its write is safe.
pub fn acknowledged(world: &World, node: usize, opening: usize, at: At) {
    hold(world, demoted_before_deadline::NAME, demoted_before_deadline::check(world, node));
    hold(world, one_writer::NAME, one_writer::check(world, node, opening));
    let now = world.now();
    if world.hosts[node].life.borrow().calls.is_none() {
        world.sometimes(Sometimes::WroteWithoutAgent);
    }
    let mut truth = world.truth.borrow_mut();
    truth.acknowledged = Some(at);
    if truth.sync.is_some() {
        truth.sync_acknowledged = Some(at);
        if truth.baton.as_ref().is_some_and(|baton| baton.term >= Term(3)) {
            world.sometimes(Sometimes::SyncCommitInLaterTerm);
        }
    }
    truth.last = Some((now, opening));
}

/// A standby received log that was sent under a term.
pub fn received(world: &World, node: usize, term: Term) {
    hold(world, promise_is_kept::NAME, promise_is_kept::check(world, node, term));
}

/// A candidate asks for a promise.
pub fn asked_for_a_promise(world: &World, node: usize) {
    hold(world, race_after_silence::NAME, race_after_silence::check(world, node));
    let kept = failsafe_promise_kept::check(world, node, "races");
    hold(world, failsafe_promise_kept::NAME, kept);
}

/// A node tells somebody that it has promised, with a vote or without one.
pub fn promised(world: &World, node: usize) {
    let kept = failsafe_promise_kept::check(world, node, "promises");
    hold(world, failsafe_promise_kept::NAME, kept);
}

/// A transaction was applied; `guard` is what the store's guard was before.
pub fn written(world: &World, author: Author, txn: &Txn, guard: Option<&Bytes>) {
    let check = term_guarded_writes::check(world, author, txn, guard);
    hold(world, term_guarded_writes::NAME, check);
}

/// The baton may have changed; `before` is its term from before.
pub fn baton_changed(world: &World, before: Option<Term>) {
    hold(world, terms_rise::NAME, terms_rise::check(world, before));
    hold(world, fence_before_takeover::NAME, fence_before_takeover::check(world));
    terms_rise::count(world, before);
}

/// Something is about to be done to a data directory that cannot be undone.
pub fn destroys(world: &World, node: usize, deed: Deed) {
    let check = nothing_destroyed_silently::check(world, node, deed);
    hold(world, nothing_destroyed_silently::NAME, check);
}

/// A primary is about to drop slots.
pub fn drops_slots(world: &World, node: usize, slots: &[String]) {
    let check = slots_of_members_are_kept::check(world, node, slots);
    hold(world, slots_of_members_are_kept::NAME, check);
}

/// The faults have lasted long enough, and nothing is mended yet.
pub fn serves_meanwhile(world: &World) {
    hold(world, never_leaderless::NAME, never_leaderless::check(world));
}

/// Looked at in every step of time.
pub fn at_every_step(world: &World) {
    hold(world, one_primary_answers::NAME, one_primary_answers::check(world));
    for node in 0..world.hosts.len() {
        let check = gray_failures::check_working(world, node);
        hold(world, gray_failures::WORKING, check);
    }
    hold(world, gray_failures::IN_TIME, gray_failures::check_in_time(world));
    hold(world, sync_names_inside_postgres::NAME, sync_names_inside_postgres::check(world));
    hold(world, rewinding_never_serves::NAME, rewinding_never_serves::check(world));
    hold(world, no_process_after_deadline::NAME, no_process_after_deadline::check(world));
}

/// A position for people.
fn show(at: At) -> String {
    format!("{} of branch {}", Lsn(at.lsn.0), at.branch)
}
