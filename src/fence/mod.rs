//! Making acknowledgements impossible when a deadline passes: the guardian, a process of its own that
//! starts the server and holds its deadline; the agent's side of it; and the agent's own thread, a second
//! net. Nothing here awaits or logs; nothing here chooses.

mod client;
mod clock;
mod deadline;
mod guardian;
mod kill;
mod link;
mod page;
mod processes;
mod reader;
mod socket;
mod sys;
mod watch_client;
mod watchdog;
mod wire;

pub use client::{Attached, Coming, Endings, Guardian, GuardianNews, Left};
pub use clock::BoottimeClock;
pub use deadline::{DeadlineFence, Fired};
pub use guardian::{AGENT_SOCKET, run as run_guardian, run_as_first_process};
pub use kill::{Fenced, Target, kill_all};
pub use page::{Deposit, Enforced, Watched};
pub use processes::{Process, family_of, list, works_in};
pub use reader::LogReader;
pub use sys::pid_behind;
pub use wire::{Launch, Setup};
