//! The local PostgreSQL server: the port through which the agent knows and moves it, and the real one.

mod port;

pub use port::{
    CopyProgress, Control, ControlState, Downstream, Killed, Look, PrimaryFacts, Promoted, Receiver,
    Server, ServerError, Settled, StandbyFacts, StartAs, State, StopMode, Upstream,
};
