//! TLS towards etcd: whom to trust and who we are, read from files once.

use std::path::Path;

use etcd_client::{Identity, TlsOptions};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::options::{EtcdOptions, EtcdOptionsError};

const AUTHORITY: &str = "authority's certificate";
const CERTIFICATE: &str = "client certificate";
const KEY: &str = "client key";

/// The TLS part of the options.
pub(super) fn options(options: &EtcdOptions) -> Result<TlsOptions, EtcdOptionsError> {
    let roots = match &options.cacert {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let tls = TlsOptions::new().trust_anchors(roots.roots);
    match (&options.cert, &options.key) {
        (Some(cert), key) => {
            Ok(tls.identity(identity(cert, key.as_deref().unwrap_or(cert.as_path()))?))
        }
        (None, Some(_)) => Err(EtcdOptionsError::KeyWithoutCertificate),
        (None, None) => Ok(tls),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, EtcdOptionsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(AUTHORITY, path, &read(AUTHORITY, path)?)? {
        roots.add(certificate).map_err(|error| unusable(AUTHORITY, path, &error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, EtcdOptionsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(EtcdOptionsError::NoSystemRoots);
    }
    Ok(roots)
}

fn identity(cert: &Path, key: &Path) -> Result<Identity, EtcdOptionsError> {
    let cert_pem = read(CERTIFICATE, cert)?;
    certificates(CERTIFICATE, cert, &cert_pem)?;
    let key_pem = read(KEY, key)?;
    PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| unusable(KEY, key, &error))?;
    Ok(Identity::from_pem(cert_pem, key_pem))
}

fn certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, EtcdOptionsError> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| unusable(what, path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(what, path, &"no PEM section CERTIFICATE in it"));
    }
    Ok(certificates)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, EtcdOptionsError> {
    std::fs::read(path).map_err(|source| EtcdOptionsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })
}

fn unusable(what: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> EtcdOptionsError {
    EtcdOptionsError::Unusable { what, path: path.to_owned(), reason: reason.to_string() }
}
