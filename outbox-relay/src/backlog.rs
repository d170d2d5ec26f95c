//! What operators watch: how much waits to be published, since when, and what is blocked.

use std::time::Duration;

use chrono::Utc;
use headgate_outbox::{Error as OutboxError, blocked, claim};
use headgate_runtime::mysql;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use sqlx::MySqlPool;

use crate::ownership::Ownership;

/// Counting takes at most this share of the time: one part in so many.
const COUNTING_SHARE: u32 = 20;

/// Keeps the gauges current.
pub(crate) struct Backlog {
    pub(crate) pool: MySqlPool,
    pub(crate) every: Duration,
    pub(crate) rows_max: u64,
    pub(crate) database_timeout: Duration,
}

impl Backlog {
    /// Counts until stopped.
    pub(crate) async fn watch(&self, ownership: &Ownership, stop: &CancellationToken) {
        loop {
            let started = std::time::Instant::now();
            self.pools_and_leases(ownership);
            if let Err(error) = self.count().await {
                tracing::debug!(%error, "the backlog could not be counted");
            }
            let pause = self.every.max(started.elapsed() * COUNTING_SHARE);
            if stopped_within(stop, pause).await {
                return;
            }
        }
    }

    async fn count(&self) -> Result<(), OutboxError> {
        let (oldest, pending, (failed, waiting)) =
            mysql::within(&self.pool, self.database_timeout, async |connection| {
                let oldest = claim::buckets_with_rows(&mut *connection).await?;
                let mut pending = 0;
                if !oldest.is_empty() {
                    pending = claim::count(&mut *connection, self.rows_max).await?;
                }
                Ok::<_, OutboxError>((oldest, pending, blocked::count(connection).await?))
            })
            .await?;
        let now = Utc::now();
        let age = oldest
            .iter()
            .map(|oldest| oldest.age(now))
            .max()
            .unwrap_or_default();
        metrics::gauge!("headgate_outbox_pending_rows").set(as_gauge(pending));
        metrics::gauge!("headgate_outbox_oldest_pending_seconds").set(age.as_secs_f64());
        metrics::gauge!("headgate_outbox_blocked_rows", "status" => "failed").set(as_gauge(failed));
        metrics::gauge!("headgate_outbox_blocked_rows", "status" => "waiting").set(as_gauge(waiting));
        Ok(())
    }

    fn pools_and_leases(&self, ownership: &Ownership) {
        let (all, idle) = (u64::from(self.pool.size()), self.pool.num_idle() as u64);
        metrics::gauge!("headgate_db_pool_connections", "state" => "idle").set(as_gauge(idle));
        metrics::gauge!("headgate_db_pool_connections", "state" => "in_use")
            .set(as_gauge(all.saturating_sub(idle)));
        metrics::gauge!("headgate_relay_leases_held").set(as_gauge(ownership.count() as u64));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; counts stay below 2^53"
)]
const fn as_gauge(count: u64) -> f64 {
    count as f64
}
