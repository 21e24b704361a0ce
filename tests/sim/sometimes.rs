//! What has to happen in a batch now and then. A batch in which one of these never happened proves
//! nothing about it.

/// Something that happens sometimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Sometimes {
    /// A leader was followed by another after a race.
    FailedOver,
    /// A leader handed over by name.
    HandedOver,
    /// The answer to a renewal came when its lease had run out already.
    LateReply,
    /// A stale leader of etcd kept a lease that was gone.
    StaleLeaderSeen,
    /// A write was applied and its answer lost.
    ReplyLost,
    /// A holder found out that an unanswered renewal had been applied.
    AmbiguousResolved,
    /// A race broke off, and the holder raised its term.
    RaceHealed,
    /// A promotion skipped a burnt timeline id.
    BurntSkipped,
    /// A diverged server was rewound.
    Rewound,
    /// A rewind broke off, and was repeated.
    RewindRepeated,
    /// The fence killed a server at its deadline.
    Fenced,
    /// A frozen node was deposed while it slept.
    FrozenLeaderDeposed,
    /// Two nodes tried to take the same baton.
    TakeConflict,
    /// A crashed primary was started again where it was.
    RestartedInPlace,
    /// A late write of a deposed leader was refused by the store.
    LateWriteRefused,
    /// Acknowledged writes were lost, within the bound.
    LossWithinBound,
    /// A watch was compacted under.
    WatchCompacted,
    /// The store refused a renewal for want of space.
    NoSpace,
    /// A person's request was refused.
    RequestRefused,
    /// A member refused its promise because it saw the holder alive.
    HolderSeenAlive,
    /// A new agent took up the lease of the one before, under the running server.
    LeaseResumed,
    /// A server went on while its agent was gone.
    WroteWithoutAgent,
    /// Backends went on acknowledging after their postmaster was gone.
    OrphansWrote,
    /// A rewind did not find the log that it needs.
    RewindWithoutLog,
    /// Data was set aside.
    SetAside,
    /// Data that was whole was removed, to be copied anew.
    WholeDataRemoved,
    /// A standby's leader did not have the log any more that it needs.
    LogWasGone,
    /// Writes were acknowledged while the members carried the lease in the store's place.
    CarriedByMembers,
    /// The same, with one of the listed members not carrying it.
    CarriedWithOneGone,
    /// A member refused its promise because it carried the holder.
    TakerHeldOff,
    /// A server that was alive and of no use was given up.
    StallHandedOver,
    /// A commit was acknowledged in synchronous mode by a leader of the third term or a later one.
    SyncCommitInLaterTerm,
    /// The set of synchronous standbys was changed.
    SyncSetChanged,
    /// A server was restarted because somebody asked for it.
    RestartedOnRequest,
    /// Some nodes stayed away, and the others were enough.
    ServedWithSomeAway,
}

impl Sometimes {
    /// All of them.
    pub const ALL: [Sometimes; 35] = [
        Sometimes::FailedOver,
        Sometimes::HandedOver,
        Sometimes::LateReply,
        Sometimes::StaleLeaderSeen,
        Sometimes::ReplyLost,
        Sometimes::AmbiguousResolved,
        Sometimes::RaceHealed,
        Sometimes::BurntSkipped,
        Sometimes::Rewound,
        Sometimes::RewindRepeated,
        Sometimes::Fenced,
        Sometimes::FrozenLeaderDeposed,
        Sometimes::TakeConflict,
        Sometimes::RestartedInPlace,
        Sometimes::LateWriteRefused,
        Sometimes::LossWithinBound,
        Sometimes::WatchCompacted,
        Sometimes::NoSpace,
        Sometimes::RequestRefused,
        Sometimes::HolderSeenAlive,
        Sometimes::LeaseResumed,
        Sometimes::WroteWithoutAgent,
        Sometimes::OrphansWrote,
        Sometimes::RewindWithoutLog,
        Sometimes::SetAside,
        Sometimes::WholeDataRemoved,
        Sometimes::LogWasGone,
        Sometimes::CarriedByMembers,
        Sometimes::CarriedWithOneGone,
        Sometimes::TakerHeldOff,
        Sometimes::StallHandedOver,
        Sometimes::SyncCommitInLaterTerm,
        Sometimes::SyncSetChanged,
        Sometimes::RestartedOnRequest,
        Sometimes::ServedWithSomeAway,
    ];
}

/// How often each of them happened.
pub type Counts = [u64; Sometimes::ALL.len()];

/// None of them happened yet.
pub const NONE: Counts = [0; Sometimes::ALL.len()];
