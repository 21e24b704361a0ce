//! Where etcd answers, from `host`, `hosts`, `url`, `protocol` and `port`.

use super::HostPort;
use super::node::{Credentials, EtcdConfig};
use super::value_kinds::host_list;
use super::yaml::Node;
use std::path::PathBuf;

/// etcd's port for clients.
const PORT_DEFAULT: u16 = 2379;

/// Reads the section; `None` when no endpoint comes out of it.
pub(super) fn read(root: &Node) -> Option<EtcdConfig> {
    let section = root.at("etcd3")?;
    let text = |key: &str| section.at(key)?.text();
    let path = |key: &str| {
        let given = text(key)?;
        Some(std::path::absolute(given).unwrap_or_else(|_| PathBuf::from(given)))
    };
    let (endpoints, credentials) = match text("url") {
        Some(url) => {
            let url = Url::parse(url).ok()?;
            (vec![url.endpoint()], url.credentials)
        }
        None => (endpoints(section).ok()?, credentials(section)),
    };
    let cert = path("cert");
    Some(EtcdConfig {
        endpoints,
        credentials,
        cacert: path("cacert"),
        key: path("key").filter(|_| cert.is_some()),
        cert,
    })
}

/// The key and the reason why no endpoint comes out of the section, if one is given at all.
pub(super) fn problem(section: &Node) -> Option<(&'static str, String)> {
    if let Some(url) = section.at("url") {
        let error = Url::parse(url.text()?).err()?;
        return Some(("url", error));
    }
    endpoints(section).err()
}

fn credentials(section: &Node) -> Option<Credentials> {
    Some(Credentials {
        username: section.at("username")?.text()?.to_owned(),
        password: section.at("password")?.text()?.to_owned(),
    })
}

type Problem = (&'static str, String);

fn endpoints(section: &Node) -> Result<Vec<String>, Problem> {
    let protocol = section.at("protocol").and_then(Node::text).unwrap_or("http").to_lowercase();
    let port: Option<u16> = section.at("port").and_then(|port| port.text()?.parse().ok());
    let endpoint = |key: &'static str, host: &str| {
        let address = HostPort::parse_or(host, port.unwrap_or(PORT_DEFAULT));
        let address = address.ok().filter(|address| !address.host.is_empty());
        let address =
            address.ok_or_else(|| (key, format!("expected host:port, found {host:?}")))?;
        Ok(address)
    };
    let mut endpoints = Vec::new();
    if let Some(hosts) = section.at("hosts").and_then(host_list) {
        for host in &hosts {
            endpoints.push(format!("{protocol}://{}", endpoint("hosts", host)?));
        }
        if endpoints.is_empty() {
            return Err(("hosts", "expected at least one host:port".to_owned()));
        }
    } else if let Some(host) = section.at("host").and_then(Node::text) {
        let mut address = endpoint("host", host)?;
        // Beside `host`, `port` wins over the port in it.
        address.port = port.unwrap_or(address.port);
        endpoints.push(format!("{protocol}://{address}"));
    } else {
        return Err(("host", "expected host:port".to_owned()));
    }
    Ok(endpoints)
}

/// A URL as the section has it: scheme, user and password, host, port.
struct Url {
    scheme: String,
    credentials: Option<Credentials>,
    address: HostPort,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected a URL such as http://etcd1:2379".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| expected.clone())?;
        let scheme = scheme.to_lowercase();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let address = HostPort::parse_or(host, PORT_DEFAULT).ok();
        let address = address.filter(|address| !address.host.is_empty());
        match address {
            Some(address) if matches!(scheme.as_str(), "http" | "https") => {
                let pair = user.and_then(|user| user.split_once(':'));
                let credentials = pair.map(|(username, password)| Credentials {
                    username: percent_decoded(username),
                    password: percent_decoded(password),
                });
                Ok(Self { scheme, credentials, address })
            }
            _ => Err(expected),
        }
    }

    fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

/// `%40` as `@`; what is no such escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%').then(|| tail.get(..2)).flatten();
        let digits = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Node {
        super::super::yaml::parse(&format!("etcd3: {text}"), &"test.yml".into()).unwrap()
    }

    #[track_caller]
    fn check(text: &str, endpoints: &[&str]) {
        assert_eq!(read(&section(text)).unwrap().endpoints, endpoints, "{text}");
    }

    #[test]
    fn endpoints_come_from_url_hosts_or_host() {
        check("{host: etcd1}", &["http://etcd1:2379"]);
        check("{host: 'etcd1:1', port: 2}", &["http://etcd1:2"]);
        check("{hosts: 'a:1, b', port: 2}", &["http://a:1", "http://b:2"]);
        check("{hosts: ['a:1', '[::1]:2'], protocol: https}", &["https://a:1", "https://[::1]:2"]);
        check("{url: 'https://u:p%40@e:5/x', hosts: a}", &["https://e:5"]);
    }

    #[test]
    fn credentials_come_from_the_url_or_both_keys() {
        let both = |text| read(&section(text)).unwrap().credentials;
        assert_eq!(both("{url: 'http://u:p%40@e:5'}").unwrap().password, "p@");
        assert_eq!(both("{url: 'http://e:5', username: u, password: p}"), None);
        assert_eq!(both("{host: e, username: u, password: p}").unwrap().username, "u");
        assert_eq!(both("{host: e, username: u}"), None);
    }

    #[test]
    fn what_is_no_endpoint_is_named() {
        let key = |text| problem(section(text).at("etcd3").unwrap()).unwrap().0;
        assert_eq!(key("{url: 'etcd1:2379'}"), "url");
        assert_eq!(key("{url: 'ftp://etcd1'}"), "url");
        assert_eq!(key("{hosts: 'a:x'}"), "hosts");
        assert_eq!(key("{hosts: []}"), "hosts");
        assert_eq!(key("{host: 'http://a'}"), "host");
    }

    #[test]
    fn an_escape_that_is_none_stays() {
        assert_eq!(percent_decoded("a%40%zz%4"), "a@%zz%4");
        assert_eq!(percent_decoded("%é"), "%é");
    }
}
