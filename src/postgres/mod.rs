//! The local PostgreSQL server: the port through which the agent knows and moves it, and the real one.

mod callbacks;
mod configuration;
mod connection;
mod conninfo;
mod control;
mod facts;
mod files;
mod history;
mod lifecycle;
mod look;
mod making;
mod owner;
mod place;
mod port;
mod process;
mod programs;
mod repair;
mod replication_startup;
mod server;
mod server_log;
mod spawner;
mod standby;
mod synchronous;
mod watch;

pub use callbacks::Event;
pub use owner::Owner;
pub use port::{
    Control, ControlState, CopyProgress, Downstream, Killed, Look, PrimaryFacts, Promoted,
    Receiver, Server, ServerError, Settled, StandbyFacts, StartAs, State, StopMode, Upstream,
};
pub use server::LocalServer;
