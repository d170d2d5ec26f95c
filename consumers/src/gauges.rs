//! What is measured by looking from time to time: open and quarantined dead letters, for
//! the alerts on them, and the connections to MySQL.

use std::time::Duration;

use headgate_dead_letters::store::{self, OpenLetters};
use headgate_runtime::error_text;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use sqlx::MySqlPool;

use crate::measure;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for the count of dead letters.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks until stopped.
pub(crate) async fn watch(pool: MySqlPool, stop: CancellationToken) {
    loop {
        connections(&pool);
        match tokio::time::timeout(COUNT_TIMEOUT, store::open_by_group(&pool)).await {
            Ok(Ok(counts)) => {
                for OpenLetters {
                    group,
                    open,
                    parked,
                    quarantined,
                } in counts
                {
                    metrics::gauge!("headgate_dead_letters_open", "group" => group.clone())
                        .set(measure::count(open));
                    metrics::gauge!("headgate_dead_letters_parked", "group" => group.clone())
                        .set(measure::count(parked));
                    metrics::gauge!("headgate_dead_letters_quarantined", "group" => group)
                        .set(measure::count(quarantined));
                }
            }
            Ok(Err(error)) => tracing::debug!(error = error_text(&error), "dead letters were not counted"),
            Err(_) => tracing::debug!("dead letters were not counted in time"),
        }
        if stopped_within(&stop, LOOK_EVERY).await {
            return;
        }
    }
}

fn connections(pool: &MySqlPool) {
    let idle = pool.num_idle();
    let all = usize::try_from(pool.size()).unwrap_or_default();
    for (state, connections) in [("idle", idle), ("in_use", all.saturating_sub(idle))] {
        metrics::gauge!("headgate_db_pool_connections", "state" => state).set(measure::count(connections));
    }
}
