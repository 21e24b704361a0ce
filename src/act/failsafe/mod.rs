//! A store outage is not a database outage: the primary asks the listed members for what the store
//! cannot give meanwhile, and the list is kept while the store works.

mod asker;
mod lists;
mod record;

pub use asker::{Asker, AskerParts};
pub use lists::FailsafeLists;
pub use record::write;

use crate::values::{LeaseDeadline, Monotonic, Term};

/// Enough members have accepted the holder: its lease is carried until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The term they were asked for.
    pub term: Term,
    /// When they were asked.
    pub asked_at: Monotonic,
    /// Until when, counted from when they were asked.
    pub until: LeaseDeadline,
}
