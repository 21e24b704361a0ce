//! Free ports of the loopback address, from a preferred one upward.

use std::collections::BTreeSet;
use std::net::TcpListener;

use anyhow::{Result, bail};

/// The address that everything in the demo listens on.
pub const HOST: &str = "127.0.0.1";
/// How far up a free port is looked for.
const TRIES: u16 = 500;

/// Gives out free ports, none of them twice.
#[derive(Debug, Default)]
pub struct Ports {
    given: BTreeSet<u16>,
    avoided: BTreeSet<u16>,
    /// Where to go on when all ports come from one range.
    next: Option<u16>,
}

impl Ports {
    /// All from `first` upward; `None` leaves it to what each service prefers.
    pub fn starting_at(first: Option<u16>) -> Self {
        Self { next: first, ..Self::default() }
    }

    /// A free port: what an earlier run had, else the first from what is usual upward.
    pub fn take(&mut self, before: Option<u16>, usual: u16) -> Result<u16> {
        let from = before.or(self.next).unwrap_or(usual);
        let up_to = from.saturating_add(TRIES);
        for port in from..=up_to {
            if self.given.contains(&port) {
                continue;
            }
            if !is_free(port) {
                self.avoided.insert(port);
                continue;
            }
            self.given.insert(port);
            if before.is_none() && self.next.is_some() {
                self.next = Some(port.saturating_add(1));
            }
            return Ok(port);
        }
        bail!("none of the ports {from} to {up_to} is free on {HOST}")
    }

    /// Exactly this port, or an error that says why it has to be this one.
    pub fn take_again(&mut self, port: u16, why: &str) -> Result<u16> {
        if !is_free(port) {
            bail!(
                "port {port} is taken, and {why}; stop what listens there, or take another --dir"
            );
        }
        self.given.insert(port);
        Ok(port)
    }

    /// The ports that would have been taken but for somebody who listens there.
    pub fn avoided(&self) -> impl Iterator<Item = u16> {
        self.avoided.iter().copied()
    }
}

/// Whether one could listen there now. A listener on all addresses counts as one here.
fn is_free(port: u16) -> bool {
    TcpListener::bind((HOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_avoided_and_none_is_given_twice() {
        let taken = TcpListener::bind((HOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let first = ports.take(None, port).unwrap();
        let second = ports.take(None, port).unwrap();
        assert!(port < first && first < second, "{port} {first} {second}");
        assert!(ports.avoided().any(|avoided| avoided == port));
        assert!(ports.take_again(port, "it must be").is_err());
    }

    #[test]
    fn a_listener_on_every_address_takes_the_port_too() {
        let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
