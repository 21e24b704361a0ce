//! Where a node stands in the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Lsn;

/// The id of a timeline. Chosen locally by the server that promotes, so equal ids do not mean equal
/// histories.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl Timeline {
    /// The timeline after `initdb`.
    pub const FIRST: Timeline = Timeline(1);

    /// The id after this one.
    pub const fn next(self) -> Timeline {
        Timeline(self.0 + 1)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a node stands. Not `Ord`: positions on two timelines have no order of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WalPosition {
    /// The timeline the position is on.
    pub timeline: Timeline,
    /// The position on it.
    pub lsn: Lsn,
}

impl WalPosition {
    /// Returns how far `self` trails `leader`; a node that is ahead trails by zero.
    pub fn lag_behind(self, leader: WalPosition) -> Lag {
        if self.timeline != leader.timeline {
            return Lag::OtherTimeline;
        }
        Lag::Bytes(self.lsn.bytes_behind(leader.lsn))
    }
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on timeline {}", self.lsn, self.timeline)
    }
}

/// How far one position trails another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// By so many bytes of the same timeline.
    Bytes(u64),
    /// The two cannot be compared without the history.
    OtherTimeline,
}

/// Whether a transaction is older than another. Their numbers wrap around, and no two that are in use are further
/// apart than half of them.
pub fn is_earlier_transaction(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, lsn: u64) -> WalPosition {
        WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    #[test]
    fn lag_is_bytes_on_one_timeline_only() {
        assert_eq!(at(1, 5).lag_behind(at(1, 9)), Lag::Bytes(4));
        assert_eq!(at(1, 9).lag_behind(at(1, 5)), Lag::Bytes(0));
        assert_eq!(at(2, 9).lag_behind(at(1, 9)), Lag::OtherTimeline);
    }
}
