//! Carrying out decisions: one function for each effect, in the order given, stopping at the first
//! failure. Chooses nothing.

mod carried;
mod context;
mod effects;
mod election;
pub mod failsafe;
mod journal;
pub mod lease;
mod ports;
mod presence;
mod promotion;
mod records;
mod rejoin;
mod replaced;
mod synchronous;
mod until;

pub use context::{Context, Kept, Note};
pub use effects::{EffectError, Telling, carry_out, chain, name as effect_name};
pub use election::refuse;
pub use journal::{JournalFile, Notebook};
pub use ports::Ports;
pub use presence::{Publisher, Wanted};
