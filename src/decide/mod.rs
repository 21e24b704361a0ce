//! From a view to a decision. Total and pure: the same view always gives the same decision.

mod accepted_loss;
mod blind;
mod bootstrap;
mod branches;
mod candidates;
mod carried;
mod decision;
mod election;
mod failsafe;
mod following;
mod gates;
mod handover;
mod health;
mod ladder;
mod leading;
mod promotion;
mod proof;
mod rejoin;
mod replaced;
mod resuming;
mod seat;
mod slots;
mod stopping;
mod symptoms;
mod sync_memory;
mod synchronous;
mod upkeep;
mod upstream;
mod view;
mod voting;

pub use candidates::{Standings, rank};
pub use carried::{CarriedMemory, carried_along, missed as missed_slots};
pub use decision::{Carry, Check, Decision, Effect, Fetch, LeftToArchive, Reason, SyncChange};
pub use failsafe::{Acceptance, judge, observe_keyless};
pub use health::{RESTART_LABEL, Stall, not_receiving, probe_period, unfit, verdict};
pub use ladder::Ladder;
pub use proof::proven;
pub use seat::{HeldLease, LeaseSight, Sight, seat};
pub use slots::SlotMemory;
pub use symptoms::Symptoms;
pub use sync_memory::StandbyRules;
pub use synchronous::{possible_names, step_towards};
pub use view::{
    Failure, Job, JobKind, Journal, Me, Memory, Seat, Settings, SyncMemory, Unfinished, Vacancy,
    View,
};

use crate::cluster::State;

/// Chooses this turn's effects.
pub fn decide(view: &View) -> Decision {
    if let Some(decision) = gates::first_closed(view) {
        return decision;
    }
    match (view.seat, &*view.server) {
        (Seat::Mine(_), State::Primary(facts)) => leading::keep(view, facts),
        (Seat::Mine(until), State::Standby(facts)) => promotion::finish(view, until, facts),
        (Seat::Mine(_), State::Starting | State::Stopping | State::Silent) => {
            leading::wait_for_the_server(view)
        }
        (Seat::Mine(_), State::Down(control)) => leading::recover_or_give_up(view, control),
        (Seat::Mine(_), State::Empty | State::Unusable(_)) => leading::give_up(view),
        (Seat::Offered, State::Standby(facts)) => promotion::accept(view, facts),
        (
            Seat::Offered,
            State::Primary(_)
            | State::Starting
            | State::Stopping
            | State::Silent
            | State::Down(_)
            | State::Empty
            | State::Unusable(_),
        ) => promotion::decline(view),
        (Seat::Held { .. }, State::Primary(_)) => following::step_down(view),
        (Seat::Held { .. }, State::Standby(facts)) => following::stream(view, facts),
        (Seat::Held { .. }, State::Down(control)) => rejoin::start_or_rewind(view, control),
        (Seat::Held { .. }, State::Empty) => bootstrap::copy_or_wait(view),
        (Seat::Vacant(vacancy), State::Primary(_)) => bootstrap::take_in(view, vacancy),
        (Seat::Vacant(vacancy), State::Standby(facts)) => {
            election::stand_or_wait(view, vacancy, facts)
        }
        (Seat::Vacant(vacancy), State::Down(control)) => {
            rejoin::come_up_as_standby(view, vacancy, control)
        }
        (Seat::Vacant(vacancy), State::Empty) => bootstrap::claim_or_wait(view, vacancy),
        (
            Seat::Held { .. } | Seat::Vacant(_),
            State::Starting | State::Stopping | State::Silent | State::Unusable(_),
        ) => following::wait_for_the_server(view),
        (
            Seat::Unknown,
            State::Primary(_)
            | State::Standby(_)
            | State::Starting
            | State::Stopping
            | State::Silent
            | State::Down(_)
            | State::Empty
            | State::Unusable(_),
        ) => blind::hold_still(view),
    }
}

#[cfg(test)]
mod tests;
