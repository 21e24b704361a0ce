//! What the agent shows of itself: one immutable status, swapped as a whole; events; metrics.

mod status;

pub use status::{Activity, Published, Status};
