//! Who may change something, and which headers every answer carries.

use std::hint::black_box;

use axum::http::header::{AUTHORIZATION, SERVER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Credentials, RestApi};

use super::reply::Refused;

const OWN_SERVER: HeaderValue =
    HeaderValue::from_static(concat!("pgbaton/", env!("CARGO_PKG_VERSION")));

/// What of the configuration concerns the listener. Replaced as a whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `user:password` in base64.
    expected: Option<String>,
    headers: HeaderMap,
}

impl Access {
    /// Reads the `restapi` section. The texts name extra headers that HTTP does not allow; they are
    /// left out.
    pub fn of(section: &RestApi) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let mut headers = HeaderMap::new();
        headers.insert(SERVER, OWN_SERVER);
        for (name, value) in &section.http_extra_headers {
            match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                _ => warnings.push(format!(
                    "restapi.http_extra_headers: {name:?}: {value:?} is no HTTP header; left out"
                )),
            }
        }
        let expected = section.authentication.as_ref().map(encoded);
        (Self { expected, headers }, warnings)
    }

    /// The headers of every answer that has a body.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Lets through whoever brings the configured user and password.
    ///
    /// # Errors
    /// With 401, when they are missing or wrong.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let refused = |why: &str| Err(Refused::new(StatusCode::UNAUTHORIZED, why));
        let Some(given) = headers.get(AUTHORIZATION) else {
            return refused("no authorization header: send restapi.authentication (Basic)");
        };
        let given = given.as_bytes().strip_prefix(b"Basic ");
        if given.is_some_and(|given| is_equal_in_constant_time(given, expected.as_bytes())) {
            Ok(())
        } else {
            refused("not authorized: the user or password differs from restapi.authentication")
        }
    }
}

/// What a `Basic` header carries.
pub fn encoded(credentials: &Credentials) -> String {
    STANDARD.encode(format!("{}:{}", credentials.username, credentials.password))
}

/// Compares without telling by its duration where the first difference is.
fn is_equal_in_constant_time(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    for (index, byte) in expected.iter().enumerate() {
        let other = given.get(index).copied().unwrap_or_default();
        difference |= usize::from(black_box(other ^ byte));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    fn access(password: Option<&str>, headers: &[(&str, &str)]) -> (Access, Vec<String>) {
        let here = HostPort { host: "127.0.0.1".to_owned(), port: 8008 };
        let own = |text: &str| text.to_owned();
        Access::of(&RestApi {
            listen: here.clone(),
            connect_address: here,
            authentication: password
                .map(|password| Credentials { username: own("u"), password: own(password) }),
            http_extra_headers: headers.iter().map(|(a, b)| (own(a), own(b))).collect(),
        })
    }

    #[test]
    fn only_the_exact_credentials_pass() {
        let (access, _) = access(Some("pä:ss"), &[]);
        let right = STANDARD.encode("u:pä:ss");
        for (given, passes) in [
            (None, false),
            (Some(format!("Basic {right}")), true),
            (Some(format!("basic {right}")), false),
            (Some(format!("Basic {right}x")), false),
            (Some(format!("Basic {}", &right[..4])), false),
            (Some("Basic ".to_owned()), false),
            (Some(format!("Bearer {right}")), false),
        ] {
            let value = given.map(|text| (AUTHORIZATION, text.parse().unwrap()));
            assert_eq!(access.check(&value.into_iter().collect()).is_ok(), passes);
        }
    }

    #[test]
    fn without_credentials_everybody_passes() {
        assert!(access(None, &[]).0.check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_header_that_http_does_not_allow_is_named_and_left_out() {
        let (access, warnings) = access(None, &[("X-One", "1"), ("a b", "2"), ("X-Two", "a\nb")]);
        assert_eq!(access.headers().get("x-one").unwrap(), "1");
        assert_eq!(access.headers().len(), 2);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
