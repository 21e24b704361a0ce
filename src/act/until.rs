//! Waiting for what nobody tells: it is asked for again and again, within a bound.

use std::time::Duration;

use super::context::Context;
use super::ports::Ports;
use crate::values::Clock;

/// How often it is asked for.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Whether the answer was yes within so long. `ask` is told how much of that is left, and asked once more
/// when nothing is.
pub async fn became<P: Ports>(
    context: &Context<P>,
    within: Duration,
    mut ask: impl AsyncFnMut(Duration) -> bool,
) -> bool {
    let until = context.clock.now() + within;
    loop {
        let left = until.since(context.clock.now());
        if ask(left).await {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}
