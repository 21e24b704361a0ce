//! `POST /position`: where this node stands right now. The status is as old as the last turn, and a
//! handover waits for the candidate's last record, so this asks the loop for a turn first.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::reply::{self, Refused, Reply};
use super::{ApiState, wire};
use crate::wake::Call;

/// The path.
pub const PATH: &str = "/position";
/// The code of a position.
pub const POSITION: StatusCode = StatusCode::OK;
/// A turn takes milliseconds; a loop that takes longer has no position to tell.
const ONE_TURN: Duration = Duration::from_secs(1);

/// The question's body: there is nothing to say.
pub fn question() -> Value {
    json!({})
}

/// Answers with the status document of a turn that began after the question.
///
/// # Errors
/// When the loop does not turn.
pub async fn answer(api: &ApiState) -> Result<Reply, Refused> {
    let (answer, answered) = oneshot::channel();
    let busy = |why| Refused::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let call = Call::Position { answer };
    api.0.calls.send(call).map_err(|_| busy("the agent is ending"))?;
    match tokio::time::timeout(ONE_TURN, answered).await {
        Ok(Ok(())) => {
            let (status, now) = api.status();
            Ok(reply::document(POSITION, &wire::status_document(&status, now)))
        }
        Ok(Err(_)) | Err(_) => Err(busy("the loop did not turn in time")),
    }
}
