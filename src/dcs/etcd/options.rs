//! What a store is told about its etcd cluster, and what is wrong with it before anybody is asked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hyper::Uri;

use super::addresses::Addresses;
use super::tls;

/// Where etcd is and how to be let in.
#[derive(Clone, Default)]
pub struct EtcdOptions {
    /// URLs, `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// Certificates of the authorities to trust (PEM); the system's where there is none.
    pub cacert: Option<PathBuf>,
    /// The client's certificate, with its chain (PEM).
    pub cert: Option<PathBuf>,
    /// The client's key (PEM); where there is none, it is looked for in `cert`.
    pub key: Option<PathBuf>,
    /// The prefix of the cluster's keys, with a slash at each end.
    pub prefix: String,
}

/// Why a store cannot be made of its options.
#[derive(Debug, thiserror::Error)]
pub enum EtcdOptionsError {
    /// There is nobody to ask.
    #[error("no etcd endpoint is given")]
    NoEndpoint,
    /// An endpoint is not a URL.
    #[error("{0:?} is not a URL such as http://10.0.0.1:2379")]
    InvalidEndpoint(String),
    /// The prefix would hold the keys of others.
    #[error("{0:?} is not a prefix such as /service/demo/")]
    InvalidPrefix(String),
    /// A file cannot be read.
    #[error("{what} cannot be read from {path}")]
    Unreadable {
        /// What was to be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no usable {what}: {reason}")]
    Unusable {
        /// What was to be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no authority to trust.
    #[error("the system has no trusted certificates; name the authority's file (cacert)")]
    NoSystemRoots,
    /// A key without a certificate.
    #[error("a client key is given without a certificate (cert)")]
    KeyWithoutCertificate,
}

/// One member's address.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) is_https: bool,
    /// A name or an address, the latter without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Whether the host has to be looked up.
    pub(super) fn is_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    /// The URL to connect to, by its address where that is known.
    pub(super) fn url_at(&self, address: Option<SocketAddr>) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        address.map_or_else(|| self.url.clone(), |address| format!("{scheme}://{address}"))
    }
}

/// Checked options. Files are read here and never again: renewals touch no file.
pub(super) struct Settings {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) tls: Option<etcd_client::TlsOptions>,
    pub(super) prefix: String,
    pub(super) addresses: Addresses,
}

impl Settings {
    pub(super) fn check(options: EtcdOptions) -> Result<Self, EtcdOptionsError> {
        let endpoints = options.endpoints.iter().map(|url| endpoint(url));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(EtcdOptionsError::NoEndpoint);
        }
        let prefix = &options.prefix;
        if prefix.len() < 3 || !prefix.starts_with('/') || !prefix.ends_with('/') {
            return Err(EtcdOptionsError::InvalidPrefix(options.prefix));
        }
        let uses_tls = endpoints.iter().any(|endpoint| endpoint.is_https);
        let tls = if uses_tls { Some(tls::options(&options)?) } else { None };
        let addresses = Addresses::of_members(endpoints.len());
        let EtcdOptions { credentials, prefix, .. } = options;
        Ok(Self { endpoints, credentials, tls, prefix, addresses })
    }
}

fn endpoint(url: &str) -> Result<Endpoint, EtcdOptionsError> {
    let invalid = || EtcdOptionsError::InvalidEndpoint(url.to_owned());
    let parsed: Uri = url.parse().map_err(|_| invalid())?;
    let is_https = match parsed.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(invalid()),
    };
    let host = parsed.host().unwrap_or_default();
    let port = parsed.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    // Nothing but these two: no user, no port that is no number.
    let authority = parsed.authority().map_or("", |authority| authority.as_str());
    if host.is_empty() || port == 0 || (authority != host && authority != format!("{host}:{port}"))
    {
        return Err(invalid());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Endpoint { url: url.to_owned(), is_https, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::EtcdStore;

    fn options(endpoint: &str) -> EtcdOptions {
        let endpoints = vec![endpoint.to_owned()];
        EtcdOptions { endpoints, prefix: "/service/demo/".to_owned(), ..EtcdOptions::default() }
    }

    #[track_caller]
    fn check(options: EtcdOptions, expected: &str) {
        let error = EtcdStore::new(options).err().expect("refused");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_store_is_made_without_contact() {
        for url in ["http://10.0.0.1:2379", "http://etcd-a", "http://[::1]:2379"] {
            assert!(EtcdStore::new(options(url)).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_known_address_takes_the_place_of_the_name() {
        let named = endpoint("https://etcd-a:2379").unwrap();
        assert!(named.is_named() && !endpoint("http://[::1]:2379").unwrap().is_named());
        assert_eq!(named.url_at(None), "https://etcd-a:2379");
        let known = Some("[fd00::1]:2379".parse().unwrap());
        assert_eq!(named.url_at(known), "https://[fd00::1]:2379");
    }

    #[test]
    fn what_is_wrong_is_said_at_once() {
        for url in ["", "10.0.0.1:2379", "ftp://a:1", "http://", "http://a:99999", "http://u@a:1"] {
            check(options(url), "is not a URL");
        }
        check(EtcdOptions { endpoints: Vec::new(), ..options("") }, "no etcd endpoint");
        check(EtcdOptions { prefix: "/".into(), ..options("http://a:1") }, "is not a prefix");
        let missing = Some(PathBuf::from("/nonexistent/ca.pem"));
        check(EtcdOptions { cacert: missing, ..options("https://a:1") }, "cannot be read from");
    }

    #[test]
    fn a_file_that_holds_no_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a certificate").unwrap();
        let path = Some(file.path().to_owned());
        check(
            EtcdOptions { cacert: path.clone(), ..options("https://a:1") },
            "holds no usable authority's certificate",
        );
        let key = EtcdOptions { key: path, ..options("https://a:1") };
        check(key, "without a certificate");
    }
}
