//! Facts with a type of their own, and how they compare. Knows no I/O and no policy.

mod clock;
mod lease_times;
mod lsn;
mod names;
mod position;
mod strength;
mod watchdog;

pub use clock::{Clock, LeaseDeadline, Monotonic};
pub use lease_times::{LeaseTimes, SMALLEST_TTL_AT_DEFAULT_ELECTION};
pub use lsn::{InvalidLsn, Lsn};
pub use names::{Incarnation, MemberName, Revision, SystemId, Term};
pub use position::{Lag, Timeline, WalPosition, is_earlier_transaction};
pub use strength::{FenceChoice, NoSuchFence, Strength};
pub use watchdog::{Watchdog, WatchdogDriver, WatchdogMode};
