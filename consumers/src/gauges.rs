//! What is measured by looking from time to time: open and quarantined dead letters, for
//! the alerts on them, and the connections to MySQL.

use std::time::Duration;

use chrono::Utc;
use headgate_dead_letters::store::{self, OpenLetters};
use headgate_domain::notifications::store as notifications;
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
        match tokio::time::timeout(COUNT_TIMEOUT, deliveries(&pool)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = error_text(&error), "deliveries were not counted"),
            Err(_) => tracing::debug!("deliveries were not counted in time"),
        }
        if stopped_within(&stop, LOOK_EVERY).await {
            return;
        }
    }
}

async fn deliveries(pool: &MySqlPool) -> Result<(), headgate_domain::Error> {
    let backlog = notifications::backlog(pool).await?;
    let waits = backlog
        .oldest
        .and_then(|oldest| (Utc::now() - oldest).to_std().ok())
        .unwrap_or_default();
    metrics::gauge!("headgate_deliveries_pending").set(measure::count(backlog.pending));
    metrics::gauge!("headgate_deliveries_dead").set(measure::count(backlog.dead));
    metrics::gauge!("headgate_deliveries_oldest_seconds").set(waits.as_secs_f64());
    metrics::gauge!("headgate_delivery_circuits_open")
        .set(measure::count(notifications::waiting(pool).await?));
    Ok(())
}

fn connections(pool: &MySqlPool) {
    let idle = pool.num_idle();
    let all = usize::try_from(pool.size()).unwrap_or_default();
    for (state, connections) in [("idle", idle), ("in_use", all.saturating_sub(idle))] {
        metrics::gauge!("headgate_db_pool_connections", "state" => state).set(measure::count(connections));
    }
}
