//! Where members that were given by name were last reached. A reconnect on the way of a renewal must
//! not wait for a name service that may have gone down together with a member.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

const LOOKUP_BOUND: Duration = Duration::from_secs(5);
const CONNECT_BOUND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Default)]
struct Known {
    address: Option<SocketAddr>,
    /// The last try gave no result: the member may have moved, so that the name's turn has come.
    in_doubt: bool,
}

/// The remembered addresses, by member.
pub(super) struct Addresses(Mutex<Vec<Known>>);

impl Addresses {
    pub(super) fn of_members(count: usize) -> Self {
        Self(Mutex::new(vec![Known::default(); count]))
    }

    /// The address to try, or `None` to go by the name.
    pub(super) fn to_try(&self, member: usize) -> Option<SocketAddr> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner)[member];
        known.address.filter(|_| !known.in_doubt)
    }

    pub(super) fn remember(&self, member: usize, address: SocketAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all[member] = Known { address: Some(address), in_doubt: false };
    }

    /// A try without a result: address and name take turns from then on.
    pub(super) fn doubt(&self, member: usize) {
        let known = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[member];
        known.in_doubt = !known.in_doubt;
    }
}

/// The first address of a host that takes a connection.
pub(super) async fn reachable(host: &str, port: u16) -> Option<SocketAddr> {
    let addresses = timeout(LOOKUP_BOUND, lookup_host((host, port))).await.ok()?.ok()?;
    for address in addresses {
        if let Ok(Ok(_)) = timeout(CONNECT_BOUND, TcpStream::connect(address)).await {
            return Some(address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_name_take_turns_once_it_is_in_doubt() {
        let addresses = Addresses::of_members(2);
        let address: SocketAddr = "10.0.0.1:2379".parse().unwrap();
        assert_eq!(addresses.to_try(0), None);
        addresses.remember(0, address);
        assert_eq!((addresses.to_try(0), addresses.to_try(1)), (Some(address), None));
        addresses.doubt(0);
        assert_eq!(addresses.to_try(0), None);
        addresses.doubt(0);
        assert_eq!(addresses.to_try(0), Some(address));
        addresses.doubt(0);
        addresses.remember(0, address);
        assert_eq!(addresses.to_try(0), Some(address));
    }
}
