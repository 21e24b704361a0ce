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
    /// Backends went on acknowledging after their postmaster was gone.
    OrphansWrote,
    /// A commit was acknowledged in synchronous mode by a leader of the third term or a later one.
    SyncCommitInLaterTerm,
    /// The set of synchronous standbys was changed.
    SyncSetChanged,
}

impl Sometimes {
    /// All of them.
    pub const ALL: [Sometimes; 23] = [
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
        Sometimes::OrphansWrote,
        Sometimes::SyncCommitInLaterTerm,
        Sometimes::SyncSetChanged,
    ];
}

/// How often each of them happened.
pub type Counts = [u64; Sometimes::ALL.len()];
