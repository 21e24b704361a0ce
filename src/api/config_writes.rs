//! `PATCH` and `PUT /config`: changes of the dynamic configuration, by compare-and-swap on what was
//! read.
//!
//! Unlike Patroni, a document that no agent would apply is refused here, where somebody reads the
//! reason.

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;

use super::reply::{self, Refused, Reply};
use super::store::{FreshLook, Written, conflict, not_written};
use super::{ApiState, body};
use crate::config::{Dynamic, Floors, merge_patch};
use crate::dcs::{codec, keys, txns};

/// `PATCH /config`.
///
/// # Errors
/// The refusal to answer with.
pub async fn patch(api: &ApiState, request: Request) -> Result<Reply, Refused> {
    let changes = Value::Object(body::object(request).await?);
    let look = api.look().await?;
    let Some(config) = &look.cluster.config else {
        let why = "there is no dynamic configuration to change: PUT a whole one";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let mut merged = Value::clone(&config.value);
    if merge_patch(&mut merged, &changes) {
        replace(api, &look, &merged).await?;
    }
    Ok(reply::document(StatusCode::OK, &merged))
}

/// `PUT /config`.
///
/// # Errors
/// The refusal to answer with.
pub async fn put(api: &ApiState, request: Request) -> Result<Reply, Refused> {
    let whole = Value::Object(body::object(request).await?);
    let look = api.look().await?;
    let current = look.cluster.config.as_ref().map(|config| &*config.value);
    if current != Some(&whole) {
        replace(api, &look, &whole).await?;
    }
    Ok(reply::document(StatusCode::OK, &whole))
}

async fn replace(api: &ApiState, look: &FreshLook, config: &Value) -> Result<(), Refused> {
    let (_, adjusted) = Dynamic::from_document(config, Floors::Own)
        .map_err(|error| body::bad(format!("no agent would apply this: {error}")))?;
    let read_at = look.revision_of(keys::CONFIG);
    let txn = txns::replaced(keys::CONFIG, read_at, codec::config(config));
    match api.write(txn).await {
        Ok(Written::At(_)) => {
            let adjusted: Vec<String> = adjusted.iter().map(ToString::to_string).collect();
            tracing::info!(adjusted = adjusted.join("; "), "dynamic configuration changed");
            Ok(())
        }
        Ok(Written::Conflict) => Err(conflict(keys::CONFIG)),
        Err(error) => Err(not_written(&error)),
    }
}
