//! Planted faults: each has to be seen within a stated number of seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgbaton::mutants::{Mutant, plant};

use crate::{batch, histories};

/// Where a planted fault has to be seen.
enum Ground {
    /// Within so many seeds.
    Seeds(u64),
    /// In a history of its own: what it takes is too rare for seeds.
    History(&'static str),
}

const fn ground(mutant: Mutant) -> Ground {
    let seeds = match mutant {
        Mutant::DeadlineFromReply => return Ground::History(histories::SLOW_ANSWERS),
        Mutant::DeadlineFromLastTry => return Ground::History(histories::NO_ANSWERS),
        Mutant::KeepaliveAsProof => 500,
        Mutant::UnknownAsVacant => 500,
        Mutant::ReleaseBeforeStop => 500,
        Mutant::UnguardedWrite => 1_000,
        Mutant::LsnWithoutEpoch => return Ground::History(histories::DEAD_BRANCH),
        Mutant::VoteWhileReceiving => 1_000,
        Mutant::OwnerByName => return Ground::History(histories::NAMESAKE),
        Mutant::DeadlineAnHourLate => 100,
        Mutant::BurntTimelineAgain => 3_000,
        Mutant::StartAfterBrokenRewind => 1_000,
        Mutant::JournalAfterTheDeed => 500,
        Mutant::SlotDroppedAtOnce => 500,
        Mutant::AcceptanceFromReply => 3_000,
        Mutant::OneAcceptanceTooFew => 500,
        Mutant::AcceptorRaces => 1_000,
        Mutant::AcceptorPromises => 1_000,
        Mutant::TakerDoesNotCount => 3_000,
        Mutant::ResumeWithoutReading => 1_000,
        Mutant::ResumeKeepsTerm => return Ground::History(histories::LATE_RECORD),
        Mutant::GuardianArmedLate => 500,
        Mutant::OneSignIsEnough => 1_000,
        Mutant::SyncWaitAsStall => 1_000,
        Mutant::StallIgnored => 1_000,
        Mutant::SyncNamesWidenedFirst => 500,
        Mutant::SyncNamesEmptiedFirst => 500,
        Mutant::SyncPublishedEarly => 3_000,
        Mutant::SyncRecordIgnored => 3_000,
        Mutant::SyncVotesTooFew => return Ground::History(histories::LONE_VOTER),
        Mutant::SyncVotesOfAll => return Ground::History(histories::ONE_OF_THREE),
        Mutant::AcceptanceForgotten => return Ground::History(histories::CARRIES_STILL),
        Mutant::OfferForgotten => return Ground::History(histories::LATE_OFFER),
        Mutant::PromotionForgotten => return Ground::History(histories::UNRECORDED),
        Mutant::FoundNamesTrusted => return Ground::History(histories::HALF_TOLD),
        Mutant::BurntBranchLeft => return Ground::History(histories::BURNT_BRANCH),
        Mutant::AnswersOverruled => return Ground::History(histories::ANSWERS),
        Mutant::LossAcceptedForGood => return Ground::History(histories::OLD_ACCEPTANCE),
    };
    Ground::Seeds(seeds)
}

/// What became of one planted fault.
pub struct Caught {
    /// Which.
    pub mutant: Mutant,
    /// Where it had to be seen, for people.
    pub within: String,
    /// Where it was seen, and by which rule; `None` when it was not.
    pub by: Option<String>,
}

/// Plants each fault in turn.
pub fn all() -> Vec<Caught> {
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..batch::threads() {
            scope.spawn(|| {
                while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = hunt(*mutant);
                    caught.lock().expect("no hunter dies with the list in hand").push(one);
                }
            });
        }
    });
    caught.into_inner().expect("no hunter dies with the list in hand")
}

/// Plants one, and looks for it where it has to be seen.
pub fn hunt(mutant: Mutant) -> Caught {
    match ground(mutant) {
        Ground::Seeds(limit) => {
            let batch = batch::run(1, limit, Some(mutant), 1, 1);
            let first = batch.failures.first();
            let by = first.map(|(seed, broken)| format!("at seed {seed}, by {}", broken.invariant));
            Caught { mutant, within: format!("{limit} seeds"), by }
        }
        Ground::History(name) => {
            plant(Some(mutant));
            let first = histories::first_broken(name);
            plant(None);
            let by = first.map(|(life, broken)| format!("in life {life}, by {}", broken.invariant));
            Caught { mutant, within: format!("the history {name}"), by }
        }
    }
}
