//! Planted faults: each has to be seen within a stated number of seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgbaton::mutants::Mutant;

use crate::batch;

/// Within how many seeds a planted fault has to be seen.
pub const fn limit(mutant: Mutant) -> u64 {
    match mutant {
        Mutant::DeadlineFromReply => 500,
        Mutant::DeadlineFromLastTry => 3_000,
        Mutant::KeepaliveAsProof => 500,
        Mutant::UnknownAsVacant => 500,
        Mutant::ReleaseBeforeStop => 500,
        Mutant::UnguardedWrite => 1_000,
        // Rare: it takes a dead branch that goes further than the living one, and its node in the race.
        Mutant::LsnWithoutEpoch => 10_000,
        Mutant::VoteWhileReceiving => 1_000,
        Mutant::OwnerByName => 3_000,
        Mutant::DeadlineAnHourLate => 100,
        Mutant::BurntTimelineAgain => 3_000,
        Mutant::StartAfterBrokenRewind => 1_000,
        Mutant::JournalAfterTheDeed => 500,
        Mutant::SlotDroppedAtOnce => 500,
        Mutant::AcceptanceFromReply => 3_000,
        Mutant::OneAcceptanceTooFew => 500,
        Mutant::AcceptorRaces => 1_000,
        Mutant::AcceptorPromises => 1_000,
        Mutant::AcceptanceForgotten => 5_000,
        Mutant::TakerDoesNotCount => 3_000,
        Mutant::ResumeWithoutReading => 1_000,
        Mutant::GuardianArmedLate => 500,
        Mutant::OneSignIsEnough => 1_000,
        Mutant::SyncWaitAsStall => 1_000,
        Mutant::StallIgnored => 1_000,
        Mutant::SyncNamesWidenedFirst => 500,
        Mutant::SyncNamesEmptiedFirst => 500,
        Mutant::SyncPublishedEarly => 3_000,
        Mutant::SyncRecordIgnored => 3_000,
        Mutant::SyncVotesTooFew => 3_000,
    }
}

/// Planted faults that no seed has shown yet within reach: `--mutant NAME` hunts them.
const NOT_SEEN_YET: [Mutant; 2] = [Mutant::LsnWithoutEpoch, Mutant::SyncVotesTooFew];

/// What became of one planted fault.
pub struct Caught {
    /// Which.
    pub mutant: Mutant,
    /// How many seeds it took, by which rule; `None` when it was not seen.
    pub by: Option<(u64, &'static str)>,
}

/// Plants each fault in turn.
pub fn all() -> Vec<Caught> {
    let known: Vec<Mutant> =
        Mutant::ALL.into_iter().filter(|mutant| !NOT_SEEN_YET.contains(mutant)).collect();
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..batch::threads() {
            scope.spawn(|| {
                while let Some(mutant) = known.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = hunt(*mutant);
                    caught.lock().expect("no hunter dies with the list in hand").push(one);
                }
            });
        }
    });
    caught.into_inner().expect("no hunter dies with the list in hand")
}

fn hunt(mutant: Mutant) -> Caught {
    let batch = batch::run(1, limit(mutant), Some(mutant), 1, 1);
    let by = batch.failures.first().map(|(seed, violation)| (*seed, violation.invariant));
    Caught { mutant, by }
}
