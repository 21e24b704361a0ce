//! What the agent shows of itself: one immutable status, swapped as a whole; events; metrics.

pub mod catalogue;
mod events;
mod metrics;
pub mod server_catalogue;
mod server_statistics;
mod status;

pub use catalogue::{Family, Kind, OURS};
pub use events::{EVENTS_KEPT, Event, EventKind, EventSink, Events};
pub use metrics::{Metrics, Stage};
pub use server_catalogue::SERVERS;
pub use server_statistics::{ServerStatistics, TakenStatistics};
pub use status::{Activity, FenceSeen, Published, Status, WatchdogSeen};
