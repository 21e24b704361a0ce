//! The local PostgreSQL server: the port through which the agent knows and moves it, and the real one.

mod archive;
mod aside;
mod callbacks;
mod carried;
mod configuration;
mod connection;
mod conninfo;
mod control;
mod disk_probe;
mod facts;
mod files;
mod history;
mod key_file;
mod lifecycle;
mod look;
mod making;
mod owner;
mod place;
mod port;
mod probes;
mod probing;
mod process;
mod programs;
mod reloads;
mod repair;
mod replication_startup;
mod segments;
mod server;
mod server_log;
mod serving;
mod slots;
mod spawner;
mod standby;
mod statistics;
mod synchronous;
mod upstream_log;
mod ward;
mod watch;

pub use callbacks::Event;
pub use disk_probe::probe_disk;
pub use key_file::key_file_on_disk;
pub use owner::Owner;
pub use port::{
    Control, ControlState, CopyProgress, Downstream, Killed, Look, PrimaryFacts, Promoted,
    Receiver, Server, ServerError, Settled, StandbyFacts, StartAs, State, StopMode, Upstream,
};
pub use probes::LocalProbes;
pub use probing::{Glimpse, Probed, Probes, Told};
pub use server::LocalServer;
pub use statistics::{
    Checkpoints, DatabaseCounts, ProcessTimes, ServerCounts, StandbyLag, Statistics,
    StatisticsError, StatisticsReader,
};
