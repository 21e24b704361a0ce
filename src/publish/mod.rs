//! What the agent shows of itself: one immutable status, swapped as a whole; events; metrics.

mod metrics;
mod status;

pub use metrics::Metrics;
pub use status::{Activity, Published, Status};
