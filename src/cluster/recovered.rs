//! A person's word that a store which knows less than the members is to be gone on with.

use crate::values::Term;

/// What was accepted. Stays in the store as its own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Whatever was done up to this term may be gone: the next holder's is a later one.
    pub term: Term,
    /// When, ISO 8601.
    pub at: String,
    /// By whom, and where.
    pub by: String,
}
