//! `--dcs-url`: another place to look for the cluster than the configuration says.

use anyhow::bail;

use crate::config::HostPort;

/// etcd's port for clients.
const ETCD_PORT: u16 = 2379;

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DcsUrl {
    /// `http` or `https`; `None` for what the configuration says.
    pub(super) protocol: Option<&'static str>,
    pub(super) address: HostPort,
    pub(super) namespace: Option<String>,
}

/// Reads `[scheme://][host][:port][/namespace]`.
pub(super) fn parse(url: &str) -> anyhow::Result<DcsUrl> {
    let (protocol, rest) = match url.split_once("://") {
        None => (None, url),
        Some(("etcd3", rest)) => (None, rest),
        Some(("http", rest)) => (Some("http"), rest),
        Some(("https", rest)) => (Some("https"), rest),
        Some(("etcd", rest)) => {
            bail!("etcd:// means etcd's old v2 API, which is not spoken here: try etcd3://{rest}")
        }
        Some((scheme @ ("consul" | "zookeeper" | "exhibitor" | "kubernetes" | "raft"), _)) => {
            bail!("{scheme} is not supported: the store is etcd, such as etcd3://10.0.0.9:2379")
        }
        Some((scheme, _)) => {
            bail!("unknown scheme {scheme}: expected a URL such as etcd3://10.0.0.9:2379/service")
        }
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, path.trim_matches('/')),
        None => (rest, ""),
    };
    let host = match host {
        "" => "localhost".to_owned(),
        port if port.starts_with(':') => format!("localhost{port}"),
        host => host.to_owned(),
    };
    let address = HostPort::parse_or(&host, ETCD_PORT)?;
    let namespace = Some(path.to_owned()).filter(|path| !path.is_empty());
    Ok(DcsUrl { protocol, address, namespace })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_missing_take_their_defaults() {
        for (url, protocol, address, namespace) in [
            ("etcd3://10.0.0.9:2380/db", None, "10.0.0.9:2380", Some("db")),
            ("10.0.0.9", None, "10.0.0.9:2379", None),
            (":2380", None, "localhost:2380", None),
            ("etcd3://", None, "localhost:2379", None),
            ("https://etcd-a/", Some("https"), "etcd-a:2379", None),
            ("etcd3://[::1]:1/a/b/", None, "[::1]:1", Some("a/b")),
        ] {
            let expected = DcsUrl {
                protocol,
                address: address.parse().unwrap(),
                namespace: namespace.map(str::to_owned),
            };
            assert_eq!(parse(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_not_spoken_here_is_refused() {
        for url in ["etcd://a:1", "consul://a", "ftp://a", "etcd3://a b:1", "a:x"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
