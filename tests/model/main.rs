//! The exhaustive check: small models of the protocol, of three nodes, of which every reachable state
//! is looked at. `docs/TESTING.md` tells what it found and how large they are.
//!
//! The simulation runs all of the product in some histories; this runs some of it in all histories of a
//! small world. A word as the argument chooses: `lease` or `sync`.

mod lease;
mod lease_agent;
mod lease_state;
mod lease_store;
mod search;
mod symmetry;
mod sync;
mod sync_race;
mod sync_real;
mod sync_state;

use std::process::ExitCode;
use std::sync::Arc;

use pgbaton::mutants::Mutant;

use lease::{KEPT, Lease, ONE, OWN, RISE, SILENCE};
use search::{exhaust, must_break, must_miss};
use sync::{ACKNOWLEDGED, FOUND, HEARD, Mistake, Sync};

/// Commits, changes of leader, changes of the names, failures. Each is searched to its end.
const SYNC_BOUNDS: [[u8; 4]; 4] = [[1, 1, 2, 2], [2, 1, 2, 1], [1, 2, 2, 1], [2, 2, 1, 1]];

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut good = true;
    if "lease".contains(&wanted) {
        good &= check_lease();
    }
    if "sync".contains(&wanted) {
        good &= check_sync();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Three searches: a bound on everything at once leaves too little of each.
fn check_lease() -> bool {
    let hands_over = Lease::bounded(2, 0);
    let hands_over = Lease { hands_over: true, ..hands_over };
    let races = Lease { seen: Arc::clone(&hands_over.seen), ..Lease::bounded(3, 0) };
    let restarts = Lease { seen: Arc::clone(&hands_over.seen), ..Lease::bounded(2, 1) };
    let mut good = exhaust("lease with handover", hands_over.clone());
    good &= exhaust("lease and races", races.clone());
    good &= exhaust("lease and restarts", Lease { is_last: true, ..restarts.clone() });
    good &= must_miss(Lease { seen: Arc::default(), expanded: Arc::default(), ..races.clone() });
    for (mutant, rule, model) in [
        (Mutant::DeadlineFromReply, ONE, &races),
        (Mutant::DeadlineFromLastTry, ONE, &races),
        (Mutant::DeadlineAnHourLate, ONE, &races),
        (Mutant::GuardianArmedLate, ONE, &races),
        (Mutant::ResumeWithoutReading, ONE, &restarts),
        (Mutant::OwnerByName, OWN, &restarts),
        (Mutant::ReleaseBeforeStop, OWN, &hands_over),
        (Mutant::OfferForgotten, OWN, &hands_over),
        (Mutant::UnknownAsVacant, SILENCE, &races),
        (Mutant::VoteWhileReceiving, KEPT, &races),
    ] {
        let model = Lease { mutant: Some(mutant), seen: Arc::default(), ..model.clone() };
        good &= must_break(&format!("{mutant:?}"), rule, model);
    }
    let model = Lease { keeps_ballot: true, seen: Arc::default(), ..hands_over };
    good & must_break("a ballot counts over a changed baton", RISE, model)
}

fn check_sync() -> bool {
    let model = Sync::bounded(SYNC_BOUNDS[0]);
    let mut good = true;
    for bounds in SYNC_BOUNDS {
        good &= exhaust(&format!("synchronous set {bounds:?}"), Sync::bounded(bounds));
    }
    for (mutant, rule) in [
        (Mutant::SyncNamesWidenedFirst, HEARD),
        (Mutant::SyncNamesEmptiedFirst, HEARD),
        (Mutant::SyncPublishedEarly, ACKNOWLEDGED),
        (Mutant::SyncRecordIgnored, ACKNOWLEDGED),
        (Mutant::SyncVotesTooFew, ACKNOWLEDGED),
        (Mutant::SyncVotesOfAll, FOUND),
        (Mutant::VoteWhileReceiving, ACKNOWLEDGED),
    ] {
        let model = Sync { mutant: Some(mutant), seen: Arc::default(), ..model.clone() };
        good &= must_break(&format!("{mutant:?}"), rule, model);
    }
    for (mistake, rule) in [(Mistake::ForgetsOpenWrite, HEARD), (Mistake::LagCounts, FOUND)] {
        let model = Sync { mistake: Some(mistake), seen: Arc::default(), ..model.clone() };
        good &= must_break(&format!("{mistake:?}"), rule, model);
    }
    good
}
