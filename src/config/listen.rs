//! `postgresql.listen`: one or more hosts with one port, such as `10.0.0.1,127.0.0.1:5432`.

use super::HostPort;

/// Port of PostgreSQL where none is given.
const PORT_DEFAULT: u16 = 5432;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    /// Hosts without brackets.
    pub hosts: Vec<String>,
    pub port: u16,
}

impl Listen {
    /// Reads hosts with commas between and one port after the last; `None` when it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (before, last) = match text.rsplit_once(',') {
            Some((before, last)) => (before.split(',').collect(), last),
            None => (Vec::new(), text),
        };
        let HostPort { host: last, port } = HostPort::parse_or(last, PORT_DEFAULT).ok()?;
        let mut hosts = Vec::new();
        for host in before {
            let host = host.trim().trim_start_matches('[').trim_end_matches(']');
            let is_odd = |c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"');
            if host.is_empty() || host.contains(is_odd) {
                return None;
            }
            hosts.push(host.to_owned());
        }
        hosts.push(if last.is_empty() { "*".to_owned() } else { last });
        Some(Self { hosts, port })
    }

    /// The value of the GUC `listen_addresses`.
    pub fn addresses(&self) -> String {
        self.hosts.join(",")
    }

    /// The first host that other machines can mean this node by.
    pub fn first_to_publish(&self) -> Option<HostPort> {
        let mut all =
            self.hosts.iter().map(|host| HostPort { host: host.clone(), port: self.port });
        all.find(|address| !address.is_local_only())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_share_the_port_after_the_last() {
        for (text, addresses, port) in [
            ("10.0.0.1:5433", "10.0.0.1", 5433),
            ("10.0.0.1,127.0.0.1:5433", "10.0.0.1,127.0.0.1", 5433),
            ("*", "*", 5432),
            (":5433", "*", 5433),
            ("[::1],[fe80::1]:5433", "::1,fe80::1", 5433),
            ("::1", "::1", 5432),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!((listen.addresses().as_str(), listen.port), (addresses, port), "{text}");
        }
        for text in ["", "a:b", ",a:1", "a b:1"] {
            assert_eq!(Listen::parse(text), None, "{text:?}");
        }
    }
}
