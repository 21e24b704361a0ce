//! The exhaustive check: small models of the protocol, of three nodes, of which every reachable state
//! is looked at. `docs/TESTING.md` tells what it found and how large they are.
//!
//! The simulation runs all of the product in some histories; this runs its arithmetic in all histories
//! of a small world.

mod search;
mod symmetry;
mod sync;
mod sync_state;

use std::process::ExitCode;

use pgbaton::mutants::Mutant;

use search::{exhaust, must_break};
use sync::Sync;

fn main() -> ExitCode {
    let of = |mutant, forgets_open_write, commits, promotions| Sync { commits, promotions, mutant, forgets_open_write };
    let args: Vec<u8> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (c, p) = (args.first().copied().unwrap_or(1), args.get(1).copied().unwrap_or(1));
    if args.is_empty() { return ExitCode::FAILURE; }
    let mut good = exhaust("synchronous set", of(None, false, c, p));
    const ACKED: &str = "a leader has every acknowledged commit";
    const RULE: &str = "r + k > |V u S| for all that may be in force";
    for (mutant, rule) in [
        (Mutant::SyncNamesWidenedFirst, RULE),
        (Mutant::SyncNamesEmptiedFirst, RULE),
        (Mutant::SyncPublishedEarly, ACKED),
        (Mutant::SyncRecordIgnored, ACKED),
        (Mutant::SyncVotesTooFew, ACKED),
        (Mutant::VoteWhileReceiving, ACKED),
    ] {
        good &= must_break(&format!("{mutant:?}"), rule, of(Some(mutant), false, c, p));
    }
    good &= must_break("an open write is forgotten", RULE, of(None, true, c, p));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
