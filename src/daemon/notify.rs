//! Telling systemd how the agent is doing (`sd_notify(3)`), where it asked to be told.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

/// Where systemd listens; nothing where it did not start this agent.
#[derive(Debug)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// Finds the socket named in `NOTIFY_SOCKET`.
    pub fn from_env() -> Self {
        let found = env::var("NOTIFY_SOCKET").ok().and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            };
            Some((UnixDatagram::unbound().ok()?, address.ok()?))
        });
        Self(found)
    }

    /// The agent is up.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The files are being read again. Followed by [`Notify::ready`].
    pub fn reloading(&self, monotonic_micros: u64) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={monotonic_micros}"));
    }

    /// The agent is stopping.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            debug!(error = &error as &dyn std::error::Error, "systemd was not told");
        }
    }
}
