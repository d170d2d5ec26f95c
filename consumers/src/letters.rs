//! Watches how many dead letters are open, for the alert on it.

use std::time::Duration;

use headgate_dead_letters::bury::error_text;
use headgate_dead_letters::store;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use sqlx::MySqlPool;

use crate::measure;

/// How often they are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for the count.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts until stopped.
pub(crate) async fn watch(pool: MySqlPool, stop: CancellationToken) {
    loop {
        match tokio::time::timeout(COUNT_TIMEOUT, store::open_by_group(&pool)).await {
            Ok(Ok(counts)) => {
                for (group, letters) in counts {
                    metrics::gauge!("headgate_dead_letters_open", "group" => group)
                        .set(measure::count(letters));
                }
            }
            Ok(Err(error)) => tracing::debug!(error = error_text(&error), "dead letters were not counted"),
            Err(_) => tracing::debug!("dead letters were not counted in time"),
        }
        if stopped_within(&stop, COUNT_EVERY).await {
            return;
        }
    }
}
