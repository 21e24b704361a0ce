//! A host with a port, as people write it: `db1:5432`, `10.0.0.1:8008`, `[::1]:5432`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host name or address (an IPv6 address without its brackets) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Host name, IPv4 or IPv6 address; `*` where all addresses are meant.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl HostPort {
    /// Whether other machines cannot mean this node by it: a loopback or a wildcard address.
    pub fn is_local_only(&self) -> bool {
        matches!(
            self.host.as_str(),
            "" | "127.0.0.1" | "0.0.0.0" | "*" | "::1" | "::" | "localhost"
        )
    }

    /// Reads `host`, `host:port` or `[host]:port`, with `port_default` where none is given.
    pub fn parse_or(text: &str, port_default: u16) -> Result<Self, InvalidHostPort> {
        let invalid = || InvalidHostPort(text.to_owned());
        let (host, port) = split(text.trim()).ok_or_else(invalid)?;
        let port = match port {
            Some(digits) => parse_port(digits).ok_or_else(invalid)?,
            None => port_default,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A text that is not a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not host:port, such as db1:5432 or [::1]:5432")]
pub struct InvalidHostPort(pub String);

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let invalid = || InvalidHostPort(text.to_owned());
        let (host, port) = split(text.trim()).ok_or_else(invalid)?;
        let port = port.and_then(parse_port).ok_or_else(invalid)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The host, and the text of the port if there is one; `None` when the shape is wrong.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let is_ipv6 = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').filter(|(host, _)| is_ipv6(host))?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if after.is_empty() => Some((host, None)),
            None => None,
        };
    }
    let odd = |c: char| c.is_whitespace() || matches!(c, '/' | ',' | '@' | ']');
    if text.is_empty() || text.contains(odd) {
        return None;
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        // More than one colon: a bare IPv6 address, whose last group may be meant as the port.
        Some(_) if is_ipv6(text) => Some((text, None)),
        Some(_) => {
            let (host, port) = text.rsplit_once(':').filter(|(host, _)| is_ipv6(host))?;
            Some((host, Some(port)))
        }
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| all_digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_survive_their_text() {
        for text in ["db1:5432", "10.0.0.1:8008", "[::1]:5432", "*:5432"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_host_and_port_is_refused() {
        for text in [
            "",
            "db1",
            "db1:",
            "db1:x",
            "db1:0",
            "db1:70000",
            "[::1",
            "a b:1",
            "http://a:1",
            "a:b:1",
            "[a]:1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_missing_port_takes_the_default() {
        for (text, host, port) in [
            ("db1", "db1", 2379),
            ("[fe80::1]", "fe80::1", 2379),
            ("::1", "::1", 2379),
            ("a:1", "a", 1),
        ] {
            let expected = HostPort { host: host.to_owned(), port };
            assert_eq!(HostPort::parse_or(text, 2379), Ok(expected));
        }
    }

    #[test]
    fn loopback_and_wildcards_are_no_address_to_publish() {
        assert!("127.0.0.1:1".parse::<HostPort>().unwrap().is_local_only());
        assert!(!"10.0.0.1:1".parse::<HostPort>().unwrap().is_local_only());
    }
}
