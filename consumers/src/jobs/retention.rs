//! Makes day partitions ahead and drops those that are old enough. The inbox keeps the
//! days of dead letters that are not settled: a replay needs the row that says `dead`.

use headgate_dead_letters::store;
use headgate_outbox::{partitions, retention};

use super::{Error, Parts, Round};

pub(super) async fn round(parts: &Parts) -> Result<Round, Error> {
    partitions::ensure(&parts.pool, parts.settings.partition_days_ahead).await?;
    let mut keep = parts.retention;
    if let Some(oldest) = store::oldest_unsettled_day(&parts.pool).await? {
        let age_days = (parts.clock.now().date_naive() - oldest).num_days();
        let age_days = u32::try_from(age_days).unwrap_or_default();
        keep.inbox_days = keep.inbox_days.max(age_days);
    }
    for (table, day) in retention::drop_before(&parts.pool, keep).await? {
        metrics::counter!("headgate_partitions_dropped_total", "table" => table.name()).increment(1);
        tracing::debug!(table = table.name(), %day, "a day was let go");
    }
    Ok(Round::Done)
}
