//! Faults that can be planted, one at a time, to prove that the simulation sees them. Without the
//! feature `mutants` nothing can be planted and every question below is a constant `false`.

/// A fault that the simulation has to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The deadline counts from the reply to a renewal, not from its send.
    DeadlineFromReply,
    /// The deadline counts from the last of two unanswered tries, whichever was applied.
    DeadlineFromLastTry,
    /// A kept etcd lease is taken as proof that the baton is still held.
    KeepaliveAsProof,
    /// A store that did not answer is read as a vacant seat.
    UnknownAsVacant,
    /// The baton is released before the server is stopped.
    ReleaseBeforeStop,
    /// A leader's writes are not compared with its guard.
    UnguardedWrite,
    /// Positions are compared by LSN alone.
    LsnWithoutEpoch,
    /// A vote is given while the receiver goes on receiving.
    VoteWhileReceiving,
    /// The baton's owner is recognised by name, not by incarnation.
    OwnerByName,
    /// The deadline is an hour late.
    DeadlineAnHourLate,
    /// A burnt timeline id is used again.
    BurntTimelineAgain,
    /// A directory whose rewind broke off is started.
    StartAfterBrokenRewind,
    /// A rewind is written down after it was done.
    JournalAfterTheDeed,
    /// The slot of a member that is gone is dropped at once.
    SlotDroppedAtOnce,
    /// An acceptance moves the deadline by when it was answered, not by when it was asked for.
    AcceptanceFromReply,
    /// A primary is content with one acceptance too few.
    OneAcceptanceTooFew,
    /// Who has accepted the primary races all the same.
    AcceptorRaces,
    /// Who has accepted the primary promises to another all the same.
    AcceptorPromises,
    /// A member that was started again does not know that it may have accepted.
    AcceptanceForgotten,
    /// A taker does not count who may be carrying the holder.
    TakerDoesNotCount,
    /// A new agent goes on under the lease of the one before without reading whose the baton is.
    ResumeWithoutReading,
    /// A new agent goes on in the term of the one before, whose writes may still be on their way.
    ResumeKeepsTerm,
    /// The guardian is told of a later deadline than the lease has.
    GuardianArmedLate,
    /// One sign is enough to call a server stalled.
    OneSignIsEnough,
    /// Clients that wait for a synchronous standby are read as a stall.
    SyncWaitAsStall,
    /// A stall is never acted on.
    StallIgnored,
    /// More standbys may acknowledge before more of them have to be heard.
    SyncNamesWidenedFirst,
    /// Commits wait for nobody before the record leaves the lead to the leader alone.
    SyncNamesEmptiedFirst,
    /// Standbys are recorded as synchronous before they have caught up.
    SyncPublishedEarly,
    /// A race goes by positions alone, whatever the record of synchronous standbys says.
    SyncRecordIgnored,
    /// One voter fewer than needed is heard.
    SyncVotesTooFew,
    /// Every voter has to be heard, also where fewer are enough.
    SyncVotesOfAll,
    /// An offer that was not answered is forgotten: it may still arrive.
    OfferForgotten,
    /// A promotion that was done and not recorded is forgotten by the next one.
    PromotionForgotten,
    /// Names that an agent before this one told are taken for read by everybody.
    FoundNamesTrusted,
    /// Nobody takes up a burnt branch that everybody who is left is on.
    BurntBranchLeft,
    /// A loss that a person accepted is accepted in later vacancies, too.
    LossAcceptedForGood,
    /// A person's word counts more than a member that answers and carries the holder.
    AnswersOverruled,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 38] = [
        Mutant::DeadlineFromReply,
        Mutant::DeadlineFromLastTry,
        Mutant::KeepaliveAsProof,
        Mutant::UnknownAsVacant,
        Mutant::ReleaseBeforeStop,
        Mutant::UnguardedWrite,
        Mutant::LsnWithoutEpoch,
        Mutant::VoteWhileReceiving,
        Mutant::OwnerByName,
        Mutant::DeadlineAnHourLate,
        Mutant::BurntTimelineAgain,
        Mutant::StartAfterBrokenRewind,
        Mutant::JournalAfterTheDeed,
        Mutant::SlotDroppedAtOnce,
        Mutant::AcceptanceFromReply,
        Mutant::OneAcceptanceTooFew,
        Mutant::AcceptorRaces,
        Mutant::AcceptorPromises,
        Mutant::AcceptanceForgotten,
        Mutant::TakerDoesNotCount,
        Mutant::ResumeWithoutReading,
        Mutant::ResumeKeepsTerm,
        Mutant::GuardianArmedLate,
        Mutant::OneSignIsEnough,
        Mutant::SyncWaitAsStall,
        Mutant::StallIgnored,
        Mutant::SyncNamesWidenedFirst,
        Mutant::SyncNamesEmptiedFirst,
        Mutant::SyncPublishedEarly,
        Mutant::SyncRecordIgnored,
        Mutant::SyncVotesTooFew,
        Mutant::SyncVotesOfAll,
        Mutant::OfferForgotten,
        Mutant::PromotionForgotten,
        Mutant::FoundNamesTrusted,
        Mutant::BurntBranchLeft,
        Mutant::LossAcceptedForGood,
        Mutant::AnswersOverruled,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants one fault on this thread, or none.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this fault is planted.
#[cfg(feature = "mutants")]
pub fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this fault is planted: never, without the feature.
#[cfg(not(feature = "mutants"))]
pub const fn planted(_: Mutant) -> bool {
    false
}
