//! The exhaustive check: small models of the protocol, of three nodes, of which every reachable state
//! is looked at. `docs/TESTING.md` tells what it found and how large they are.
//!
//! The simulation runs all of the product in some histories; this runs its arithmetic in all histories
//! of a small world.

mod lease;
mod lease_agent;
mod lease_state;
mod lease_store;
mod search;
mod symmetry;
mod sync;
mod sync_state;

use std::process::ExitCode;
use std::sync::Arc;

use pgbaton::mutants::Mutant;

use lease::{KEPT, Lease, ONE, OWN, RISE, SILENCE};
use search::{exhaust, must_break};
use sync::Sync;

const HEARD: &str = "r + k > |V u S| for all that may be in force";
const ACKNOWLEDGED: &str = "a leader has every acknowledged commit";

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

fn check_lease() -> bool {
    let of = |mutant, keeps_ballot| Lease {
        ticks: 2,
        terms: var("TERMS", 2),
        restarts: var("RESTARTS", 0),
        mutant,
        keeps_ballot,
        seen: Arc::default(),
    };
    let mut good = exhaust("lease, race and promises", of(None, false));
    for (mutant, rule) in [
        (Mutant::DeadlineFromReply, ONE),
        (Mutant::DeadlineFromLastTry, ONE),
        (Mutant::DeadlineAnHourLate, ONE),
        (Mutant::GuardianArmedLate, ONE),
        (Mutant::ResumeWithoutReading, ONE),
        (Mutant::ReleaseBeforeStop, OWN),
        (Mutant::OfferForgotten, OWN),
        (Mutant::OwnerByName, OWN),
        (Mutant::UnknownAsVacant, SILENCE),
        (Mutant::VoteWhileReceiving, KEPT),
    ] {
        good &= must_break(&format!("{mutant:?}"), rule, of(Some(mutant), false));
    }
    good & must_break("a ballot counts over a changed baton", RISE, of(None, true))
}

fn check_sync() -> bool {
    let of = |mutant, forgets_open_write| Sync {
        commits: 1,
        promotions: 1,
        mutant,
        forgets_open_write,
    };
    let mut good = exhaust("synchronous set", of(None, false));
    for (mutant, rule) in [
        (Mutant::SyncNamesWidenedFirst, HEARD),
        (Mutant::SyncNamesEmptiedFirst, HEARD),
        (Mutant::SyncPublishedEarly, ACKNOWLEDGED),
        (Mutant::SyncRecordIgnored, ACKNOWLEDGED),
        (Mutant::SyncVotesTooFew, ACKNOWLEDGED),
        (Mutant::VoteWhileReceiving, ACKNOWLEDGED),
    ] {
        good &= must_break(&format!("{mutant:?}"), rule, of(Some(mutant), false));
    }
    good & must_break("an open write is forgotten", HEARD, of(None, true))
}

fn var(n: &str, d: u8) -> u8 { std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d) }
