//! Asks the server for its statistics at an interval, on a thread of its own: one question at a time,
//! however long its answer takes.

use std::time::Duration;

use tracing::debug;

use crate::fence::BoottimeClock;
use crate::postgres::StatisticsReader;
use crate::publish::{ServerStatistics, TakenStatistics};
use crate::values::Clock;

/// Asks for ever.
pub async fn ask_for_ever(mut reader: StatisticsReader, shown: ServerStatistics) {
    let mut interval = shown.interval();
    loop {
        let pause = *interval.borrow_and_update();
        if pause.is_zero() {
            reader.hang_up();
            if interval.changed().await.is_err() {
                return;
            }
            continue;
        }
        let asked_at = BoottimeClock.now();
        if reader.is_running() {
            match reader.ask().await {
                Ok(statistics) => {
                    let took = BoottimeClock.now().since(asked_at);
                    shown.put(TakenStatistics { statistics, asked_at, took });
                }
                Err(error) => debug!(error = &error as &dyn std::error::Error, "no statistics"),
            }
        }
        let rest = pause.saturating_sub(BoottimeClock.now().since(asked_at));
        tokio::select! {
            () = tokio::time::sleep(rest.max(Duration::from_millis(100))) => {}
            _ = interval.changed() => {}
        }
    }
}
