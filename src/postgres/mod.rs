//! The local PostgreSQL server: the port through which the agent knows and moves it, and the real one.

mod port;

pub use port::{
    Control, ControlState, CopyProgress, Downstream, Killed, Look, PrimaryFacts, Promoted,
    Receiver, Server, ServerError, Settled, StandbyFacts, StartAs, State, StopMode, Upstream,
};
