//! Making acknowledgements impossible: the kill of every process of a server, and the thread that does
//! it when the deadline passes. Nothing here awaits, logs or writes a file; nothing here chooses.

mod clock;
mod deadline;
mod kill;
mod processes;

pub use clock::BoottimeClock;
pub use deadline::{DeadlineFence, Fired};
pub use kill::{Fenced, Target, kill_all};
pub use processes::{Process, list, works_in};
