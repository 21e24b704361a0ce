//! What etcd's errors mean. Only what is known for certain gets a meaning: everything else is no
//! result, and never "the lease is lost" or "nothing was applied".

use std::error::Error as _;

use etcd_client::Error;

use crate::dcs::StoreError;

/// gRPC's status codes that are told apart here.
mod code {
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

// etcd's own texts: several of its errors share a code.
const AUTHENTICATION_IS_OFF: &str = "etcdserver: authentication is not enabled";
const WRONG_CREDENTIALS: &str = "etcdserver: authentication failed, invalid user ID or password";
const NOT_PERMITTED: &str = "etcdserver: permission denied";
const NO_CREDENTIALS: &str = "etcdserver: user name is empty";
const INVALID_TOKEN: &str = "etcdserver: invalid auth token";
const OLD_TOKEN: &str = "etcdserver: revision of auth store is old";
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const NO_SUCH_LEASE: &str = "etcdserver: requested lease not found";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
/// The library's text for an answer with a time to live of zero.
const LEASE_IS_GONE: &str = "lease not found";

/// The code and text of an answer of the server's; `None` where the connection failed instead.
fn answer(error: &Error) -> Option<(i32, &str)> {
    match error {
        // A status that the client made up itself has the true error as its source.
        Error::GRpcStatus(status) if status.source().is_none() => {
            Some((status.code() as i32, status.message()))
        }
        _ => None,
    }
}

/// Whether authenticating anew may help. Nothing was applied.
pub(super) fn wants_a_token(error: &Error) -> bool {
    matches!(
        answer(error),
        Some(
            (code::UNAUTHENTICATED | code::PERMISSION_DENIED, _)
                | (_, NO_CREDENTIALS | INVALID_TOKEN | OLD_TOKEN)
        )
    )
}

/// Whether the server asks for no credentials at all.
pub(super) fn authentication_is_off(error: &Error) -> bool {
    matches!(answer(error), Some((_, AUTHENTICATION_IS_OFF)))
}

/// Whether a read failed because its revision is gone.
pub(super) fn is_compacted(error: &Error) -> bool {
    matches!(answer(error), Some((_, COMPACTED)))
}

/// What an error means to who called; `endpoint` is named where the member is the matter.
pub(super) fn meaning(error: &Error, endpoint: &str) -> StoreError {
    match answer(error) {
        Some((code::RESOURCE_EXHAUSTED, NO_SPACE)) => StoreError::NoSpace,
        Some((code::NOT_FOUND, NO_SUCH_LEASE)) => StoreError::NoSuchLease,
        Some(
            (code::PERMISSION_DENIED, text) | (_, text @ (WRONG_CREDENTIALS | NO_CREDENTIALS)),
        ) => StoreError::Denied(text.to_owned()),
        Some((_, text)) => StoreError::Failed(format!("{endpoint}: {text}")),
        None => match error {
            Error::LeaseKeepAliveError(text) if text == LEASE_IS_GONE => StoreError::NoSuchLease,
            error => StoreError::Failed(format!("{endpoint}: {}", with_causes(error))),
        },
    }
}

/// What a watch's cancellation means, from its reason.
pub(super) fn cancellation(reason: &str, endpoint: &str) -> StoreError {
    if reason.contains(NOT_PERMITTED) || reason.contains(NO_CREDENTIALS) {
        return StoreError::Denied(reason.to_owned());
    }
    StoreError::Failed(format!("{endpoint}: the watch was cancelled: {reason}"))
}

/// The text of an error and of its causes. The library tells no source, but its status does.
fn with_causes(error: &Error) -> String {
    let (mut text, mut cause) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        other => (other.to_string(), None),
    };
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
