//! What handlers need of the store: a fresh look, and a write whose result is plain.

use std::time::Duration;

use axum::http::StatusCode;

use super::ApiState;
use super::reply::Refused;
use crate::cluster::Cluster;
use crate::dcs::{self, RawSnapshot, StoreError, Txn};
use crate::values::Revision;
use crate::wake::Call;

/// The cluster as it is now, and the keys it was read from.
pub struct FreshLook {
    /// The cluster.
    pub cluster: Cluster,
    raw: RawSnapshot,
}

impl FreshLook {
    /// The revision of a key, for a compare-and-swap.
    pub fn revision_of(&self, key: &str) -> Revision {
        self.raw.keys.get(key).map_or(Revision::ABSENT, |raw| raw.mod_revision)
    }
}

/// What became of a write.
pub enum Written {
    /// Done, at this revision.
    At(Revision),
    /// Somebody else wrote first.
    Conflict,
}

impl ApiState {
    /// The bound of a request to the store.
    fn store_within(&self) -> Duration {
        self.0.published.get().dynamic.retry_timeout
    }

    /// Reads the store.
    ///
    /// # Errors
    /// With 503, when it does not answer.
    pub(super) async fn look(&self) -> Result<FreshLook, Refused> {
        let raw = self.0.store.read_all(self.store_within()).await.map_err(|error| {
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("nothing was done: {error}"))
        })?;
        // What could not be read was reported where the agent read it.
        let (cluster, _) = dcs::decode(&raw);
        Ok(FreshLook { cluster, raw })
    }

    /// Writes, and has the loop look at the store.
    ///
    /// # Errors
    /// Those of the store: see [`not_written`].
    pub(super) async fn write(&self, txn: Txn) -> Result<Written, StoreError> {
        let reply = self.0.store.commit(txn, self.store_within()).await?;
        // A loop that is gone is seen by whoever waits for what follows.
        let _ = self.0.calls.send(Call::LookAgain);
        Ok(if reply.succeeded { Written::At(reply.revision) } else { Written::Conflict })
    }
}

/// The refusal for a write without a result.
pub fn not_written(error: &StoreError) -> Refused {
    let why = if error.is_ambiguous() {
        format!("{error}; the change may have been made all the same: look before you repeat it")
    } else {
        format!("nothing was changed: {error}")
    };
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// The refusal for a write that came too late.
pub fn conflict(key: &str) -> Refused {
    let why = format!("somebody else changed the {key} key at the same moment: try again");
    Refused::new(StatusCode::CONFLICT, why)
}
